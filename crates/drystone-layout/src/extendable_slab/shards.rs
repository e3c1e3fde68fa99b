//! [`Shards`]: the shards of a slab by thread slot, made when they are first needed.
//!
//! ```text
//!  chunks:  [ 8 shards | none | 8 shards | ... ]     a chunk is made whole and never moves
//! ```

use core::ptr;

use drystone_core::AllocError;
use drystone_sync::THREAD_SLOTS_MAX;
use drystone_sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::shard::Shard;

/// The shards of a chunk: a chunk is 2 KiB, and a slab with few threads has one.
const CHUNK_LEN: usize = if cfg!(loom) { 1 } else { 8 };

/// Enough chunks for every thread slot.
const CHUNKS: usize = THREAD_SLOTS_MAX.div_ceil(CHUNK_LEN);

/// A shard for each thread slot that used the slab.
pub(super) struct Shards {
    // I1: null, or the first of `CHUNK_LEN` shards of a leaked box that this value owns.
    chunks: [AtomicPtr<Shard>; CHUNKS],
    // I2: no chunk from this one on has been made. Thread slots are given from the lowest on, so a
    // walk over the shards is as long as there were threads at once.
    end: AtomicUsize,
}

impl Shards {
    /// No shard yet.
    pub(super) fn new() -> Self {
        Self {
            chunks: core::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            end: AtomicUsize::new(0),
        }
    }

    /// The shard of `slot`, if its chunk has been made.
    #[inline]
    pub(super) fn get(&self, slot: usize) -> Option<&Shard> {
        // Acquire: pairs with the Release in `make`, for the content of the chunk.
        let first = self.chunks.get(slot / CHUNK_LEN)?.load(Ordering::Acquire);
        if first.is_null() {
            return None;
        }
        // SAFETY: by I1 the chunk has the place.
        let shard = unsafe { first.add(slot % CHUNK_LEN) };
        // SAFETY: by I1 the shard is initialised and lives as long as `self`; it is only shared.
        Some(unsafe { &*shard })
    }

    /// The shard of `slot`; makes its chunk if need be.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if the heap has no memory for it.
    pub(super) fn get_or_make(&self, slot: usize) -> Result<&Shard, AllocError> {
        if let Some(shard) = self.get(slot) {
            return Ok(shard);
        }
        self.make(slot / CHUNK_LEN)?;
        self.get(slot).ok_or(AllocError)
    }

    fn make(&self, chunk: usize) -> Result<(), AllocError> {
        let mut shards = Vec::new();
        shards
            .try_reserve_exact(CHUNK_LEN)
            .map_err(|_| AllocError)?;
        shards.extend((0..CHUNK_LEN).map(|_| Shard::new()));
        let first = Box::into_raw(shards.into_boxed_slice()).cast::<Shard>();
        // Relaxed: whoever finds the chunk finds this too, by the Release that follows.
        self.end.fetch_max(chunk + 1, Ordering::Relaxed);
        // Release: pairs with the Acquire in `get`. A failure means that another thread made the
        // chunk; this one's is not needed then.
        let made = self.chunks[chunk].compare_exchange(
            ptr::null_mut(),
            first,
            Ordering::Release,
            Ordering::Relaxed,
        );
        if made.is_err() {
            // SAFETY: the box was leaked above, and nobody else knows it.
            unsafe { free(first) };
        }
        Ok(())
    }

    /// Every shard with its slot.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Shard)> {
        (0..self.end.load(Ordering::Relaxed)).flat_map(move |chunk| {
            let first = chunk * CHUNK_LEN;
            (first..first + CHUNK_LEN).map_while(|slot| Some((slot, self.get(slot)?)))
        })
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        for chunk in 0..CHUNKS {
            let first = self.chunks[chunk].load(Ordering::Relaxed);
            if !first.is_null() {
                // SAFETY: by I1; nobody uses a shard when the slab is dropped.
                unsafe { free(first) };
            }
        }
    }
}

/// Frees a chunk.
///
/// # Safety
///
/// `first` is the first shard of a leaked box of `CHUNK_LEN`, and nobody uses them.
unsafe fn free(first: *mut Shard) {
    let shards = ptr::slice_from_raw_parts_mut(first, CHUNK_LEN);
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(shards) });
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn shards_are_made_by_the_chunk_and_keep_their_place() {
        let shards = Shards::new();
        assert!(shards.get(0).is_none());
        let shard = ptr::from_ref(shards.get_or_make(5).expect("memory for a test"));
        assert!(shards.get(CHUNK_LEN).is_none());
        assert_eq!(shards.get(5).map(ptr::from_ref), Some(shard));
        assert_eq!(shards.get_or_make(5).map(ptr::from_ref), Ok(shard));
        let slots: Vec<_> = shards.iter().map(|(slot, _)| slot).collect();
        assert_eq!(slots, (0..CHUNK_LEN).collect::<Vec<_>>());
        assert!(shards.get_or_make(THREAD_SLOTS_MAX - 1).is_ok());
        assert!(shards.get(THREAD_SLOTS_MAX).is_none());
        assert_eq!(
            shards.iter().map(|(slot, _)| slot).max(),
            Some(THREAD_SLOTS_MAX - 1)
        );
    }
}
