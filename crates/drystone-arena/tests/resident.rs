//! Memory that goes back to the system, as the system counts it. A program of its own, because the
//! count is that of the whole process, which under ThreadSanitizer includes what that keeps.
#![cfg(all(target_os = "linux", not(any(miri, drystone_tsan))))]

mod common;

use std::ptr::NonNull;

use common::resident_bytes;
use drystone_arena::{Arena, ArenaConfig, GlobalArena, ThreadCache};
use drystone_core::{Allocator, Deallocator, Fast, NonZeroLayout};

const BYTES: usize = 256 << 20;

fn layout() -> NonZeroLayout {
    NonZeroLayout::from_size_align(2048, 8).expect("valid")
}

/// Takes many blocks and frees them, has the memory given back, and sees that little of it stays.
fn little_stays_after(
    mut allocate: impl FnMut() -> NonNull<u8>,
    mut free: impl FnMut(NonNull<u8>),
    give_back: impl FnOnce(),
) {
    let before = resident_bytes();
    let blocks: Vec<NonNull<u8>> = (0..BYTES / 2048).map(|_| allocate()).collect();
    for block in &blocks {
        // SAFETY: the block's first byte.
        unsafe { block.write(1) };
    }
    assert!(resident_bytes() > before + BYTES / 2);
    blocks.into_iter().for_each(&mut free);
    give_back();
    let left = resident_bytes().saturating_sub(before);
    assert!(left < BYTES / 100 * 3, "{left} bytes of {BYTES} stay");
}

/// One test: each part counts the whole process.
#[test]
fn memory_that_nothing_uses_goes_back() {
    let arena = Arena::new(ArenaConfig::default()).expect("valid");
    let cache = core::cell::RefCell::new(ThreadCache::new(ArenaConfig::default()));
    little_stays_after(
        || {
            let block = arena.allocate_with_cache(&mut cache.borrow_mut(), layout());
            block.expect("there is memory").cast()
        },
        |block| {
            let mut cache = cache.borrow_mut();
            // SAFETY: live, of this layout, and not used again.
            let freed = unsafe { arena.deallocate_with_cache(&mut cache, block, layout()) };
            assert_eq!(freed, Ok(()));
        },
        || {
            arena
                .drain_thread_cache(&mut cache.borrow_mut())
                .expect("its own");
            arena.trim();
        },
    );

    let global = GlobalArena::<Fast>::new();
    little_stays_after(
        || global.allocate(layout()).expect("there is memory").cast(),
        // SAFETY: live, of this layout, and not used again.
        |block| unsafe { global.deallocate(block, layout()) },
        || {
            global.trim();
        },
    );
}
