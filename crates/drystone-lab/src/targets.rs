//! The contestants that come with the lab.

mod cached_arena;
mod compositions;
mod harness;
#[cfg(feature = "mimalloc")]
mod mimalloc;
#[cfg(feature = "rivals")]
mod rivals;
mod system;

use crate::lab::Lab;

/// Adds every contestant that this build has, in the order in which `--with list` shows them.
pub(crate) fn add_all(lab: Lab) -> Lab {
    let lab = compositions::add(lab);
    let lab = system::add(lab);
    #[cfg(feature = "mimalloc")]
    let lab = mimalloc::add(lab);
    #[cfg(feature = "rivals")]
    let lab = rivals::add(lab);
    harness::add(lab)
}

/// Contestants that another build of the lab would have, and what they need.
pub(crate) fn not_included() -> Vec<(&'static str, &'static str)> {
    let mut missing = Vec::new();
    if !cfg!(feature = "mimalloc") {
        for name in ["mimalloc", "mimalloc-tuned"] {
            missing.push((
                name,
                "built without the feature `mimalloc`, which needs a C compiler",
            ));
        }
    }
    if !cfg!(feature = "rivals") {
        for name in ["snmalloc", "jemalloc"] {
            missing.push((
                name,
                "built without the feature `rivals`, which needs C++ and make",
            ));
        }
    }
    missing
}
