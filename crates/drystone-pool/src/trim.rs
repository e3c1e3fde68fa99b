//! How memory goes back: slots that are free end, and regions that are left with none go.

use crate::chain::Chain;
use crate::core::Core;

impl Core {
    /// Brings the free slots of every thread's caches to the shared lists.
    pub(crate) fn flush_idle(&self) {
        for class in 0..self.classes.len() {
            self.unload(class);
        }
    }

    /// Ends every slot that is free, and gives back the regions that then hold none.
    pub(crate) fn gather(&self) {
        self.flush_idle();
        for class in 0..self.classes.len() {
            self.retire_free(class);
            self.drop_unused(class);
        }
        self.feed();
    }

    /// Ends the slots of a class's shared list.
    fn retire_free(&self, class: usize) {
        let own = &self.classes[class];
        let mut free = Chain::new();
        own.shared.take_all(|slot| {
            // SAFETY: just taken off the list.
            unsafe { free.push(slot) };
        });
        while let Some(slot) = free.pop() {
            // SAFETY: as above; the caller keeps the core.
            unsafe { self.retire(class, slot) };
        }
    }

    /// Gives back regions that have no slots and no registration.
    fn drop_unused(&self, class: usize) {
        while let Some(region) = self.classes[class].grow(|growth| growth.take_unused()) {
            // SAFETY: just taken off the class's list, holding nothing; the caller keeps the core.
            unsafe { self.destroy_region(region) };
        }
    }
}
