//! The platform's allocator as a value.
#![cfg(feature = "std")]

use std::ptr::NonNull;

use drystone_backing::System;
use drystone_core::{AllocError, Allocator, Deallocator, NonZeroLayout};

fn layout(size: usize, align: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, align).expect("a block")
}

/// Writes 1, 2, 3 … to the first `len` bytes.
fn stamp(block: NonNull<[u8]>, len: usize) {
    for offset in 0..len {
        // SAFETY: every caller passes a live block of at least `len` bytes.
        let byte = unsafe { block.cast::<u8>().add(offset) };
        // SAFETY: as above.
        unsafe { byte.write(offset as u8) };
    }
}

fn assert_stamped(block: NonNull<[u8]>, len: usize) {
    for offset in 0..len {
        // SAFETY: every caller passes a live block of at least `len` bytes.
        let byte = unsafe { block.cast::<u8>().add(offset) };
        // SAFETY: as above; `stamp` initialised it.
        assert_eq!(unsafe { byte.read() }, offset as u8);
    }
}

fn assert_zero(block: NonNull<[u8]>, from: usize) {
    for offset in from..block.len() {
        // SAFETY: the offset lies in the block.
        let byte = unsafe { block.cast::<u8>().add(offset) };
        // SAFETY: the bytes from here on are initialised with zero.
        assert_eq!(unsafe { byte.read() }, 0);
    }
}

#[test]
fn blocks_are_exact_and_aligned() {
    for size in [1, 8, 100, if cfg!(miri) { 200 } else { 5000 }] {
        for bit in 0..13 {
            let layout = layout(size, 1 << bit);
            let block = System.allocate(layout).expect("small");
            assert_eq!(block.len(), size);
            assert_eq!(block.cast::<u8>().addr().get() % layout.align(), 0);
            stamp(block, size);
            // SAFETY: allocated above with this layout.
            unsafe { System.deallocate(block.cast(), layout) };
            let block = System.allocate_zeroed(layout).expect("small");
            assert_zero(block, 0);
            // SAFETY: allocated above with this layout.
            unsafe { System.deallocate(block.cast(), layout) };
        }
    }
}

#[test]
fn growing_and_shrinking_keep_the_content_for_every_pair_of_alignments() {
    const LARGE: usize = if cfg!(miri) { 300 } else { 3000 };
    let aligns = [1, 16, 64, 4096];
    for old_align in aligns {
        for new_align in aligns {
            let (small, large) = (layout(100, old_align), layout(LARGE, new_align));
            let block = System.allocate(small).expect("small");
            stamp(block, 100);
            // SAFETY: live, allocated with `small`; `large` is larger.
            let block = unsafe { System.grow(block.cast(), small, large) }.expect("small");
            assert_eq!(block.cast::<u8>().addr().get() % new_align, 0);
            assert_stamped(block, 100);
            stamp(block, LARGE);
            // SAFETY: live, allocated with `large`; `small` is smaller.
            let block = unsafe { System.shrink(block.cast(), large, small) }.expect("small");
            assert_eq!(block.cast::<u8>().addr().get() % old_align, 0);
            assert_stamped(block, 100);
            // SAFETY: live, allocated with `small`; `large` is larger.
            let block = unsafe { System.grow_zeroed(block.cast(), small, large) }.expect("small");
            assert_stamped(block, 100);
            assert_zero(block, 100);
            // SAFETY: live, allocated with `large`.
            unsafe { System.deallocate(block.cast(), large) };
        }
    }
}

#[test]
#[cfg_attr(
    miri,
    ignore = "Miri aborts where the heap would refuse; run without Miri"
)]
fn a_refusal_leaves_the_block_untouched() {
    for align in [16, 4096] {
        let small = layout(64, align);
        let block = System.allocate(small).expect("small");
        stamp(block, 64);
        for new_align in [16, 4096] {
            let huge = layout((isize::MAX as usize) & !4095, new_align);
            // SAFETY: live, allocated with `small`; `huge` is larger.
            let grown = unsafe { System.grow(block.cast(), small, huge) };
            assert_eq!(grown.expect_err("no machine has it"), AllocError);
            assert_stamped(block, 64);
        }
        // SAFETY: live, allocated with `small`; the refused growth left it so.
        unsafe { System.deallocate(block.cast(), small) };
    }
}

#[test]
fn all_values_are_one_allocator() {
    let layout = layout(40, 8);
    let block = System.allocate(layout).expect("small");
    struct Sent(NonNull<u8>);
    // SAFETY: the block belongs to the thread that it is sent to.
    unsafe impl Send for Sent {}
    let sent = Sent(block.cast());
    let freed = std::thread::spawn(move || {
        let sent = sent;
        // SAFETY: the block is live, was allocated with this layout, and is not used again.
        unsafe { System.deallocate(sent.0, layout) };
    });
    freed.join().expect("joins");
    assert_eq!(size_of::<System>(), 0);
}
