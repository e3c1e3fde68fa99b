//! Memory that goes back to the system, as the system counts it. A program of its own, because the
//! count is that of the whole process, which under ThreadSanitizer includes what that keeps.
#![cfg(all(target_os = "linux", not(any(miri, drystone_tsan))))]

mod common;

use std::ptr::NonNull;

use common::resident_bytes;
use drystone_arena::{Arena, ArenaConfig, ThreadCache};
use drystone_core::NonZeroLayout;

#[test]
fn memory_that_nothing_uses_goes_back() {
    const BYTES: usize = 256 << 20;
    let arena = Arena::new(ArenaConfig::default()).expect("valid");
    let mut cache = ThreadCache::new(ArenaConfig::default());
    let layout = NonZeroLayout::from_size_align(2048, 8).expect("valid");
    let before = resident_bytes();
    let mut blocks: Vec<NonNull<u8>> = Vec::new();
    for _ in 0..BYTES / 2048 {
        let block = arena.allocate_with_cache(&mut cache, layout);
        blocks.push(block.expect("there is memory").cast());
    }
    for block in &blocks {
        // SAFETY: the block's first byte.
        unsafe { block.write(1) };
    }
    assert!(resident_bytes() > before + BYTES / 2);
    for block in blocks.drain(..) {
        // SAFETY: live, of this layout, and not used again.
        let freed = unsafe { arena.deallocate_with_cache(&mut cache, block, layout) };
        assert_eq!(freed, Ok(()));
    }
    drop(cache);
    arena.trim();
    let left = resident_bytes().saturating_sub(before);
    assert!(left < BYTES / 100 * 3, "{left} bytes of {BYTES} stay");
}
