//! Every wrapper over every layout, and every ordered pair of wrappers, keeps every promise.

use drystone_backing::{HeapBacked, InlineBacked};
use drystone_core::NoProtection;
use drystone_layout::{BumpArena, SizeClassed, Slab};
use drystone_testkit::conformance::Caps;
use drystone_wrap::{Faulty, Locked, NeverFail, Statistics, WithFallback};

/// Bytes of each range; small under Miri, where every byte costs.
const BYTES: usize = if cfg!(miri) { 8 << 10 } else { 64 << 10 };
const BLOCKS: usize = if cfg!(miri) { 8 } else { 64 };

type Slot = [u128; 8];
const SLAB: Caps = Caps::new(128, 16, BLOCKS).reuses_memory().bounded();
const BUMP: Caps = Caps::new(512, 64, BLOCKS).bounded();
const CLASSES: Caps = Caps::new(512, 64, BLOCKS).reuses_memory().bounded();

fn heap(bytes: usize) -> HeapBacked {
    HeapBacked::with_align(bytes, 4096).expect("memory for a test")
}

fn slab() -> Slab<Slot, HeapBacked, NoProtection> {
    Slab::new(BLOCKS, heap(BYTES)).expect("room for the slots")
}

fn bump() -> BumpArena<HeapBacked> {
    BumpArena::new(heap(BYTES))
}

fn classes() -> SizeClassed<HeapBacked, 4> {
    let sizes = [16, 64, 256, 512];
    SizeClassed::with_class_sizes(heap(16 * BYTES), sizes, BLOCKS).expect("room for the classes")
}

fn faulty<A>(inner: A) -> Faulty<A, NeverFail> {
    Faulty::new(inner, NeverFail)
}

/// A fallback that gets every request: its primary has no room for a block.
fn before<S>(secondary: S) -> WithFallback<BumpArena<InlineBacked<0>>, S> {
    WithFallback::new(BumpArena::new(InlineBacked::new()), secondary)
}

/// A suite for each composition.
macro_rules! suites {
    ($($name:ident: $make:expr, $caps:expr;)*) => {
        $(drystone_testkit::conformance_suite!($name, || $make, $caps; reset, sends);)*
    };
}

suites! {
    slab_locked: Locked::new(slab()), SLAB;
    slab_statistics: Statistics::new(slab()), SLAB;
    slab_faulty: faulty(slab()), SLAB;
    slab_behind_nothing: before(slab()), SLAB;
    bump_locked: Locked::new(bump()), BUMP;
    bump_statistics: Statistics::new(bump()), BUMP;
    bump_faulty: faulty(bump()), BUMP;
    bump_behind_nothing: before(bump()), BUMP;
    classes_locked: Locked::new(classes()), CLASSES;
    classes_statistics: Statistics::new(classes()), CLASSES;
    classes_faulty: faulty(classes()), CLASSES;
    classes_behind_nothing: before(classes()), CLASSES;
}

// Not under Miri: the pairs add no pointer of their own to what runs above, and take it half an
// hour.
#[cfg(not(miri))]
mod wrapper_pairs {
    use drystone_testkit::FirstFit;

    use super::*;

    const FIRST_FIT: Caps = Caps::new(512, 64, BLOCKS).reuses_memory().bounded();

    fn first_fit() -> FirstFit {
        FirstFit::new(BYTES)
    }

    suites! {
        locked_locked: Locked::new(Locked::new(first_fit())), FIRST_FIT;
        locked_statistics: Locked::new(Statistics::new(first_fit())), FIRST_FIT;
        locked_faulty: Locked::new(faulty(first_fit())), FIRST_FIT;
        locked_fallback: Locked::new(before(first_fit())), FIRST_FIT;
        statistics_locked: Statistics::new(Locked::new(first_fit())), FIRST_FIT;
        statistics_statistics: Statistics::new(Statistics::new(first_fit())), FIRST_FIT;
        statistics_faulty: Statistics::new(faulty(first_fit())), FIRST_FIT;
        statistics_fallback: Statistics::new(before(first_fit())), FIRST_FIT;
        faulty_locked: faulty(Locked::new(first_fit())), FIRST_FIT;
        faulty_statistics: faulty(Statistics::new(first_fit())), FIRST_FIT;
        faulty_faulty: faulty(faulty(first_fit())), FIRST_FIT;
        faulty_fallback: faulty(before(first_fit())), FIRST_FIT;
        fallback_locked: before(Locked::new(first_fit())), FIRST_FIT;
        fallback_statistics: before(Statistics::new(first_fit())), FIRST_FIT;
        fallback_faulty: before(faulty(first_fit())), FIRST_FIT;
        fallback_fallback: before(before(first_fit())), FIRST_FIT;
    }
}
