//! [`Buffers`]: the contestants of the pool rows, each through its best call.
//!
//! A contestant hands out buffers of one size, known at compile time, which go back when they are
//! dropped. Contestants live as long as the process: their buffers refer to them.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::RefCell;
use std::hint::black_box;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::NonNull;

use crossbeam_queue::ArrayQueue;
use drystone_pool::{BufferPool, BufferPoolConfig, IoBufMut};

/// Buffers that each of the contestants has ready.
pub(crate) const READY: usize = 4096;

/// A source of buffers of one size.
pub(crate) trait Buffers: Copy + Send + 'static {
    /// A buffer; dropping it gives it back.
    type Buffer: Send + 'static;

    fn take(self) -> Self::Buffer;

    /// Takes a buffer and leaves its handle where it will stay.
    #[inline(always)]
    fn take_to(self, place: &mut MaybeUninit<Self::Buffer>) {
        place.write(self.take());
    }

    fn first_byte(buffer: &mut Self::Buffer) -> *mut u8;
}

/// Writes the first and the last of `N` bytes, as every contestant must.
#[inline(always)]
pub(crate) fn touch<const N: usize>(first: *mut u8) {
    // SAFETY: every caller passes a live buffer of N bytes.
    unsafe { first.write(1) };
    // SAFETY: as above.
    let last = unsafe { first.add(N - 1) };
    // SAFETY: as above.
    unsafe { last.write(2) };
}

/// The pool, with everything inlined that is meant to be.
#[derive(Clone, Copy)]
pub(crate) struct Inlined<const N: usize>(pub(crate) &'static BufferPool);

/// A pool as the presets have it, with parallelism for two threads.
pub(crate) fn pool() -> &'static BufferPool {
    started(BufferPoolConfig::for_network().with_parallelism(2))
}

/// The same without thread caches.
pub(crate) fn pool_without_caches() -> &'static BufferPool {
    started(
        BufferPoolConfig::for_network()
            .with_parallelism(2)
            .with_thread_cache_disabled(),
    )
}

fn started(config: BufferPoolConfig) -> &'static BufferPool {
    Box::leak(Box::new(BufferPool::new(config).expect("valid")))
}

impl<const N: usize> Buffers for Inlined<N> {
    type Buffer = IoBufMut;

    #[inline(always)]
    fn take(self) -> IoBufMut {
        match black_box(self.0).try_alloc(N) {
            Ok(buffer) => buffer,
            Err(_) => out_of_buffers(),
        }
    }

    #[inline(always)]
    fn first_byte(buffer: &mut IoBufMut) -> *mut u8 {
        buffer.as_mut_ptr()
    }
}

#[cold]
fn out_of_buffers() -> ! {
    panic!("the row stays below the pool's buffers")
}

/// The pool behind two calls, which is how the allocators written in C are reached.
#[derive(Clone, Copy)]
pub(crate) struct Called<const N: usize>(pub(crate) &'static BufferPool);

pub(crate) struct CalledBuffer(ManuallyDrop<IoBufMut>);

impl<const N: usize> Buffers for Called<N> {
    type Buffer = CalledBuffer;

    #[inline(never)]
    fn take(self) -> CalledBuffer {
        CalledBuffer(ManuallyDrop::new(Inlined::<N>(self.0).take()))
    }

    #[inline(never)]
    fn take_to(self, place: &mut MaybeUninit<CalledBuffer>) {
        place.write(CalledBuffer(ManuallyDrop::new(Inlined::<N>(self.0).take())));
    }

    #[inline(always)]
    fn first_byte(buffer: &mut CalledBuffer) -> *mut u8 {
        buffer.0.as_mut_ptr()
    }
}

impl Drop for CalledBuffer {
    #[inline(never)]
    fn drop(&mut self) {
        // SAFETY: dropped once, here.
        unsafe { ManuallyDrop::drop(&mut self.0) };
    }
}

/// A general-purpose allocator, freed with the size.
#[derive(Clone, Copy)]
pub(crate) struct General<G, const N: usize>(pub(crate) G);

pub(crate) struct Block<G: GlobalAlloc, const N: usize>(G, NonNull<u8>);

// SAFETY: a block may be used and freed on any thread.
unsafe impl<G: GlobalAlloc + Send, const N: usize> Send for Block<G, N> {}

impl<G: GlobalAlloc + Copy + Send + 'static, const N: usize> Buffers for General<G, N> {
    type Buffer = Block<G, N>;

    #[inline(always)]
    fn take(self) -> Block<G, N> {
        // SAFETY: the layout is not zero-sized.
        let block = unsafe { self.0.alloc(layout::<N>()) };
        Block(self.0, NonNull::new(block).expect("memory"))
    }

    #[inline(always)]
    fn first_byte(buffer: &mut Block<G, N>) -> *mut u8 {
        buffer.1.as_ptr()
    }
}

impl<G: GlobalAlloc, const N: usize> Drop for Block<G, N> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the block is live, has this layout, and is freed once.
        unsafe { self.0.dealloc(self.1.as_ptr(), layout::<N>()) };
    }
}

/// Of bytes, as a vector asks for them.
const fn layout<const N: usize>() -> Layout {
    match Layout::array::<u8>(N) {
        Ok(layout) => layout,
        Err(_) => panic!("small"),
    }
}

/// crossbeam's bounded queue of boxed buffers.
#[derive(Clone, Copy)]
pub(crate) struct Queue<const N: usize>(&'static ArrayQueue<Box<[u8]>>);

pub(crate) struct Queued(ManuallyDrop<Box<[u8]>>, &'static ArrayQueue<Box<[u8]>>);

impl<const N: usize> Queue<N> {
    pub(crate) fn new(ready: usize) -> Self {
        let queue = ArrayQueue::new(ready);
        for _ in 0..ready {
            let pushed = queue.push(vec![0; N].into_boxed_slice());
            assert!(pushed.is_ok(), "room for all");
        }
        Self(Box::leak(Box::new(queue)))
    }
}

impl<const N: usize> Buffers for Queue<N> {
    type Buffer = Queued;

    #[inline(always)]
    fn take(self) -> Queued {
        let buffer = black_box(self.0).pop().expect("below the queue's buffers");
        Queued(ManuallyDrop::new(buffer), self.0)
    }

    #[inline(always)]
    fn first_byte(buffer: &mut Queued) -> *mut u8 {
        buffer.0.as_mut_ptr()
    }
}

impl Drop for Queued {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: taken once, here.
        let buffer = unsafe { ManuallyDrop::take(&mut self.0) };
        assert!(self.1.push(buffer).is_ok(), "its own place is free");
    }
}

/// The `opool` crate.
#[cfg(feature = "rivals")]
pub(crate) mod object_pool {
    use super::{Buffers, black_box};

    pub(crate) struct Boxes<const N: usize>;

    impl<const N: usize> opool::PoolAllocator<Box<[u8]>> for Boxes<N> {
        fn allocate(&self) -> Box<[u8]> {
            vec![0; N].into_boxed_slice()
        }
    }

    type Pool<const N: usize> = opool::Pool<Boxes<N>, Box<[u8]>>;

    #[derive(Clone, Copy)]
    pub(crate) struct ObjectPool<const N: usize>(&'static Pool<N>);

    impl<const N: usize> ObjectPool<N> {
        pub(crate) fn new(ready: usize) -> Self {
            Self(Box::leak(Box::new(Pool::new_prefilled(ready, Boxes))))
        }
    }

    impl<const N: usize> Buffers for ObjectPool<N> {
        type Buffer = opool::RefGuard<'static, Boxes<N>, Box<[u8]>>;

        #[inline(always)]
        fn take(self) -> Self::Buffer {
            black_box(self.0).get()
        }

        #[inline(always)]
        fn first_byte(buffer: &mut Self::Buffer) -> *mut u8 {
            buffer.as_mut_ptr()
        }
    }
}

/// The least: a thread-local stack of pointers.
#[derive(Clone, Copy)]
pub(crate) struct Stack<const N: usize>;

pub(crate) struct Stacked(NonNull<u8>);

// SAFETY: the bytes belong to whoever has the buffer.
unsafe impl Send for Stacked {}

thread_local! {
    static STACK: RefCell<Vec<NonNull<u8>>> = const { RefCell::new(Vec::new()) };
}

impl<const N: usize> Stack<N> {
    /// Puts buffers on the calling thread's stack.
    pub(crate) fn new(ready: usize) -> Self {
        STACK.with_borrow_mut(|stack| {
            stack.clear();
            stack.extend((0..ready).map(|_| {
                let bytes = Box::leak(vec![0_u8; N].into_boxed_slice());
                NonNull::from(bytes).cast()
            }));
        });
        Self
    }
}

impl<const N: usize> Buffers for Stack<N> {
    type Buffer = Stacked;

    #[inline(always)]
    fn take(self) -> Stacked {
        Stacked(STACK.with_borrow_mut(|stack| stack.pop().expect("below the stack's buffers")))
    }

    #[inline(always)]
    fn first_byte(buffer: &mut Stacked) -> *mut u8 {
        buffer.0.as_ptr()
    }
}

impl Drop for Stacked {
    #[inline(always)]
    fn drop(&mut self) {
        STACK.with_borrow_mut(|stack| stack.push(self.0));
    }
}
