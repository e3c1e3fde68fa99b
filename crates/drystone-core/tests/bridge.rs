//! The adapters to foreign traits: blocks of no bytes, changed alignments, refusals, clones; and what
//! the foreign form of `grow_zeroed` leaves behind.
#![cfg_attr(std_allocator_gated, feature(allocator_api))]
#![cfg_attr(std_allocator_markers, feature(allocator_ext))]

mod common;

use std::alloc::Layout;
use std::ptr::NonNull;
use std::rc::Rc;

use common::Recording;
use drystone_core::{StdCompat, StdCompat02};

const fn layout(size: usize, align: usize) -> Layout {
    match Layout::from_size_align(size, align) {
        Ok(layout) => layout,
        Err(_) => panic!("a layout"),
    }
}

/// The tests of one foreign trait.
macro_rules! suite {
    ($suite:ident, $foreign:path, $error:path, $adapter:ident) => {
        mod $suite {
            use $foreign as Foreign;

            use super::*;

            #[test]
            fn a_block_of_no_bytes_needs_no_allocator() {
                let inner = Recording::default();
                let compat = $adapter::new(&inner);
                let (empty, wide) = (layout(0, 8), layout(0, 256));
                let block = compat.allocate(empty).expect("nothing can be had");
                let zeroed = compat.allocate_zeroed(wide).expect("nothing can be had");
                for (block, align) in [(block, 8), (zeroed, 256)] {
                    assert_eq!(block.len(), 0);
                    assert_eq!(block.cast::<u8>().addr().get() % align, 0);
                }
                // SAFETY: the block has no bytes before and after.
                let grown = unsafe { compat.grow(block.cast(), empty, wide) };
                assert_eq!(grown.expect("no bytes").cast::<u8>().addr().get() % 256, 0);
                // SAFETY: the block has no bytes before and after.
                let shrunk = unsafe { compat.shrink(zeroed.cast(), wide, empty) };
                assert_eq!(shrunk.expect("no bytes").len(), 0);
                // SAFETY: the block has no bytes.
                unsafe { compat.deallocate(block.cast(), empty) };
                assert!(inner.take_calls().is_empty());
            }

            #[test]
            fn a_block_grows_from_nothing_and_shrinks_to_nothing() {
                let inner = Recording::default();
                let compat = $adapter::new(&inner);
                let nothing = compat.allocate(layout(0, 4)).expect("nothing can be had");
                let (old, new) = (layout(0, 4), layout(6, 2));
                // SAFETY: the block has no bytes before.
                let block = unsafe { compat.grow_zeroed(nothing.cast(), old, new) };
                let block = block.expect("memory").cast::<u8>();
                // SAFETY: the block has six zeroed bytes.
                assert_eq!(unsafe { block.cast::<[u8; 6]>().read() }, [0; 6]);
                // SAFETY: the block is live with this layout.
                let gone = unsafe { compat.shrink(block, layout(6, 2), layout(0, 64)) };
                assert_eq!(gone.expect("nothing").cast::<u8>().addr().get() % 64, 0);
                assert_eq!(inner.take_calls(), ["allocate_zeroed", "deallocate"]);
            }

            #[test]
            fn a_resize_may_change_the_alignment_both_ways() {
                let inner = Recording::default();
                let compat = $adapter::new(&inner);
                let block = compat.allocate(layout(8, 8)).expect("memory").cast::<u8>();
                // SAFETY: the block has eight bytes.
                unsafe { block.cast::<[u8; 8]>().write([9; 8]) };
                // SAFETY: the block is live with this layout.
                let block = unsafe { compat.grow(block, layout(8, 8), layout(32, 128)) };
                let block = block.expect("memory").cast::<u8>();
                assert_eq!(block.addr().get() % 128, 0);
                // SAFETY: the block is live with this layout.
                let block = unsafe { compat.shrink(block, layout(32, 128), layout(8, 256)) };
                let block = block.expect("memory").cast::<u8>();
                assert_eq!(block.addr().get() % 256, 0);
                // SAFETY: the block is live with this layout.
                let block = unsafe { compat.grow_zeroed(block, layout(8, 256), layout(12, 1)) };
                let block = block.expect("memory").cast::<u8>();
                // SAFETY: resizes keep what is kept, and this one zeroed the rest.
                let bytes = unsafe { block.cast::<[u8; 12]>().read() };
                assert_eq!(bytes, [9, 9, 9, 9, 9, 9, 9, 9, 0, 0, 0, 0]);
                // SAFETY: the block is live with this layout.
                unsafe { compat.deallocate(block, layout(12, 1)) };
            }

            #[test]
            fn a_refusal_leaves_the_block() {
                let inner = Recording::default();
                let compat = $adapter::new(&inner);
                let block = compat.allocate(layout(4, 4)).expect("memory").cast::<u8>();
                // SAFETY: the block has four bytes.
                unsafe { block.cast::<[u8; 4]>().write([3; 4]) };
                inner.refuse.set(true);
                assert_eq!(compat.allocate(layout(1, 1)), Err($error));
                // SAFETY: the block is live with this layout.
                let refused = unsafe { compat.grow(block, layout(4, 4), layout(9, 4)) };
                assert_eq!(refused, Err($error));
                // SAFETY: the block is live with this layout.
                let refused = unsafe { compat.shrink(block, layout(4, 4), layout(2, 8)) };
                assert_eq!(refused, Err($error));
                // SAFETY: a refused resize leaves block and bytes.
                assert_eq!(unsafe { block.cast::<[u8; 4]>().read() }, [3; 4]);
                // SAFETY: the block is live with this layout.
                unsafe { compat.deallocate(block, layout(4, 4)) };
            }

            #[test]
            fn a_clone_frees_what_the_original_handed_out() {
                let compat = $adapter::new(Rc::new(Recording::default()));
                let clone = compat.clone();
                let block = compat.allocate(layout(16, 8)).expect("memory").cast::<u8>();
                drop(compat);
                // SAFETY: the block is live: an equivalent allocator is alive.
                unsafe { block.cast::<u64>().write(1) };
                // SAFETY: a clone is equivalent.
                unsafe { clone.deallocate(block, layout(16, 8)) };
                assert_eq!(clone.inner().outstanding.get(), 0);
            }
        }
    };
}

suite!(
    api2_02,
    allocator_api2_02::alloc::Allocator,
    allocator_api2_02::alloc::AllocError,
    StdCompat02
);
suite!(
    api2_04,
    allocator_api2_04::alloc::Allocator,
    allocator_api2_04::alloc::AllocError,
    StdCompat
);
#[cfg(std_allocator)]
suite!(
    standard,
    std::alloc::Allocator,
    std::alloc::AllocError,
    StdCompat
);

/// A foreign allocator that returns more than it is asked for, and zeroes on growth only what is new
/// beyond that: as its trait allows.
macro_rules! foreign_suite {
    ($suite:ident, $foreign:path, $error:path, $adapter:path, $back:ident) => {
        mod $suite {
            use std::alloc::{GlobalAlloc, System};

            use drystone_core::{Allocator, Deallocator, NonZeroLayout, StableAddress};
            use $adapter as Adapter;
            use $error as ForeignError;

            use super::*;

            const LEN: usize = 64;
            struct Generous;

            fn real(layout: Layout) -> Layout {
                Layout::from_size_align(LEN, layout.align()).expect("a layout")
            }

            // SAFETY: every block is one of the system's, of 64 bytes.
            unsafe impl $foreign for Generous {
                fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, ForeignError> {
                    if layout.size() > LEN {
                        return Err($error);
                    }
                    // SAFETY: the layout is not zero-sized.
                    let start = unsafe { System.alloc(real(layout)) };
                    let start = NonNull::new(start).ok_or($error)?;
                    Ok(NonNull::slice_from_raw_parts(start, LEN))
                }

                unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: Layout) {
                    // SAFETY: the block was made above.
                    unsafe { System.dealloc(ptr.as_ptr(), real(layout)) };
                }

                unsafe fn grow_zeroed(
                    &self,
                    ptr: NonNull<u8>,
                    _: Layout,
                    _: Layout,
                ) -> Result<NonNull<[u8]>, ForeignError> {
                    Ok(NonNull::slice_from_raw_parts(ptr, LEN))
                }
            }

            #[test]
            fn growth_is_zeroed_from_the_old_layout_on() {
                let foreign = Adapter::new(Generous);
                let small = NonZeroLayout::from_size_align(4, 1).expect("a layout");
                let large = NonZeroLayout::from_size_align(16, 1).expect("a layout");
                let block = foreign.allocate(small).expect("memory");
                // SAFETY: all of the block may be written.
                unsafe { block.cast::<[u8; LEN]>().write([1; LEN]) };
                // SAFETY: the block is live with this layout.
                let block = unsafe { foreign.grow_zeroed(block.cast(), small, large) };
                let block = block.expect("room").cast::<u8>();
                // SAFETY: the block has 64 bytes, all of them initialised.
                let bytes = unsafe { block.cast::<[u8; LEN]>().read() };
                assert_eq!(bytes[..4], [1; 4]);
                assert_eq!(bytes[4..], [0; LEN - 4]);
                // SAFETY: the block is live with this layout.
                unsafe { foreign.deallocate(block, large) };
                let huge = NonZeroLayout::from_size_align(LEN + 1, 1).expect("a layout");
                assert!(foreign.allocate(huge).is_err());
            }

            #[test]
            fn there_and_back_is_the_same_allocator() {
                fn stable<A: StableAddress>(_: &A) {}
                let inner = Recording::default();
                let both = Adapter::new($back::new(&inner));
                stable(&both);
                let layout = NonZeroLayout::for_type::<u128>().expect("not zero-sized");
                let block = both.allocate_zeroed(layout).expect("memory").cast::<u128>();
                // SAFETY: the block was zeroed.
                assert_eq!(unsafe { block.read() }, 0);
                // SAFETY: the block is live with this layout.
                unsafe { both.deallocate(block.cast(), layout) };
                assert_eq!(inner.take_calls(), ["allocate_zeroed", "deallocate"]);
            }
        }
    };
}

foreign_suite!(
    foreign_02,
    allocator_api2_02::alloc::Allocator,
    allocator_api2_02::alloc::AllocError,
    drystone_core::Foreign02,
    StdCompat02
);
foreign_suite!(
    foreign_04,
    allocator_api2_04::alloc::Allocator,
    allocator_api2_04::alloc::AllocError,
    drystone_core::Foreign04,
    StdCompat
);
#[cfg(std_allocator)]
foreign_suite!(
    foreign_std,
    std::alloc::Allocator,
    std::alloc::AllocError,
    drystone_core::ForeignStd,
    StdCompat
);
