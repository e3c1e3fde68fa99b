//! A live block under examination: its laws, its stamp, its end.

use core::ptr::NonNull;

use drystone_core::{AllocError, Allocator, NonZeroLayout};

use crate::bytes;

/// What a check found: nothing, or the words for what is wrong.
pub(crate) type Verdict<T = ()> = Result<T, String>;

/// Returns from a check with the words for what is wrong unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err(format!($($words)+));
        }
    };
}
pub(crate) use ensure;

/// A layout from parts that the checks know to be valid.
pub(crate) fn layout(size: usize, align: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, align).expect("the checks make valid layouts only")
}

/// A live block of `allocator`, stamped over its whole returned length.
///
/// Not freed on drop: a check that found a fault leaves the allocator as it is.
pub(crate) struct Block<'a, A: ?Sized> {
    allocator: &'a A,
    bytes: NonNull<[u8]>,
    layout: NonZeroLayout,
    seed: usize,
}

// SAFETY: the block's bytes are exclusive to it, and the allocator is shared as `Sync` allows.
unsafe impl<A: Sync + ?Sized> Send for Block<'_, A> {}

impl<'a, A: Allocator + ?Sized> Block<'a, A> {
    /// Allocates a block that the allocator has undertaken to serve.
    pub(crate) fn take(allocator: &'a A, layout: NonZeroLayout, seed: usize) -> Verdict<Self> {
        match allocator.allocate(layout) {
            Ok(block) => Self::adopt(allocator, block, layout, seed),
            Err(_) => Err(format!("refused {layout:?}, which it undertakes to serve")),
        }
    }

    /// Allocates a block that the allocator may refuse.
    pub(crate) fn attempt(
        allocator: &'a A,
        layout: NonZeroLayout,
        seed: usize,
    ) -> Verdict<Option<Self>> {
        match allocator.allocate(layout) {
            Ok(block) => Self::adopt(allocator, block, layout, seed).map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Takes over `bytes`, which `allocator` just returned for `layout`.
    pub(crate) fn adopt(
        allocator: &'a A,
        bytes: NonNull<[u8]>,
        layout: NonZeroLayout,
        seed: usize,
    ) -> Verdict<Self> {
        obeys(bytes, layout)?;
        let block = Self {
            allocator,
            bytes,
            layout,
            seed,
        };
        block.stamp();
        Ok(block)
    }

    pub(crate) fn ptr(&self) -> NonNull<u8> {
        self.bytes.cast()
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn layout(&self) -> NonZeroLayout {
        self.layout
    }

    /// First address and the one after the last.
    pub(crate) fn span(&self) -> (usize, usize) {
        let start = self.ptr().addr().get();
        (start, start + self.len())
    }

    /// Writes the block's stamp over all of it.
    pub(crate) fn stamp(&self) {
        // SAFETY: the block is live and writable for its returned length.
        unsafe { bytes::stamp(self.bytes, self.seed) };
    }

    /// The stamp is still there.
    pub(crate) fn check(&self) -> Verdict {
        self.check_prefix(self.len())
    }

    /// The first `len` bytes of the stamp are still there.
    pub(crate) fn check_prefix(&self, len: usize) -> Verdict {
        let part = NonNull::slice_from_raw_parts(self.ptr(), len.min(self.len()));
        // SAFETY: a part of a live block that was stamped over its whole length.
        match unsafe { bytes::first_difference(part, self.seed) } {
            None => Ok(()),
            Some(at) => Err(format!(
                "byte {at} of a live block of {:?} changed",
                self.layout
            )),
        }
    }

    /// Checks the stamp and frees the block with the layout it was asked for with.
    pub(crate) fn free(self) -> Verdict {
        let layout = self.layout;
        self.free_as(layout)
    }

    /// Checks the stamp and frees the block with another layout that fits.
    pub(crate) fn free_as(self, fitting: NonZeroLayout) -> Verdict {
        self.check()?;
        debug_assert!(fitting.align() == self.layout.align());
        debug_assert!((self.layout.size().get()..=self.len()).contains(&fitting.size().get()));
        // SAFETY: the block is live, comes from this allocator, which the borrow kept in place,
        // and is not used again; the layout fits.
        unsafe { self.allocator.deallocate(self.ptr(), fitting) };
        Ok(())
    }

    /// Grows the block, which is now described by `old` (a layout that fits it). `Err` gives the
    /// block back, checked to be untouched.
    pub(crate) fn grow(
        self,
        old: NonZeroLayout,
        new: NonZeroLayout,
        zeroed: bool,
    ) -> Verdict<Result<Self, Self>> {
        let Ok(bytes) = self.call_grow(old, new, zeroed) else {
            self.check()?;
            return Ok(Err(self));
        };
        self.moved(bytes, new, old.size().get(), zeroed)
    }

    /// Asks for a growth that must be refused, and checks that the block is untouched. What is
    /// returned instead is not looked into: it cannot be as long as it says.
    pub(crate) fn cannot_grow(
        &self,
        old: NonZeroLayout,
        new: NonZeroLayout,
        zeroed: bool,
    ) -> Verdict {
        ensure!(
            core::hint::black_box(self.call_grow(old, new, zeroed)).is_err(),
            "grew {old:?} to {new:?}"
        );
        self.check()
    }

    fn call_grow(
        &self,
        old: NonZeroLayout,
        new: NonZeroLayout,
        zeroed: bool,
    ) -> Result<NonNull<[u8]>, AllocError> {
        debug_assert!(new.size() >= old.size());
        if zeroed {
            // SAFETY: as for the other arm.
            unsafe { self.allocator.grow_zeroed(self.ptr(), old, new) }
        } else {
            // SAFETY: the block is live, `old` fits it, and `new >= old`.
            unsafe { self.allocator.grow(self.ptr(), old, new) }
        }
    }

    /// Shrinks the block, which is now described by `old`.
    pub(crate) fn shrink(
        self,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Verdict<Result<Self, Self>> {
        // SAFETY: the block is live, `old` fits it, and the callers pass `new <= old`.
        let result = unsafe { self.allocator.shrink(self.ptr(), old, new) };
        let Ok(bytes) = result else {
            self.check()?;
            return Ok(Err(self));
        };
        self.moved(bytes, new, new.size().get(), false)
    }

    /// The laws of a block that was resized: those of any block, and its first `kept` bytes.
    fn moved(
        self,
        bytes: NonNull<[u8]>,
        new: NonZeroLayout,
        kept: usize,
        zeroed: bool,
    ) -> Verdict<Result<Self, Self>> {
        obeys(bytes, new)?;
        let block = Self {
            bytes,
            layout: new,
            ..self
        };
        block.check_prefix(kept)?;
        if zeroed {
            // SAFETY: the block is live and all of it was written, by the contract of grow_zeroed.
            let dirty = unsafe { bytes::first_nonzero(bytes, kept) };
            ensure!(
                dirty.is_none(),
                "byte {} of a block grown with zeros is not zero ({new:?})",
                dirty.unwrap_or_default()
            );
        }
        block.stamp();
        Ok(Ok(block))
    }
}

/// What holds for every block returned: long enough, aligned, not wrapping.
pub(crate) fn obeys(bytes: NonNull<[u8]>, layout: NonZeroLayout) -> Verdict {
    let address = bytes.cast::<u8>().addr().get();
    ensure!(
        bytes.len() >= layout.size().get(),
        "returned {} bytes for {layout:?}",
        bytes.len()
    );
    ensure!(
        address % layout.align() == 0,
        "returned address {address:#x} for {layout:?}"
    );
    ensure!(
        bytes.len() <= isize::MAX as usize && address.checked_add(bytes.len()).is_some(),
        "returned a block that wraps around the address space for {layout:?}"
    );
    Ok(())
}

/// Runs `case` for each of `cases` on an allocator that has room for `blocks_each` blocks a case:
/// the same one where memory is reused, a fresh one whenever the blocks promised are used up.
pub(crate) fn each_with_room<A: Allocator, T>(
    make: &impl Fn() -> A,
    caps: super::Caps,
    blocks_each: usize,
    cases: impl IntoIterator<Item = T>,
    mut case: impl FnMut(&A, T) -> Verdict,
) -> Verdict {
    let per_allocator = if caps.reuses_memory {
        usize::MAX
    } else {
        caps.blocks / blocks_each
    };
    let mut cases = cases.into_iter().peekable();
    while cases.peek().is_some() {
        let allocator = make();
        for one in cases.by_ref().take(per_allocator) {
            case(&allocator, one)?;
        }
    }
    Ok(())
}
