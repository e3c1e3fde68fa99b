//! Every promise of an allocator, by the arena in all its faces.

use drystone_arena::{
    Arena, ArenaConfig, CachedArena, Checked, Fast, GlobalArena, Hardened, Profile, ThreadCache,
};
use drystone_testkit::conformance::Caps;
use drystone_testkit::{conformance_suite, kept};

/// Blocks of classes, of runs and of mappings of their own. Under Miri, where every byte counts,
/// of classes.
const CAPS: Caps = if cfg!(miri) {
    Caps::new(256, 16, 8)
} else {
    Caps::new(3 << 20, 64 << 10, 64)
}
.reuses_memory();

/// An arena with an end.
#[cfg(not(miri))]
const LIMITED: Caps = Caps::new(4096, 64, 8).reuses_memory().bounded();

fn bound<P: Profile>(arena_size: usize, alignment: usize) -> CachedArena<'static, P> {
    let config = ArenaConfig {
        arena_size,
        alignment,
        ..ArenaConfig::default()
    };
    let arena = Arena::<P>::with_profile(config).expect("a valid configuration");
    kept(arena).bind(kept(ThreadCache::new(config)))
}

conformance_suite!(fast, GlobalArena::<Fast>::new, CAPS; stable_address, sends, shares);
conformance_suite!(checked, GlobalArena::<Checked>::new, CAPS; stable_address, sends, shares);
conformance_suite!(hardened, GlobalArena::<Hardened>::new, CAPS; stable_address, sends, shares);
conformance_suite!(bound_hardened, || bound::<Hardened>(ArenaConfig::UNLIMITED, 1), CAPS; owns, stable_address);
conformance_suite!(bound_fast, || bound::<Fast>(ArenaConfig::UNLIMITED, 1), CAPS; owns, stable_address);
conformance_suite!(bound_checked, || bound::<Checked>(ArenaConfig::UNLIMITED, 1), CAPS; owns, stable_address);
conformance_suite!(aligned, || bound::<Checked>(ArenaConfig::UNLIMITED, 128), CAPS; owns, stable_address);

#[cfg(not(miri))]
conformance_suite!(limited, || bound::<Checked>(64 << 20, 1), LIMITED; owns, stable_address);

#[cfg(not(miri))]
conformance_suite!(limited_hardened, || bound::<Hardened>(64 << 20, 1), LIMITED; owns, stable_address);
