//! [`Orphans`]: the heaps that no thread has, in the order in which threads take them.
//!
//! # Threads
//!
//! Under the lock of the arena's core, which passes everything that a heap's last thread did on to the
//! next one. What others free for the heap meanwhile waits in its inboxes, whoever has it.

use core::cell::Cell;
use core::ptr;

/// What can wait for a thread.
pub(crate) trait Orphan {
    /// The next one that waits. Only the list uses it.
    fn next_orphan(&self) -> &Cell<*const Self>;
}

/// Those that wait.
///
/// - O1: `len` heaps hang on `first`, each on the one before, and `last` is the last of them.
#[derive(Debug)]
pub(crate) struct Orphans<T> {
    first: *const T,
    /// Of no meaning while there are none.
    last: *const T,
    len: usize,
}

impl<T: Orphan> Orphans<T> {
    pub(crate) const NONE: Self = Self {
        first: ptr::null(),
        last: ptr::null(),
        len: 0,
    };

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Puts a heap in front: what it has is still in the caches.
    ///
    /// # Safety
    ///
    /// The heap lives until it is popped, and is in no list.
    pub(crate) unsafe fn push(&mut self, heap: &T) {
        heap.next_orphan().set(self.first);
        if self.first.is_null() {
            self.last = heap;
        }
        self.first = heap;
        self.len += 1;
    }

    /// Puts a heap behind all others, so that each has its turn.
    ///
    /// # Safety
    ///
    /// As [`push`](Self::push).
    pub(crate) unsafe fn push_last(&mut self, heap: &T) {
        if self.first.is_null() {
            // SAFETY: the caller's promise.
            return unsafe { self.push(heap) };
        }
        heap.next_orphan().set(ptr::null());
        // SAFETY: by O1 there is a last one, and it lives.
        unsafe { &*self.last }.next_orphan().set(heap);
        self.last = heap;
        self.len += 1;
    }

    /// Takes the first one out.
    pub(crate) fn pop<'a>(&mut self) -> Option<&'a T> {
        // SAFETY: heaps in the list live, by the promise that was made when they were put in.
        let heap = unsafe { self.first.as_ref() }?;
        self.first = heap.next_orphan().replace(ptr::null());
        self.len -= 1;
        Some(heap)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Named(char, Cell<*const Self>);

    impl Orphan for Named {
        fn next_orphan(&self) -> &Cell<*const Self> {
            &self.1
        }
    }

    #[test]
    fn each_has_its_turn() {
        let heaps = ['a', 'b', 'c', 'd'].map(|name| Named(name, Cell::new(ptr::null())));
        let mut orphans = Orphans::NONE;
        let [a, b, c, d] = &heaps;
        // SAFETY: the heaps live, and are in no list.
        unsafe { orphans.push_last(a) };
        // SAFETY: as above.
        unsafe { orphans.push_last(b) };
        // SAFETY: as above.
        unsafe { orphans.push(c) };
        let first = orphans.pop().map(|heap| heap.0);
        assert_eq!((first, orphans.len()), (Some('c'), 2));
        // SAFETY: as above.
        unsafe { orphans.push_last(d) };
        let rest: Vec<_> = core::iter::from_fn(|| orphans.pop())
            .map(|heap| heap.0)
            .collect();
        assert_eq!(rest, ['a', 'b', 'd']);
        assert_eq!(orphans.len(), 0);
        // SAFETY: as above.
        unsafe { orphans.push_last(a) };
        assert_eq!(orphans.pop().map(|heap| heap.0), Some('a'));
    }
}

#[cfg(all(test, loom))]
mod models {
    //! Heaps that go from thread to thread, and that drain, while others free their blocks: on the real
    //! lists, inboxes and lock. What belongs to a heap's thread is a cell, so that a thread that has the
    //! heap without being ordered after the one before is a race.

    use std::sync::Arc;
    use std::vec::Vec;

    use drystone_sync::cell::UnsafeCell;
    use drystone_sync::{RawGuard, SpinLock};

    use super::*;
    use crate::inbox::{Blocks, Inbox, Pending};

    /// Blocks of a heap's one page.
    const BLOCKS: usize = 2;

    struct Heap {
        next: Cell<*const Self>,
        pending: Pending,
        inbox: Inbox,
        links: [UnsafeCell<usize>; BLOCKS],
        /// What its thread has collected.
        home: UnsafeCell<Vec<usize>>,
    }

    impl Orphan for Heap {
        fn next_orphan(&self) -> &Cell<*const Self> {
            &self.next
        }
    }

    impl Heap {
        fn new() -> Self {
            Self {
                next: Cell::new(ptr::null()),
                pending: Pending::for_model(),
                inbox: Inbox::for_model(),
                links: [(); BLOCKS].map(|()| UnsafeCell::new(0)),
                home: UnsafeCell::new(Vec::new()),
            }
        }

        /// Another thread frees a block.
        fn free(&self, block: usize) {
            let link = |next: Option<usize>| {
                self.links[block].with_mut(|link| {
                    // SAFETY: the block is this thread's until it is put in.
                    unsafe { link.write(next.map_or(0, |next| next + 1)) };
                });
            };
            let blocks = Blocks {
                first: block,
                last: block,
                count: 1,
            };
            if self.inbox.put(blocks, link) {
                self.pending.push(&self.inbox);
            }
        }

        /// Its thread takes in what others freed.
        fn collect(&self) {
            // SAFETY: the inbox lives as long as the model.
            unsafe {
                self.pending.take_all(|inbox| {
                    let blocks = inbox.take();
                    let mut block = blocks.first;
                    for _ in 0..blocks.count {
                        self.home.with_mut(|home| (*home).push(block));
                        let next = self.links[block].with(|link| link.read());
                        block = next.wrapping_sub(1);
                    }
                });
            }
        }

        fn expect_all(&self) {
            self.collect();
            self.home.with_mut(|home| {
                // SAFETY: all other threads have ended.
                let home = unsafe { &mut *home };
                home.sort_unstable();
                assert_eq!(*home, [0, 1], "each block arrives once");
            });
        }
    }

    struct Model {
        lock: SpinLock,
        orphans: UnsafeCell<Orphans<Heap>>,
        heaps: [Heap; 2],
    }

    // SAFETY: the list is used under the lock, and what is a heap's by the thread that has it, which is
    // what loom checks.
    unsafe impl Send for Model {}
    // SAFETY: as above.
    unsafe impl Sync for Model {}

    impl Model {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                lock: SpinLock::new(),
                orphans: UnsafeCell::new(Orphans::NONE),
                heaps: [Heap::new(), Heap::new()],
            })
        }

        fn locked<R>(&self, f: impl FnOnce(&mut Orphans<Heap>) -> R) -> R {
            let _guard = RawGuard::lock(&self.lock);
            self.orphans.with_mut(|orphans| {
                // SAFETY: the lock is held.
                f(unsafe { &mut *orphans })
            })
        }

        /// The thread that has a heap ends.
        fn leave(&self, heap: &Heap) {
            heap.collect();
            // SAFETY: the heap lives as long as the model, and its thread took it out.
            self.locked(|orphans| unsafe { orphans.push(heap) });
        }

        /// A thread without a heap takes one that waits, drains it, and leaves it behind all others.
        fn tidy(&self) {
            if let Some(heap) = self.locked(Orphans::pop) {
                heap.collect();
                // SAFETY: as in `leave`.
                self.locked(|orphans| unsafe { orphans.push_last(heap) });
            }
        }
    }

    /// A heap's thread ends and another one adopts the heap, while a third frees blocks of it.
    #[test]
    fn loom3_a_heap_is_adopted() {
        loom::model(|| {
            let model = Model::new();
            let threads = [Model::tidy as fn(&Model), |model| model.heaps[0].free(0)];
            let threads = threads.map(|body| {
                let model = Arc::clone(&model);
                loom::thread::spawn(move || body(&model))
            });
            model.leave(&model.heaps[0]);
            for thread in threads {
                thread.join().unwrap();
            }
            let heap = model.locked(Orphans::pop).expect("it was left");
            heap.free(1);
            heap.expect_all();
        });
    }

    /// A thread frees two blocks of a heap that goes from its thread to this one.
    #[test]
    fn loom2_a_heap_goes_on_while_others_free() {
        loom::model(|| {
            let model = Model::new();
            model.leave(&model.heaps[0]);
            let other = Arc::clone(&model);
            let tidying = loom::thread::spawn(move || other.tidy());
            model.heaps[0].free(0);
            model.tidy();
            model.heaps[0].free(1);
            tidying.join().unwrap();
            model.locked(Orphans::pop).expect("left").expect_all();
        });
    }

    /// Two heaps free each other's blocks, and both drain meanwhile.
    #[test]
    fn loom2_two_heaps_drain() {
        loom::model(|| {
            let model = Model::new();
            let other = Arc::clone(&model);
            let body = |model: &Model, own: usize| {
                let (own, other) = (&model.heaps[own], &model.heaps[1 - own]);
                other.free(0);
                own.collect();
                other.free(1);
                own.collect();
            };
            let draining = loom::thread::spawn(move || body(&other, 1));
            body(&model, 0);
            draining.join().unwrap();
            model.heaps.iter().for_each(Heap::expect_all);
        });
    }
}
