//! [`Regions`]: every region of a pool, by number.

use core::ptr::NonNull;

use drystone_core::AllocError;

use crate::lock::Mutex;
use crate::region::Region;

/// The regions of a pool. A region keeps its number; that of one that is gone is used again.
#[derive(Debug)]
pub(crate) struct Regions {
    table: Mutex<Vec<Option<Entry>>>,
}

/// A region in the table lives until it was taken out.
#[derive(Clone, Copy, Debug)]
struct Entry(NonNull<Region>);

// SAFETY: a name; who uses the region says why it lives.
unsafe impl Send for Entry {}

impl Regions {
    pub(crate) fn new() -> Self {
        Self {
            table: Mutex::new(Vec::new()),
        }
    }

    /// Takes a region in.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if there is no memory for the entry.
    ///
    /// # Safety
    ///
    /// The region is new: nobody else knows it.
    pub(crate) unsafe fn insert(&self, region: NonNull<Region>) -> Result<(), AllocError> {
        let mut table = self.table.lock();
        let number = match table.iter().position(Option::is_none) {
            Some(number) => number,
            None => {
                table.try_reserve(1).map_err(|_| AllocError)?;
                table.push(None);
                table.len() - 1
            }
        };
        // SAFETY: new, so it lives.
        let this = unsafe { region.as_ref() };
        // SAFETY: nobody else knows it.
        unsafe { this.set_number(number) };
        table[number] = Some(Entry(region));
        Ok(())
    }

    /// Takes a region out.
    ///
    /// # Safety
    ///
    /// It is in the table.
    pub(crate) unsafe fn remove(&self, region: NonNull<Region>) {
        // SAFETY: in the table, so it lives.
        let number = unsafe { region.as_ref() }.number();
        self.table.lock()[number] = None;
    }

    /// Calls `see` with each region. Regions stay while it runs, for which it holds the table's lock.
    pub(crate) fn for_each(&self, mut see: impl FnMut(NonNull<Region>)) {
        for entry in self.table.lock().iter().flatten() {
            see(entry.0);
        }
    }
}
