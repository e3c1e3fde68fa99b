//! [`Blocks`]: the contestants of the slab rows behind one interface, each through its best call.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::ptr::{self, NonNull};

use drystone_backing::HeapBacked;
use drystone_core::{Allocator, FixedRange, NonZeroLayout};

/// The object of the slab rows: 64 bytes, 8-byte aligned.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Object([u64; 8]);

impl Object {
    /// An object all of whose words are `word`.
    pub(crate) const fn filled(word: u64) -> Self {
        Self([word; 8])
    }
}

/// A source of 64-byte blocks.
pub(crate) trait Blocks {
    /// What names a block.
    type Token: Copy;

    /// Takes a block and writes its first and last byte.
    fn take(&mut self) -> Self::Token;

    /// Gives a block back.
    fn give(&mut self, token: Self::Token);
}

/// Writes the first and the last byte, as every contestant must.
#[inline(always)]
pub(crate) fn touch(block: *mut u8) {
    // SAFETY: every caller passes a live block of 64 bytes.
    unsafe { block.write(1) };
    // SAFETY: as above; 63 is inside the block.
    let last = unsafe { block.add(63) };
    // SAFETY: as above.
    unsafe { last.write(2) };
}

/// Any drystone allocator, with the layout known at compile time.
pub(crate) struct Drystone<A>(pub(crate) A);

const OBJECT: NonZeroLayout = match NonZeroLayout::for_type::<Object>() {
    Some(layout) => layout,
    None => panic!("the object has a size"),
};

impl<A: Allocator> Blocks for Drystone<A> {
    type Token = NonNull<u8>;

    #[inline(always)]
    fn take(&mut self) -> NonNull<u8> {
        let block = self
            .0
            .allocate(OBJECT)
            .expect("the row stays below the capacity")
            .cast();
        touch(block.as_ptr());
        block
    }

    #[inline(always)]
    fn give(&mut self, token: NonNull<u8>) {
        // SAFETY: the token is a live block of this allocator with this layout, given once.
        unsafe { self.0.deallocate(token, OBJECT) };
    }
}

/// The least that a LIFO free list does: the head lives in memory, links are pointers. Its objects
/// lie in the same kind of memory as those of the slab, because where they lie relative to cache
/// lines decides as much as the code.
pub(crate) struct Lifo {
    head: *mut u8,
    _memory: HeapBacked,
}

impl Lifo {
    /// A list of `count` blocks, lowest address first.
    pub(crate) fn new(count: usize) -> Self {
        let memory = HeapBacked::new(count * size_of::<Object>()).expect("the heap has room");
        let base = memory.base().cast::<Object>();
        let mut list = Self {
            head: ptr::null_mut(),
            _memory: memory,
        };
        for index in (0..count).rev() {
            // SAFETY: the index is below the number of objects that the memory holds.
            let block = unsafe { base.add(index) };
            list.give(block.as_ptr().cast());
        }
        list
    }
}

impl Blocks for Lifo {
    type Token = *mut u8;

    #[inline(always)]
    fn take(&mut self) -> *mut u8 {
        let block = self.head;
        assert!(!block.is_null(), "the row stays below the capacity");
        // SAFETY: a non-null head is a free block whose first word is the link.
        self.head = unsafe { block.cast::<*mut u8>().read() };
        touch(block);
        block
    }

    #[inline(always)]
    fn give(&mut self, token: *mut u8) {
        // SAFETY: the token is a block of this list, aligned for a pointer.
        unsafe { token.cast::<*mut u8>().write(self.head) };
        self.head = token;
    }
}

/// The `slab` crate: blocks are named by keys.
pub(crate) struct Keyed(pub(crate) slab::Slab<std::mem::MaybeUninit<Object>>);

impl Blocks for Keyed {
    type Token = usize;

    #[inline(always)]
    fn take(&mut self) -> usize {
        let entry = self.0.vacant_entry();
        let key = entry.key();
        touch(
            entry
                .insert(std::mem::MaybeUninit::uninit())
                .as_mut_ptr()
                .cast(),
        );
        key
    }

    #[inline(always)]
    fn give(&mut self, token: usize) {
        black_box(&mut self.0).remove(token);
    }
}

/// A general-purpose allocator through its `GlobalAlloc` methods, called as statics.
pub(crate) struct General<G>(pub(crate) G);

const OBJECT_LAYOUT: Layout = Layout::new::<Object>();

impl<G: GlobalAlloc> Blocks for General<G> {
    type Token = *mut u8;

    #[inline(always)]
    fn take(&mut self) -> *mut u8 {
        // SAFETY: the layout is not zero-sized.
        let block = unsafe { self.0.alloc(OBJECT_LAYOUT) };
        assert!(!block.is_null(), "64 bytes can be had");
        touch(block);
        block
    }

    #[inline(always)]
    fn give(&mut self, token: *mut u8) {
        // SAFETY: the token is a live block of this allocator with this layout, given once.
        unsafe { self.0.dealloc(token, OBJECT_LAYOUT) };
    }
}

#[cfg(feature = "mimalloc")]
pub(crate) use crate::rivals::Mimalloc2 as MimallocTuned;
