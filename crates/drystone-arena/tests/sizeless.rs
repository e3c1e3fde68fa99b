//! Blocks of the process-wide arena that are freed and resized by their address alone.

use std::ptr::NonNull;
use std::thread;

use drystone_arena::{Checked, FreeError, GlobalArena, Profile};
use drystone_core::{Allocator as _, NonZeroLayout};

/// Sizes of blocks of pages, of runs of slices, and of mappings of their own.
const SIZES: &[usize] = if cfg!(miri) {
    &[1, 64, 100_000, 200_000, 3 << 20]
} else {
    &[
        1,
        16,
        64,
        1000,
        9000,
        100_000,
        131_072,
        131_073,
        200_000,
        2 << 20,
        3 << 20,
        9 << 20,
    ]
};

/// Bytes of a block whose content is looked at.
const LOOKED_AT_MAX: usize = if cfg!(miri) { 64 } else { 4 << 20 };

fn layout(size: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, 16).expect("a valid layout")
}

fn block<P: Profile>(size: usize) -> NonNull<u8> {
    let block = GlobalArena::<P>::new().allocate(layout(size));
    block.expect("memory for a test").cast()
}

fn byte(index: usize) -> u8 {
    index.to_le_bytes()[0] ^ 0x5a
}

/// Fills a block so that moved bytes are told from others.
fn fill(block: NonNull<u8>, bytes: usize) {
    for index in 0..bytes {
        // SAFETY: the block has the bytes.
        let at = unsafe { block.add(index) };
        // SAFETY: as above.
        unsafe { at.write(byte(index)) };
    }
}

fn assert_filled(block: NonNull<u8>, bytes: usize) {
    for index in 0..bytes {
        // SAFETY: the block has the bytes.
        let at = unsafe { block.add(index) };
        // SAFETY: as above, and they were written.
        assert_eq!(unsafe { at.read() }, byte(index), "byte {index} of {bytes}");
    }
}

/// Takes the block back by the short way, or by the long one.
fn free<P: Profile>(block: NonNull<u8>) -> Result<(), FreeError> {
    // SAFETY: whatever the block is, the test uses it no more.
    if unsafe { GlobalArena::<P>::free_at_once(block) } {
        return Ok(());
    }
    // SAFETY: as above.
    unsafe { GlobalArena::<P>::free(block) }
}

fn every_size_becomes_every_other<P: Profile>() {
    for &from in SIZES {
        for &to in SIZES {
            let old = block::<P>(from);
            let kept = from.min(to).min(LOOKED_AT_MAX);
            fill(old, kept);
            // SAFETY: the block is live and aligned.
            let new = unsafe { GlobalArena::<P>::reallocate(old, layout(to)) };
            let new = new.expect("the block is live").expect("memory for a test");
            // SAFETY: the block is live.
            let bytes = unsafe { GlobalArena::<P>::block_bytes(new) }.expect("it is live");
            assert!(bytes >= to, "{bytes} bytes for {to}");
            assert_filled(new, kept);
            assert_eq!(free::<P>(new), Ok(()), "{from} to {to}");
        }
    }
}

#[test]
fn every_size_becomes_every_other_of_a_checked_arena() {
    every_size_becomes_every_other::<Checked>();
}

#[test]
// The checked arena moves the same bytes.
#[cfg(not(miri))]
fn every_size_becomes_every_other_of_a_fast_arena() {
    every_size_becomes_every_other::<drystone_arena::Fast>();
}

#[test]
fn a_block_shrinks_where_it_is_until_half_of_it_is_unused() {
    // A larger block may have got a mapping of another test, which is too large for its half.
    for &size in SIZES.iter().filter(|&&size| size <= 2 << 20) {
        let old = block::<Checked>(size);
        // SAFETY: the block is live.
        let bytes = unsafe { GlobalArena::<Checked>::block_bytes(old) }.expect("it is live");
        let half = layout(bytes.div_ceil(2));
        // SAFETY: the block is live and aligned.
        let new = unsafe { GlobalArena::<Checked>::reallocate(old, half) };
        assert_eq!(new, Ok(Some(old)), "{size}");
        assert_eq!(free::<Checked>(old), Ok(()));
    }
}

#[test]
fn the_short_way_takes_no_address_but_that_of_a_live_block() {
    let live = block::<Checked>(64);
    let mut foreign = 0_u64;
    // SAFETY: inside the block.
    let interior = unsafe { live.add(16) };
    // SAFETY: inside the block.
    let askew = unsafe { live.add(1) };
    for wrong in [interior, askew, NonNull::from(&mut foreign).cast()] {
        // SAFETY: no block begins there, so nothing is taken back.
        assert!(!unsafe { GlobalArena::<Checked>::free_at_once(wrong) });
        assert!(free::<Checked>(wrong).is_err());
    }
    assert_eq!(free::<Checked>(live), Ok(()));
    assert_eq!(free::<Checked>(live), Err(FreeError::DoubleFree));
}

#[test]
fn a_block_is_found_around_each_of_its_bytes() {
    for &size in SIZES {
        let start = block::<Checked>(size);
        // SAFETY: the block is live.
        let bytes = unsafe { GlobalArena::<Checked>::block_bytes(start) }.expect("it is live");
        for offset in [0, 1, size / 2, size - 1, bytes - 1] {
            let inside = start.map_addr(|address| address.saturating_add(offset));
            // SAFETY: the block stays until the end of the turn.
            let found = unsafe { GlobalArena::<Checked>::block_around(inside) };
            let found = found.expect("it is live");
            assert_eq!(found.cast::<u8>().addr(), start.addr(), "{size} {offset}");
            assert_eq!(found.len(), bytes, "{size} {offset}");
        }
        assert_eq!(free::<Checked>(start), Ok(()));
        if size <= 1 << 10 {
            // SAFETY: no other test gives back the page, which is this thread's.
            let found = unsafe { GlobalArena::<Checked>::block_around(start) };
            assert_eq!(found, Err(FreeError::DoubleFree));
        }
    }
    let local = 0_u64;
    // SAFETY: no block is there.
    let found = unsafe { GlobalArena::<Checked>::block_around(NonNull::from(&local).cast()) };
    assert_eq!(found, Err(FreeError::ForeignPointer));
}

#[test]
fn a_block_that_another_thread_freed_is_free() {
    // The second block keeps the page.
    let (block, _other) = (block::<Checked>(80), block::<Checked>(80));
    let address = block.addr();
    let owned = Owned(block);
    let freed = thread::spawn(move || free::<Checked>(owned.take()));
    assert_eq!(freed.join().expect("the thread ends well"), Ok(()));
    assert_eq!(block.addr(), address);
    assert_eq!(free::<Checked>(block), Err(FreeError::DoubleFree));
}

/// A block on its way to another thread.
struct Owned(NonNull<u8>);

// SAFETY: a block may be freed by any thread.
unsafe impl Send for Owned {}

impl Owned {
    fn take(self) -> NonNull<u8> {
        self.0
    }
}

#[test]
fn what_lies_around_an_address_is_told() {
    for &size in SIZES {
        let block = block::<Checked>(size);
        // SAFETY: the block is live.
        let bytes = unsafe { GlobalArena::<Checked>::block_bytes(block) }.expect("it is live");
        let inside = block.addr().get() + size / 2;
        let around = GlobalArena::<Checked>::block_bytes_around(inside);
        assert_eq!(around, Some(bytes), "{size}");
        assert_eq!(free::<Checked>(block), Ok(()));
    }
    let foreign = 0_u64;
    let address = std::ptr::from_ref(&foreign).addr();
    assert_eq!(GlobalArena::<Checked>::block_bytes_around(address), None);
}

#[test]
fn a_live_block_is_told_as_a_whole() {
    for &size in SIZES {
        let block = block::<Checked>(size);
        // SAFETY: the block is live.
        let whole = unsafe { GlobalArena::<Checked>::live_block(block) }.expect("it is live");
        assert_eq!(whole.cast(), block);
        // SAFETY: inside the block.
        let last = unsafe { whole.cast::<u8>().add(whole.len() - 1) };
        // SAFETY: the block's last byte.
        unsafe { last.write(7) };
        assert_eq!(free::<Checked>(block), Ok(()));
        // SAFETY: the block is this thread's last of its size, and nobody frees its memory meanwhile.
        assert!(unsafe { GlobalArena::<Checked>::live_block(block) }.is_err());
    }
}

#[test]
fn a_thread_can_give_its_part_back() {
    let arena = GlobalArena::<Checked>::new();
    thread::spawn(move || {
        let blocks: Vec<_> = (0..100).map(|_| block::<Checked>(48)).collect();
        for block in blocks {
            assert_eq!(free::<Checked>(block), Ok(()));
        }
        arena.drain_thread();
        let again = block::<Checked>(48);
        assert_eq!(free::<Checked>(again), Ok(()));
    })
    .join()
    .expect("the thread ends well");
}
