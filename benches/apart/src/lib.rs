//! Rivals that cannot be linked beside those of the rows: mimalloc 3, which exports the same C
//! symbols as mimalloc 2.
//!
//! The programs here are children of `rows` and `memory`, which take them by `--with`.

use drystone_benches::rivals::{Rivals, Visitor};

drystone_benches::mimalloc_heap!(
    /// mimalloc 3.
    pub Mimalloc3,
    libmimalloc_sys2
);

/// The rivals of these programs.
pub struct Apart;

impl Rivals for Apart {
    fn visit(visitor: &mut impl Visitor) {
        // SAFETY: it may be called at any time.
        let version = unsafe { libmimalloc_sys2::mi_version() };
        assert_eq!(version / 10_000, 3, "another mimalloc was linked");
        visitor.heap("mimalloc 3", Mimalloc3);
    }
}
