//! What each operation of the views asks of the global heap, counted on the thread that does it.
#![cfg(feature = "bytes")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::{Buf, Bytes, BytesMut};
use drystone_pool::{BufferPool, BufferPoolConfig, IoBuf, IoBufMut, IoBufs, IoBufsMut};

struct Counting;

std::thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: the system's allocator, counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's requirements are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's requirements are the same.
        unsafe { System.dealloc(ptr, layout) };
    }
}

#[global_allocator]
static HEAP: Counting = Counting;

/// What `f` gives, and how often it allocated.
fn counted<R>(f: impl FnOnce() -> R) -> (R, usize) {
    let before = ALLOCATIONS.get();
    let result = f();
    (result, ALLOCATIONS.get() - before)
}

fn native() -> IoBuf {
    IoBuf::copy_from_slice(&[7; 1000])
}

#[test]
fn the_counter_counts() {
    assert_eq!(counted(|| Box::new(1)).1, 1);
    assert_eq!(counted(|| vec![0; 10]).1, 1);
}

#[test]
fn a_buffer_is_one_allocation() {
    assert_eq!(counted(|| IoBufMut::with_capacity(0)).1, 0);
    assert_eq!(counted(|| IoBufMut::with_capacity(1)).1, 1);
    assert_eq!(counted(|| IoBufMut::zeroed_with_alignment(9000, 4096)).1, 1);
    assert_eq!(counted(native).1, 1);
}

#[test]
fn sharing_allocates_nothing() {
    let buf = IoBufMut::zeroed(1000);
    let (view, allocations) = counted(|| {
        let view = buf.freeze();
        let clone = view.clone();
        let mut part = clone.slice(10..20);
        let front = part.split_to(3);
        let back = part.split_off(3);
        drop((clone, part, front, back));
        view.try_into_mut().expect("the only handle").freeze()
    });
    assert_eq!((view.len(), allocations), (1000, 0));
}

#[test]
fn pooled_buffers_allocate_nothing_once_they_exist() {
    let pool = BufferPool::new(BufferPoolConfig::for_network()).expect("memory for a test");
    drop(pool.alloc(4096));
    let ((), allocations) = counted(|| {
        for _ in 0..100 {
            let mut buf = pool.try_alloc(4096).expect("a free buffer");
            buf.try_put_slice(&[1; 4096]).expect("room for a page");
            let view = buf.freeze();
            let clone = view.clone();
            let mut part = clone.slice(10..20);
            let front = part.split_to(3);
            drop((view, clone, part));
            drop(front.try_into_mut().expect("the only view"));
        }
    });
    assert_eq!(allocations, 0);
    let view = pool.alloc_zeroed(4096).freeze();
    let (bytes, allocations) = counted(|| Bytes::from(view));
    assert_eq!((bytes.len(), allocations), (4096, 1));
    assert_eq!(counted(|| drop(bytes)).1, 0);
}

#[test]
fn conversions_allocate_a_small_record_at_most() {
    let vec = vec![1; 100];
    assert_eq!(counted(|| IoBufMut::from(vec)).1, 1);
    let bytes = Bytes::from(vec![1; 100]);
    let (view, allocations) = counted(|| IoBuf::from(bytes));
    assert_eq!(allocations, 1);
    // The first sharing of `Bytes` made of a vector is an allocation of its own.
    let (back, allocations) = counted(|| Bytes::from(view));
    assert!(allocations <= 1);
    let view = IoBuf::from(back);
    assert_eq!(counted(|| Bytes::from(view)).1, 0);

    let bytes = BytesMut::zeroed(100);
    assert_eq!(counted(|| IoBuf::from(bytes)).1, 1);
    let view = native();
    assert_eq!(counted(|| Bytes::from(view)).1, 1);
    assert_eq!(counted(|| Bytes::from(IoBuf::from_static(b"static"))).1, 0);
    assert_eq!(counted(|| Bytes::from(IoBuf::new())).1, 0);
    let mut view = native();
    assert_eq!(counted(|| view.copy_to_bytes(10)).1, 1);
}

#[test]
fn ropes_allocate_for_the_fourth_chunk() {
    let chunks: Vec<_> = (0..4).map(|_| native()).collect();
    let mut chunks = chunks.into_iter();
    let (mut rope, allocations) = counted(|| {
        let mut rope = IoBufs::new();
        rope.extend(chunks.by_ref().take(3));
        rope
    });
    assert_eq!((rope.chunk_count(), allocations), (3, 0));
    let (front, allocations) = counted(|| rope.split_to(1500));
    assert_eq!((front.len(), allocations), (1500, 0));
    assert_eq!(counted(|| rope.append(chunks.next().unwrap())).1, 0);
    assert_eq!(counted(|| rope.extend(front)).1, 1, "chunks 4 and 5");
    // It swings around three chunks: the room of the queue stays.
    let ((), allocations) = counted(|| {
        for _ in 0..10 {
            let first = rope.chunk_at(0).unwrap().len();
            let mut front = rope.split_to(first);
            front.debug_assert_invariants();
            rope.append(front.chunk_at(0).unwrap().clone());
            front.advance(first);
        }
    });
    assert_eq!(allocations, 0);
    assert_eq!(counted(|| rope.coalesce()).1, 1);
}

#[test]
fn reading_and_writing_a_rope_allocates_nothing() {
    let mut rope: IoBufsMut = (0..8).map(|_| IoBufMut::with_capacity(100)).collect();
    let ((), allocations) = counted(|| {
        rope.read_vectored_from(&mut &[1; 300][..]).unwrap();
        rope.try_put_slice(&[2; 300]).unwrap();
        let mut slices = [std::io::IoSlice::new(&[]); 8];
        assert_eq!(rope.io_slices(&mut slices), 6);
        rope.advance(450);
    });
    assert_eq!(allocations, 0);
}
