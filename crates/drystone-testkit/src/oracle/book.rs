//! What the oracle knows: every live block, and which addresses were freed since.

use core::ptr::NonNull;
use std::collections::{BTreeMap, BTreeSet};

use drystone_core::{Misuse, NonZeroLayout};

/// One live block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// The block as the inner allocator returned it. The oracle reaches its bytes through this
    /// pointer, never through a user's.
    pub(super) inner: NonNull<[u8]>,
    /// What the inner allocator was asked for.
    pub(super) inner_layout: NonZeroLayout,
    /// What the user asked for.
    pub(super) asked: NonZeroLayout,
    /// The bytes handed to the user. Where there is a red zone it follows them.
    pub(super) user_len: usize,
    /// The stamp that the user's bytes carry, if they were stamped.
    pub(super) stamp: Option<usize>,
}

// SAFETY: an entry is a description; whoever reads or writes the block through it keeps the
// promises made for the block.
unsafe impl Send for Entry {}

impl Entry {
    /// The bytes handed to the user.
    pub(super) fn user(&self) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.inner.cast(), self.user_len)
    }

    fn end(&self, start: usize) -> usize {
        start + self.inner.len()
    }

    /// Whether `layout` fits the block.
    fn fits(&self, layout: NonZeroLayout) -> bool {
        layout.align() == self.asked.align()
            && (self.asked.size().get()..=self.user_len).contains(&layout.size().get())
    }
}

/// The live blocks by address.
///
/// # Invariants
///
/// - I1: no two live blocks share a byte.
/// - I2: a freed address lies in no live block.
#[derive(Debug, Default)]
pub(super) struct Book {
    live: BTreeMap<usize, Entry>,
    freed: BTreeSet<usize>,
}

impl Book {
    pub(super) fn live(&self) -> impl Iterator<Item = &Entry> {
        self.live.values()
    }

    pub(super) fn live_blocks(&self) -> usize {
        self.live.len()
    }

    /// Records a block; `Err` is the first address of a live block that it overlaps.
    pub(super) fn insert(&mut self, entry: Entry) -> Result<(), usize> {
        let start = entry.inner.cast::<u8>().addr().get();
        let end = entry.end(start);
        if let Some((&other, last)) = self.live.range(..end).next_back()
            && last.end(other) > start
        {
            return Err(other);
        }
        self.freed.retain(|address| !(start..end).contains(address));
        self.live.insert(start, entry);
        Ok(())
    }

    /// The live block that starts at `address` and that `layout` fits, or what is wrong with it.
    pub(super) fn find(&self, address: usize, layout: NonZeroLayout) -> Result<Entry, Misuse> {
        match self.live.get(&address) {
            Some(entry) if entry.fits(layout) => Ok(*entry),
            Some(_) => Err(Misuse::LayoutMismatch),
            None if self.covers(address) => Err(Misuse::InteriorPointer),
            None if self.freed.contains(&address) => Err(Misuse::DoubleFree),
            None => Err(Misuse::ForeignPointer),
        }
    }

    /// Whether `address` lies in a live block.
    fn covers(&self, address: usize) -> bool {
        let below = self.live.range(..=address).next_back();
        below.is_some_and(|(&start, entry)| address < entry.end(start))
    }

    /// The block that starts at `address`, to be changed in place.
    pub(super) fn get_mut(&mut self, address: usize) -> Option<&mut Entry> {
        self.live.get_mut(&address)
    }

    /// Ends the block at `address`; freeing it again is a double free.
    pub(super) fn remove(&mut self, address: usize) {
        self.live.remove(&address);
        self.freed.insert(address);
    }

    pub(super) fn clear(&mut self) {
        self.freed.extend(self.live.keys());
        self.live.clear();
    }
}
