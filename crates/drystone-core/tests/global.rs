//! `Global`: every method of `GlobalAlloc` reaches the one of the same meaning, and what has no block
//! gets null.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::NonNull;
use std::sync::Mutex;

use drystone_core::{AllocError, Allocator, Deallocator, Global, GlobalSafe, NonZeroLayout};

/// Serves from the system, notes what it is asked, and refuses on demand.
struct Noting {
    notes: Mutex<Vec<String>>,
    refuses: bool,
}

impl Noting {
    const fn new(refuses: bool) -> Self {
        Self {
            notes: Mutex::new(Vec::new()),
            refuses,
        }
    }

    fn note(&self, call: &str, layouts: &[NonZeroLayout]) -> Result<(), AllocError> {
        let sizes: Vec<_> = layouts
            .iter()
            .map(|layout| format!(" {}/{}", layout.size(), layout.align()))
            .collect();
        let mut notes = self.notes.lock().expect("no panic while noting");
        notes.push(format!("{call}{}", sizes.concat()));
        if self.refuses {
            Err(AllocError)
        } else {
            Ok(())
        }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.notes.lock().expect("no panic while noting"))
    }
}

fn block(start: *mut u8, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
    let start = NonNull::new(start).ok_or(AllocError)?;
    Ok(NonNull::slice_from_raw_parts(start, layout.size().get()))
}

// SAFETY: the blocks are the system's.
unsafe impl Deallocator for Noting {
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        let _ = self.note("deallocate", &[layout]);
        // SAFETY: the block is the system's, with this layout.
        unsafe { System.dealloc(ptr.as_ptr(), layout.to_layout()) };
    }
}

// SAFETY: the blocks are the system's.
unsafe impl Allocator for Noting {
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.note("allocate", &[layout])?;
        // SAFETY: the layout is not zero-sized.
        block(unsafe { System.alloc(layout.to_layout()) }, layout)
    }

    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.note("allocate_zeroed", &[layout])?;
        // SAFETY: the layout is not zero-sized.
        block(unsafe { System.alloc_zeroed(layout.to_layout()) }, layout)
    }

    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        self.note("grow", &[old, new])?;
        // SAFETY: the block is the system's, with this layout; the new size is not 0.
        let start = unsafe { System.realloc(ptr.as_ptr(), old.to_layout(), new.size().get()) };
        block(start, new)
    }

    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        self.note("shrink", &[old, new])?;
        // SAFETY: the block is the system's, with this layout; the new size is not 0.
        let start = unsafe { System.realloc(ptr.as_ptr(), old.to_layout(), new.size().get()) };
        block(start, new)
    }
}

// SAFETY: the notes are on the heap, but none of these tests serves it.
unsafe impl GlobalSafe for Noting {}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a layout")
}

#[test]
fn each_method_reaches_the_one_of_the_same_meaning() {
    static GLOBAL: Global<Noting> = Global::new(Noting::new(false));
    let small = layout(24, 8);
    // SAFETY: the layout is not zero-sized.
    let start = unsafe { GLOBAL.alloc(small) };
    // SAFETY: the block has 24 bytes.
    unsafe { start.write_bytes(7, 24) };
    // SAFETY: the block is live and has this layout.
    let start = unsafe { GLOBAL.realloc(start, small, 100) };
    // SAFETY: the block is live and has this layout.
    let same = unsafe { GLOBAL.realloc(start, layout(100, 8), 100) };
    assert_eq!(same, start);
    // SAFETY: the block is live and has this layout.
    let start = unsafe { GLOBAL.realloc(start, layout(100, 8), 3) };
    // SAFETY: a resize keeps the first bytes.
    assert_eq!(unsafe { start.cast::<[u8; 3]>().read() }, [7; 3]);
    // SAFETY: the block is live and has this layout.
    unsafe { GLOBAL.dealloc(start, layout(3, 8)) };
    // SAFETY: the layout is not zero-sized.
    let zeroed = unsafe { GLOBAL.alloc_zeroed(layout(64, 64)) };
    // SAFETY: the block is live and was zeroed.
    assert_eq!(unsafe { zeroed.cast::<[u8; 64]>().read() }, [0; 64]);
    // SAFETY: the block is live and has this layout.
    unsafe { GLOBAL.dealloc(zeroed, layout(64, 64)) };
    let notes = GLOBAL.inner().take();
    let expected = [
        "allocate 24/8",
        "grow 24/8 100/8",
        "shrink 100/8 3/8",
        "deallocate 3/8",
        "allocate_zeroed 64/64",
        "deallocate 64/64",
    ];
    assert_eq!(notes, expected);
}

#[test]
fn a_refusal_is_null_and_leaves_the_block() {
    let refusing = Global::new(Noting::new(true));
    // SAFETY: the layout is not zero-sized.
    assert!(unsafe { refusing.alloc(layout(8, 8)) }.is_null());
    // SAFETY: the layout is not zero-sized.
    assert!(unsafe { refusing.alloc_zeroed(layout(8, 8)) }.is_null());
    let mut bytes = [5; 8];
    for new_size in [1, 9] {
        // SAFETY: the allocator refuses before it looks at the block.
        let moved = unsafe { refusing.realloc(bytes.as_mut_ptr(), layout(8, 1), new_size) };
        assert!(moved.is_null());
    }
    assert_eq!(bytes, [5; 8]);
}

#[test]
fn what_has_no_bytes_never_reaches_the_allocator() {
    let global = Global::new(Noting::new(false));
    let empty = layout(0, 16);
    // SAFETY: this type promises null for a layout of no bytes.
    assert!(unsafe { global.alloc(empty) }.is_null());
    // SAFETY: as above.
    assert!(unsafe { global.alloc_zeroed(empty) }.is_null());
    let mut byte = 1;
    // SAFETY: this type promises to do nothing for a layout of no bytes.
    unsafe { global.dealloc(&raw mut byte, empty) };
    // SAFETY: this type promises null for a new size of 0, and leaves the block.
    assert!(unsafe { global.realloc(&raw mut byte, layout(1, 1), 0) }.is_null());
    let too_large = isize::MAX as usize + 1;
    // SAFETY: this type promises null for what no layout can be, and leaves the block.
    assert!(unsafe { global.realloc(&raw mut byte, layout(1, 1), too_large) }.is_null());
    assert!(global.inner().take().is_empty());
}
