//! The arena as the global allocator of this program: collections, threads, sizes of every kind.
//!
//! Not under Miri: there a box that is freed in a function that got it as an argument may not be
//! written to before that function ends, which an allocator whose free blocks are links cannot keep.
#![cfg(not(miri))]

use std::collections::{BTreeMap, HashMap};
use std::ptr::NonNull;
use std::sync::mpsc;
use std::thread;

use drystone_arena::GlobalArena;

#[global_allocator]
static ARENA: GlobalArena = GlobalArena::new();

#[test]
fn collections_grow_and_shrink() {
    let mut map = HashMap::new();
    let mut tree = BTreeMap::new();
    for i in 0..50_000u64 {
        map.insert(i, format!("value {i}"));
        tree.insert(
            i.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            vec![i; (i % 97) as usize],
        );
    }
    map.retain(|key, value| key % 3 == 0 && value.len() > 3);
    assert!(
        map.iter()
            .all(|(key, value)| *value == format!("value {key}"))
    );
    assert!(
        tree.values()
            .all(|list| list.iter().all(|i| list.len() == (i % 97) as usize))
    );
}

#[test]
fn every_size_and_alignment_has_its_own_bytes() {
    use std::alloc::{GlobalAlloc, Layout};
    let sizes = [
        1,
        7,
        8,
        9,
        24,
        100,
        129,
        1000,
        4097,
        8192,
        8193,
        70_000,
        131_072,
        131_073,
        1 << 20,
        (2 << 20) + 1,
        5 << 20,
    ];
    let mut live = Vec::new();
    for align_log2 in 0..24 {
        for size in sizes {
            let layout = Layout::from_size_align(size, 1 << align_log2).unwrap();
            // SAFETY: the layout has bytes.
            let block = unsafe { ARENA.alloc(layout) };
            let block = NonNull::new(block).expect("there is memory");
            assert_eq!(block.addr().get() % layout.align(), 0);
            // SAFETY: the block's bytes.
            let bytes = unsafe { NonNull::slice_from_raw_parts(block, size).as_mut() };
            mark(bytes, live.len());
            live.push((block, layout));
        }
    }
    for (i, (block, layout)) in live.iter().enumerate() {
        // SAFETY: the block's bytes.
        let bytes = unsafe { NonNull::slice_from_raw_parts(*block, layout.size()).as_ref() };
        assert_eq!(bytes[0], bytes[layout.size() - 1]);
        assert_eq!(usize::from(bytes[0]), i % 256);
        // SAFETY: the block is live, and was handed out for this layout.
        unsafe { ARENA.dealloc(block.as_ptr(), *layout) };
    }
}

/// Writes a number to the first and the last byte.
fn mark(bytes: &mut [u8], number: usize) {
    let number = u8::try_from(number % 256).expect("a byte");
    if let [first, .., last] = bytes {
        (*first, *last) = (number, number);
    } else {
        bytes[0] = number;
    }
}

#[test]
fn blocks_are_freed_on_other_threads() {
    let (send, receive) = mpsc::channel::<Vec<Box<[u64; 9]>>>();
    let consumer = thread::spawn(move || {
        let mut sum = 0;
        for batch in receive {
            sum += batch.iter().map(|block| block[8]).sum::<u64>();
        }
        sum
    });
    let rounds = 2000;
    let mut expected = 0;
    for round in 0..rounds {
        let batch: Vec<_> = (0..100).map(|i| Box::new([round + i; 9])).collect();
        expected += batch.iter().map(|block| block[8]).sum::<u64>();
        send.send(batch).unwrap();
    }
    drop(send);
    assert_eq!(consumer.join().unwrap(), expected);
}

#[test]
fn threads_come_and_go_and_leave_blocks() {
    let mut left = Vec::new();
    for i in 0..500 {
        left.push(thread::spawn(move || vec![i; 1000]).join().unwrap());
    }
    assert!(
        left.iter()
            .enumerate()
            .all(|(i, list)| list.iter().all(|x| *x == i))
    );
}

#[test]
fn zeroed_memory_is_zero() {
    for size in [10, 5000, 200_000, 3 << 20] {
        for _ in 0..3 {
            let mut list = vec![0u8; size];
            assert!(list.iter().all(|byte| *byte == 0));
            list.fill(7);
        }
    }
}

#[test]
fn blocks_keep_their_content_when_they_grow() {
    let mut list = Vec::new();
    for i in 0..3_000_000usize {
        list.push(i);
    }
    assert!(list.iter().enumerate().all(|(i, x)| i == *x));
    list.truncate(10);
    list.shrink_to_fit();
    assert_eq!(list[9], 9);
}
