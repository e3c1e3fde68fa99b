//! The heap of the calling thread, for arenas of the whole process.
//!
//! A thread gets its heap when it first needs one, and gives it up when it ends. In the destructors
//! of thread-locals that run after that, each call borrows a heap that no thread has.

use core::cell::Cell;

use crate::core_state::Core;
use crate::heap::{Heap, NO_HEAP};

/// What a thread has of a process-wide arena.
#[repr(C)]
pub struct ThreadHeap {
    heap: Cell<*const Heap>,
    over: Cell<bool>,
}

impl ThreadHeap {
    pub(crate) const fn new() -> Self {
        Self {
            heap: Cell::new(NO_HEAP.get()),
            over: Cell::new(false),
        }
    }

    /// The thread's heap, or the one that stands for none.
    #[inline(always)]
    pub(crate) fn get(&self) -> &Heap {
        // SAFETY: `NO_HEAP` lives for ever, and a heap as long as its arena, which is static.
        unsafe { &*self.heap.get() }
    }

    /// Runs `f` with a heap: the thread's own, which it gets now if it has none, or after the
    /// thread's end one that it has for this call only. `None` if there is no memory for a heap.
    ///
    /// `register` makes sure that [`end`](Self::end) is called when the thread ends.
    #[cold]
    #[inline(never)]
    pub(crate) fn with<R>(
        &self,
        core: &'static Core,
        register: fn(),
        f: impl FnOnce(&Heap) -> R,
    ) -> Option<R> {
        if !self.get().is_none() {
            return Some(f(self.get()));
        }
        let heap = core.heap()?;
        if self.over.get() {
            let answer = f(heap);
            heap.send_all();
            core.put_orphan(heap);
            return Some(answer);
        }
        self.heap.set(heap);
        // After the heap is there: registering may allocate.
        register();
        Some(f(heap))
    }

    /// Gives the heap up; the thread ends.
    pub(crate) fn end(&self, core: &'static Core) {
        self.over.set(true);
        let heap = self.get();
        self.heap.set(NO_HEAP.get());
        if !heap.is_none() {
            heap.send_all();
            core.put_orphan(heap);
        }
    }
}
