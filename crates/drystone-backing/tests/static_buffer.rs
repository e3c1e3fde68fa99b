//! Lent buffers: exactly as long and exactly where they are.

use std::mem::MaybeUninit;
use std::thread;

use drystone_backing::StaticBacked;
use drystone_core::FixedRange;

#[test]
fn size_and_base_are_the_buffers_own() {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 67];
    for skipped in 0..4 {
        let part = &mut buffer[skipped..];
        let (start, len) = (part.as_ptr().addr(), part.len());
        let backing = StaticBacked::new(part);
        assert_eq!(backing.base().addr().get(), start);
        assert_eq!(backing.size(), len);
        assert!(backing.base_align().is_power_of_two());
        assert_eq!(start % backing.base_align(), 0);
        assert!(!backing.commits_on_demand());
        assert!(backing.keeps_base());
    }
}

#[test]
fn every_byte_can_be_written_and_comes_back() {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 33];
    let backing = StaticBacked::new(&mut buffer);
    // SAFETY: the range is exclusive, writable, and `size()` bytes long.
    unsafe { backing.base().write_bytes(5, backing.size()) };
    // SAFETY: every byte was written above.
    let bytes = buffer.map(|byte| unsafe { byte.assume_init() });
    assert_eq!(bytes, [5; 33]);
}

#[test]
fn the_base_stays_when_the_value_moves() {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 64];
    let backing = StaticBacked::new(&mut buffer);
    let base = backing.base();
    let moved = Box::new(backing);
    assert_eq!(moved.base(), base);
    // SAFETY: the first byte of a live exclusive range.
    unsafe { base.write(9) };
    // SAFETY: written just above.
    assert_eq!(unsafe { moved.base().read() }, 9);
}

#[test]
fn alignment_is_found_by_the_address() {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 600];
    let backing = StaticBacked::new(&mut buffer[1..]);
    for align in [1, 2, 16, 256] {
        for offset in [0, 1, 7, 255] {
            let found = backing.align_offset(offset, align).expect("fits");
            assert!((offset..offset + align).contains(&found));
            assert_eq!((backing.base().addr().get() + found) % align, 0);
        }
    }
}

#[test]
fn an_empty_buffer_is_a_range_of_size_zero() {
    let backing = StaticBacked::new(&mut []);
    assert_eq!(backing.size(), 0);
    assert!(!backing.contains(backing.base()));
    assert!(backing.commit(0, 1).is_err());
}

#[test]
fn initialised_bytes_may_be_given_for_ever() {
    let bytes: &'static mut [u8] = Box::leak(vec![3u8; 40].into_boxed_slice());
    let backing = StaticBacked::from_bytes(bytes);
    assert_eq!(backing.size(), 40);
    // SAFETY: the first byte of the live range, initialised by the box.
    assert_eq!(unsafe { backing.base().read() }, 3);
    // The box is given back so that the test leaks nothing.
    let whole = std::ptr::slice_from_raw_parts_mut(backing.base().as_ptr(), backing.size());
    // SAFETY: the pointer and the length are those of the box that was leaked; the backing is not
    // used again.
    drop(unsafe { Box::from_raw(whole) });
}

#[test]
fn borrowed_bytes_are_the_callers_promise() {
    let mut bytes = [1u8; 16];
    {
        // SAFETY: only whole bytes are written through the backing.
        let backing = unsafe { StaticBacked::from_borrowed_bytes(&mut bytes) };
        // SAFETY: the range is exclusive, writable, and `size()` bytes long.
        unsafe { backing.base().write_bytes(2, backing.size()) };
    }
    assert_eq!(bytes, [2; 16]);
}

#[test]
fn it_can_be_handed_to_a_thread() {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 16];
    let backing = StaticBacked::new(&mut buffer);
    thread::scope(|scope| {
        scope.spawn(move || {
            // SAFETY: the first byte of a live exclusive range.
            unsafe { backing.base().write(1) };
        });
    });
    // SAFETY: written by the thread, which has ended.
    assert_eq!(unsafe { buffer[0].assume_init() }, 1);
}
