//! Blocks that are freed and resized by their address alone, as C does it.
//!
//! # Threads
//!
//! As [`GlobalArena`].
//!
//! # Cost
//!
//! [`free_at_once`](GlobalArena::free_at_once) finds the owner of the block's segment by two loads of the
//! map, and the block's class by a load of the segment's header; `Checked` adds a word of each kind of
//! state bits. `Fast` finds the owner by a load of the header.

use core::ptr::{self, NonNull};

use drystone_core::NonZeroLayout;

use crate::check::{PlaceKind, around, bytes_around, find};
use crate::error::FreeError;
use crate::geometry::{Kind, LARGE_MAX, SLICE_BYTES, class_of};
use crate::global::GlobalArena;
use crate::heap::Heap;
use crate::ops::{self, move_bytes};
use crate::profile::Profile;
use crate::segment::Segment;
use crate::segment_map;

/// What [`GlobalArena::allocate_at_once`] aligns blocks to.
const ALIGN: usize = 16;

impl<P: Profile> GlobalArena<P> {
    /// A block of at least `size` bytes, which are not none, aligned to 16, if the calling thread has one at
    /// hand: without a lock and a call of the system. Otherwise nothing has changed, and
    /// [`allocate`](drystone_core::Allocator::allocate) may give one.
    #[inline(always)]
    #[must_use]
    pub fn allocate_at_once(size: usize) -> Option<NonNull<u8>> {
        Self::pop(class_of(size, ALIGN)?)
    }

    /// Takes back the block at the address if that needs no lock and no call of the system. Otherwise
    /// nothing has changed, and [`free`](Self::free) does it or says why it must not be done.
    ///
    /// Of the profile [`Checked`](drystone_core::Checked) it takes back no address but that of a live
    /// block. [`Fast`](drystone_core::Fast) believes the caller.
    ///
    /// # Safety
    ///
    /// As [`free`](Self::free).
    #[inline(always)]
    #[must_use]
    pub unsafe fn free_at_once(ptr: NonNull<u8>) -> bool {
        // SAFETY: the caller's promise.
        unsafe { Self::free_own(ptr, |_| true) }
    }

    /// [`free_at_once`](Self::free_at_once), if the block's class is as `expected`.
    ///
    /// # Safety
    ///
    /// As [`free`](Self::free).
    #[inline(always)]
    #[must_use]
    pub(crate) unsafe fn free_own(ptr: NonNull<u8>, expected: impl FnOnce(usize) -> bool) -> bool {
        if P::HARDENED {
            // The block has to be filled.
            return false;
        }
        P::with_thread(|thread| {
            // SAFETY: the caller's promise; the thread has the heap.
            unsafe { ops::free_own::<P, true>(thread.get(), ptr.addr().get(), expected) }
        })
    }

    /// Takes back the block at the address.
    ///
    /// # Errors
    ///
    /// [`FreeError`], as far as the profile finds out; nothing has changed then.
    ///
    /// # Safety
    ///
    /// If the address is that of a live block, then nobody uses it any more, and it was handed out by the
    /// process-wide arena of this profile. What the profile does not find out is the caller's duty. If
    /// it is not, no other thread gives the memory there back to the system meanwhile.
    pub unsafe fn free(ptr: NonNull<u8>) -> Result<(), FreeError> {
        // SAFETY: the caller's promise.
        unsafe { Self::try_free(ptr, None) }
    }

    /// Makes the block at the address serve `new`: where it is, or else somewhere else. It keeps its
    /// first bytes, as many as the smaller of the two has. `None` if there is no memory; nothing has
    /// changed then.
    ///
    /// A block that becomes smaller stays where it is unless more than half of it, or three quarters of a
    /// mapping of its own, would be unused, so its size may no longer be that of a block for `new`: it is
    /// freed without a layout.
    ///
    /// # Errors
    ///
    /// As [`free`](Self::free).
    ///
    /// # Safety
    ///
    /// As [`free`](Self::free); after an answer of a block the old one is that block or is free. The
    /// block is aligned to `new.align()` already.
    pub unsafe fn reallocate(
        ptr: NonNull<u8>,
        new: NonZeroLayout,
    ) -> Result<Option<NonNull<u8>>, FreeError> {
        let address = ptr.addr().get();
        let place = find(P::core(), address, P::CHECKED)?;
        let (have, size) = (place.kind.bytes(), new.size().get());
        let stays = |heap: &Heap| Self::stays(heap, place.segment, address, place.kind, size);
        if P::with_thread(|thread| stays(thread.get())) {
            return Ok(Some(ptr));
        }
        let Some(moved) = Self::allocate_layout(new.to_layout()) else {
            return Ok(None);
        };
        let both_huge = matches!(place.kind, PlaceKind::Huge { .. }) && Kind::of(new) == Kind::Huge;
        // SAFETY: both blocks have the bytes, are different blocks, and the old one is given up.
        unsafe { move_bytes(P::core(), ptr, &moved, both_huge, have.min(size)) };
        // SAFETY: the caller gave the block up.
        if !unsafe { Self::free_at_once(ptr) } {
            // SAFETY: as above.
            unsafe { Self::free(ptr) }?;
        }
        Ok(Some(moved.block))
    }

    /// Whether the block serves `size` bytes where it is; makes it so if a run or a mapping has to
    /// change for that.
    fn stays(heap: &Heap, segment: &Segment, address: usize, kind: PlaceKind, size: usize) -> bool {
        let have = kind.bytes();
        match kind {
            PlaceKind::Class(_) => have / 2 <= size && size <= have,
            PlaceKind::Run {
                slices: have_slices,
            } => {
                let slices = size.div_ceil(SLICE_BYTES);
                if size < have / 2 || size > LARGE_MAX {
                    return false;
                }
                slices == have_slices
                    || ptr::eq(segment.owner(), heap)
                        && heap.resize_run(segment, segment.run_of(address), slices)
            }
            PlaceKind::Huge { .. } => {
                (size > LARGE_MAX || have / 2 <= size) && P::core().resize_huge(segment, size)
            }
        }
    }

    /// All bytes of the live block at the address, by the arena's own pointer.
    ///
    /// # Errors
    ///
    /// As [`block_bytes`](Self::block_bytes).
    ///
    /// # Safety
    ///
    /// As [`block_bytes`](Self::block_bytes).
    pub unsafe fn live_block(ptr: NonNull<u8>) -> Result<NonNull<[u8]>, FreeError> {
        // SAFETY: the caller's promise.
        let bytes = unsafe { Self::block_bytes(ptr) }?;
        // SAFETY: a live block's address, which is in its segment, or begins where its header's ends.
        let own = unsafe { segment_map::pointer(ptr.addr().get()) };
        // SAFETY: blocks do not lie at address 0.
        let own = unsafe { NonNull::new_unchecked(own) };
        Ok(NonNull::slice_from_raw_parts(own, bytes))
    }

    /// All bytes of the live block that the address is in, by the arena's own pointer. Of a profile
    /// without state bits the answer may be a block that is free.
    ///
    /// # Errors
    ///
    /// [`FreeError`]: no live block is there.
    ///
    /// # Safety
    ///
    /// No other thread gives the memory at the address back to the system meanwhile.
    pub unsafe fn block_around(ptr: NonNull<u8>) -> Result<NonNull<[u8]>, FreeError> {
        let address = ptr.addr().get();
        let (start, bytes) = around(P::core(), address, P::CHECKED)?;
        // SAFETY: a live block's address, which is in its segment, or begins where its header's ends.
        let own = unsafe { segment_map::pointer(start) };
        // SAFETY: blocks do not lie at address 0.
        let own = unsafe { NonNull::new_unchecked(own) };
        Ok(NonNull::slice_from_raw_parts(own, bytes))
    }

    /// The size of the blocks of the page, or of the one block, that the address is in: for what is
    /// said about an address that is no live block. `None` outside of the arena, and where there is
    /// neither a page nor a block.
    #[must_use]
    pub fn block_bytes_around(address: usize) -> Option<usize> {
        bytes_around(P::core(), address)
    }

    /// Gives everything back that the calling thread keeps: blocks of other threads to those, blocks of
    /// its own to their pages, and pages of which nothing is in use to the arena.
    pub fn drain_thread(&self) {
        P::with_thread(|thread| {
            let heap = thread.get();
            if !heap.is_none() {
                heap.drain();
                heap.release_all();
            }
        });
    }
}
