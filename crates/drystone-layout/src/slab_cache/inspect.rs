//! The invariants, executed.

use drystone_core::Corruption;
use drystone_sync::RawLock;

use super::hierarchy::Hierarchy;
use super::{SlabCache, SlabProvider};

impl<T, P: SlabProvider, L: RawLock, const SLAB_SIZE: usize> SlabCache<T, P, L, SLAB_SIZE> {
    /// Checks the master and every slab that has a free slot, under the lock. A full slab is known
    /// to its boxes only.
    ///
    /// # Errors
    ///
    /// [`Corruption`] names the first invariant found broken; the offset counts slabs of the ring.
    pub fn verify_all(&self) -> Result<(), Corruption> {
        self.slabs.verify_all()
    }

    /// Panics in debug builds if an invariant of the module's documentation is broken. Free in
    /// release builds.
    ///
    /// # Panics
    ///
    /// In debug builds, if [`verify_all`](Self::verify_all) fails.
    pub fn debug_assert_invariants(&self) {
        #[cfg(debug_assertions)]
        if let Err(corruption) = self.verify_all() {
            panic!("{corruption}");
        }
    }
}

const fn broken(invariant: &'static str, offset: usize) -> Corruption {
    Corruption { invariant, offset }
}

impl<T, P: SlabProvider, L: RawLock, const SLAB_SIZE: usize> Hierarchy<T, P, L, SLAB_SIZE> {
    fn verify_all(self) -> Result<(), Corruption> {
        self.locked(|state| {
            let live = self.verify_slab(self.master(), 0)?;
            // SAFETY: the master is attached, and the lock is held.
            let holds = unsafe { self.master().header() }.holds.get();
            if holds as usize != live + state.slaves + usize::from(state.handles != 0) {
                return Err(broken("I4: what keeps the master is not counted right", 0));
            }
            let Some(root) = state.first() else {
                return Ok(());
            };
            let (mut slab, mut passed) = (root, 0);
            loop {
                let live = self.verify_slab(slab, passed)?;
                // SAFETY: a slab in the ring is attached, and the lock is held.
                let header = unsafe { slab.header() };
                let next = header.next.get();
                if slab != self.master() && header.holds.get() as usize != live {
                    return Err(broken("I4: live slots are not counted right", passed));
                }
                if header.occupancy.is_full() {
                    return Err(broken("I2: a full slab in the ring", passed));
                }
                if live == 0 && slab != self.master() && next != root {
                    return Err(broken("I3: an empty slave before the last", passed));
                }
                // SAFETY: as above.
                if unsafe { next.header() }.prev.get() != slab {
                    return Err(broken("I2: neighbours that disagree", passed));
                }
                passed += 1;
                if passed > state.slaves + 1 {
                    return Err(broken("I2: more slabs in the ring than there are", passed));
                }
                if next == root {
                    return Ok(());
                }
                slab = next;
            }
        })
    }

    /// Checks the header and the map of a slab and counts its live slots.
    fn verify_slab(self, slab: super::header::SlabRef, at: usize) -> Result<usize, Corruption> {
        // SAFETY: the caller passes attached slabs.
        if unsafe { slab.verified_owner() } != Some(self.master()) {
            return Err(broken("I1: a header without its owner", at));
        }
        // SAFETY: as above, and the lock is held.
        let map = unsafe { Self::map(slab) };
        // SAFETY: as above.
        let occupancy = &unsafe { slab.header() }.occupancy;
        // SAFETY: this is the slab's map.
        match unsafe { occupancy.verify(map) } {
            Ok(live) => Ok(live as usize),
            Err((invariant, _)) => Err(broken(invariant, at)),
        }
    }
}
