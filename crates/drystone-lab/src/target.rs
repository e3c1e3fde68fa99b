//! What a contestant is: the trait that the replay loop is generic over, and what is said of it.
//!
//! # What
//! [`ReplayTarget`] is the face of an allocator under replay. The loop is compiled once for each
//! implementation, so a composition is inlined as it is in a program that uses it.
//!
//! # Threads
//! One value serves all threads of a replay; blocks are freed by other threads than allocated
//! them.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;

use drystone_core::{AllocError, Allocator, NonZeroLayout};

/// An allocator that a trace can be replayed on.
///
/// Sizes are bytes and never 0. A null pointer is a refusal: it is counted, the object stays
/// absent (or, after a reallocation, as it was), and the replay goes on.
///
/// # Safety
/// Blocks handed out must be valid for reads and writes of the layout's size, aligned to its
/// alignment, and disjoint from every other live block, until they are given back; a reallocated
/// block begins with the contents of the old one. With [`KEEPS_CONTENTS`](Self::KEEPS_CONTENTS)
/// off, blocks only need to be valid for writes by the thread that they are handed to.
pub unsafe trait ReplayTarget: Sync {
    /// Off for a harness without memory of its own: what is written is never read, and it cannot
    /// be verified.
    const KEEPS_CONTENTS: bool = true;

    /// A block of `layout`, or null.
    ///
    /// # Safety
    /// The layout's size is not 0.
    unsafe fn allocate(&self, layout: Layout) -> *mut u8;

    /// A block of `layout` whose bytes are zero, or null.
    ///
    /// # Safety
    /// The layout's size is not 0.
    unsafe fn allocate_zeroed(&self, layout: Layout) -> *mut u8;

    /// Gives a block back.
    ///
    /// # Safety
    /// `block` is live, came from `self`, and `layout` is its current layout.
    unsafe fn deallocate(&self, block: *mut u8, layout: Layout);

    /// Resizes a block to `new_size` bytes at the same alignment; null leaves it as it was.
    ///
    /// # Safety
    /// As for [`deallocate`](Self::deallocate); `new_size` with the layout's alignment is a
    /// valid layout.
    unsafe fn reallocate(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8;

    /// The size in bytes from which on every request is refused, where there is one. It tells
    /// the refusals "never" from "not now".
    fn refuses_from_bytes(&self) -> Option<usize> {
        None
    }

    /// Called between two passes, when no block is live. An allocator that gives nothing back on
    /// free resets here.
    fn between_passes(&mut self) {}
}

/// A [`ReplayTarget`] made of anything that can be a global allocator.
#[derive(Debug, Default, Clone, Copy)]
pub struct FromGlobal<A>(pub A);

// SAFETY: `GlobalAlloc` promises valid, aligned, disjoint blocks for layouts of non-zero size,
// and the lab passes no other.
unsafe impl<A: GlobalAlloc + Sync> ReplayTarget for FromGlobal<A> {
    #[inline]
    unsafe fn allocate(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller promises that the size is not zero.
        unsafe { self.0.alloc(layout) }
    }

    #[inline]
    unsafe fn allocate_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller promises that the size is not zero.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn deallocate(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller passes a live block of this allocator with its layout.
        unsafe { self.0.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn reallocate(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as for `dealloc`; the new size is not zero and forms a valid layout.
        unsafe { self.0.realloc(block, layout, new_size) }
    }
}

/// A [`ReplayTarget`] made of a drystone allocator that threads may share.
#[derive(Debug, Default, Clone, Copy)]
pub struct FromAllocator<A>(pub A);

fn or_null(block: Result<NonNull<[u8]>, AllocError>) -> *mut u8 {
    block.map_or(core::ptr::null_mut(), |block| block.as_ptr().cast())
}

// SAFETY: `Allocator` promises valid, aligned, disjoint blocks, and that `grow` and `shrink` keep
// the contents that both sizes have in common or leave the block as it was.
unsafe impl<A: Allocator + Sync> ReplayTarget for FromAllocator<A> {
    #[inline]
    unsafe fn allocate(&self, layout: Layout) -> *mut u8 {
        match NonZeroLayout::try_from(layout) {
            Ok(layout) => or_null(self.0.allocate(layout)),
            Err(_) => core::ptr::null_mut(),
        }
    }

    #[inline]
    unsafe fn allocate_zeroed(&self, layout: Layout) -> *mut u8 {
        match NonZeroLayout::try_from(layout) {
            Ok(layout) => or_null(self.0.allocate_zeroed(layout)),
            Err(_) => core::ptr::null_mut(),
        }
    }

    #[inline]
    unsafe fn deallocate(&self, block: *mut u8, layout: Layout) {
        if let (Some(block), Ok(layout)) = (NonNull::new(block), NonZeroLayout::try_from(layout)) {
            // SAFETY: the caller passes a live block of this allocator with its layout.
            unsafe { self.0.deallocate(block, layout) };
        }
    }

    #[inline]
    unsafe fn reallocate(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let new = NonZeroLayout::from_size_align(new_size, layout.align());
        let (Some(block), Ok(old), Ok(new)) =
            (NonNull::new(block), NonZeroLayout::try_from(layout), new)
        else {
            return core::ptr::null_mut();
        };
        or_null(if new_size >= layout.size() {
            // SAFETY: the caller passes a live block with its layout; the new size is not smaller.
            unsafe { self.0.grow(block, old, new) }
        } else {
            // SAFETY: the caller passes a live block with its layout; the new size is smaller.
            unsafe { self.0.shrink(block, old, new) }
        })
    }

    fn refuses_from_bytes(&self) -> Option<usize> {
        self.0.capacity_bytes()?.checked_add(1)
    }
}

/// What a trace asks of an allocator in total, for targets that must reserve in advance.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// Greatest sum of the sizes of live blocks, in bytes.
    pub peak_live_bytes: u64,
    /// Greatest number of live blocks.
    pub peak_live_blocks: u64,
    /// Sum of all sizes asked for, reallocations included, each with its alignment, in bytes.
    pub requested_bytes: u64,
    /// Largest block, in bytes.
    pub largest_bytes: u64,
    /// Greatest alignment, in bytes.
    pub largest_align: usize,
}

/// How a target is told from the others in tables, results and reports.
#[derive(Debug, Clone)]
pub struct Description {
    /// Short name, as `--with` takes it.
    pub name: String,
    /// One line: what it is made of.
    pub about: String,
    /// Version of the code under test.
    pub version: String,
    /// Build flags and settings that change its behaviour.
    pub flags: String,
    /// How its figures may be read.
    pub role: Role,
    /// Only a run that names it has it.
    pub when_named: bool,
}

/// How a target's figures may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A general allocator.
    General,
    /// Never gives memory back: a ceiling for speed, not a choice.
    Ceiling,
    /// No allocator at all: the cost of the replay itself.
    Harness,
}

impl Description {
    /// A general allocator of the given name.
    pub fn new(name: &str, about: &str) -> Self {
        Self {
            name: name.to_owned(),
            about: about.to_owned(),
            version: String::new(),
            flags: String::new(),
            role: Role::General,
            when_named: false,
        }
    }

    /// States the version of the code under test.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// States build flags and settings.
    #[must_use]
    pub fn flags(mut self, flags: impl Into<String>) -> Self {
        self.flags = flags.into();
        self
    }

    /// Takes the contestant out of runs that name none.
    #[must_use]
    pub fn when_named(mut self) -> Self {
        self.when_named = true;
        self
    }

    /// States how the figures may be read.
    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }
}
