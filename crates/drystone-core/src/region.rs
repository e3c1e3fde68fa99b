//! [`Region`]: an exclusive borrow of a backing.

use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::{AllocError, FixedRange, StableAddress, arith};

/// The range of a backing that is borrowed for `'a`.
///
/// A borrowed backing cannot move, so a region is [`StableAddress`] even over inline storage: it
/// is the safe way to use a stack buffer with collections. The backing's type is erased.
///
/// ```
/// # use drystone_core::{FixedRange, Region};
/// fn first_byte<B: FixedRange>(mut backing: B) -> usize {
///     let region = Region::borrow(&mut backing);
///     region.base().addr().get()
/// }
/// ```
#[derive(Debug)]
pub struct Region<'a> {
    base: NonNull<u8>,
    size: usize,
    /// How to commit, where the backing commits on demand.
    commit: Option<Commit>,
    lent: PhantomData<&'a mut [u8]>,
}

/// A backing with its type erased, and its `commit`.
#[derive(Clone, Copy, Debug)]
struct Commit {
    backing: NonNull<()>,
    /// Requires that `backing` is the value it was made for, still borrowed.
    call: unsafe fn(NonNull<()>, usize, usize) -> Result<(), AllocError>,
}

// SAFETY: a region gives access to bytes, exclusively, like `&mut [u8]`. The erased backing is
// reached only through `FixedRange::commit`, which may be called from any thread (L7), and the
// bytes may be used from any thread (L3).
unsafe impl Send for Region<'_> {}
// SAFETY: through `&Region` only the description of the range and `commit` can be reached, which
// several threads may call at once (L7).
unsafe impl Sync for Region<'_> {}

impl<'a> Region<'a> {
    /// Borrows all of `backing`.
    #[inline]
    pub fn borrow<B: FixedRange>(backing: &'a mut B) -> Self {
        // The exclusive borrow lasts for 'a; only shared access is needed, and reborrowing once
        // keeps every later pointer valid.
        let backing: &'a B = backing;
        let commit = backing.commits_on_demand().then(|| Commit {
            backing: NonNull::from(backing).cast(),
            call: commit_erased::<B>,
        });
        Self {
            base: backing.base(),
            size: backing.size(),
            commit,
            lent: PhantomData,
        }
    }
}

/// Calls `B::commit`.
///
/// # Safety
///
/// `backing` points to a live `B` that is borrowed for the length of the call.
unsafe fn commit_erased<B: FixedRange>(
    backing: NonNull<()>,
    offset: usize,
    len: usize,
) -> Result<(), AllocError> {
    // SAFETY: by the caller's promise the pointer is a live, shared-borrowed `B`.
    let backing: &B = unsafe { backing.cast().as_ref() };
    backing.commit(offset, len)
}

// SAFETY: L1 to L3, L5 and L6 are the backing's own answers, and it can neither move nor be used
// otherwise while it is borrowed (L4). L7: the fields are immutable.
unsafe impl FixedRange for Region<'_> {
    #[inline]
    fn base(&self) -> NonNull<u8> {
        self.base
    }

    #[inline]
    fn size(&self) -> usize {
        self.size
    }

    #[inline]
    fn base_align(&self) -> usize {
        arith::natural_align(self.base.addr().get())
    }

    #[inline]
    fn commit(&self, offset: usize, len: usize) -> Result<(), AllocError> {
        match self.commit {
            None if arith::range_fits(offset, len, self.size) => Ok(()),
            None => Err(AllocError),
            // SAFETY: the pointer was made from `&'a B` together with the function, and the
            // borrow is still held.
            Some(commit) => unsafe { (commit.call)(commit.backing, offset, len) },
        }
    }

    #[inline]
    fn keeps_base(&self) -> bool {
        true
    }

    #[inline]
    fn commits_on_demand(&self) -> bool {
        self.commit.is_some()
    }

    #[inline]
    fn align_offset(&self, offset: usize, align: usize) -> Option<usize> {
        arith::align_offset_at(self.base.addr().get(), offset, align)
    }
}

// SAFETY: the borrowed backing cannot move while the region lives.
unsafe impl StableAddress for Region<'_> {}
