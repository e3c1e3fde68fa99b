//! [`thread_slot`]: a small number for each living thread, used again when the thread is gone.
//!
//! # What
//!
//! Allocators keep state for each thread in a table. A slot is the thread's place in it: no two
//! living threads have the same index, the lowest free one is given out first, and the end of a
//! thread frees its index for the next. A slot also tells its thread from every thread that had the
//! index before, so a table entry can say whose it is, and anybody can ask whether that thread
//! [has ended](ThreadSlot::has_ended).
//!
//! # Memory picture
//!
//! ```text
//!  the process:  a bit for each index            [1 1 0 1 0 0 ...]     1: a thread has it
//!                a generation for each index     [7 2 9 1 1 1 ...]     one higher at each end
//!  each thread:  its word, generation and index  NEW | OVER | generation * THREAD_SLOTS_MAX + index
//!                a lease with a destructor, made with the slot
//! ```
//!
//! # Invariants
//!
//! - I1: a bit is set exactly while one thread has the index.
//! - I2: while a thread has an index, the generation there is that of its word; no generation is 0.
//! - I3: a thread whose lease has been destroyed says OVER, and gets no slot again.
//!
//! # Threads
//!
//! Any thread may call; nothing blocks. What a thread did before its end happens before whatever a
//! thread with the same index does, and before a [`has_ended`](ThreadSlot::has_ended) that answers
//! yes. In the destructors of thread-locals a thread may have lost its slot already and is then
//! told `None`. A thread that dies without running destructors keeps its slot for ever.
//!
//! A generation comes again after 2³² threads had the index (2²³ where words have 32 bits). That
//! does no harm: there is still only one living thread with the word, and all that other one did
//! happened before.
//!
//! # Cost
//!
//! The first call on a thread searches a bit map of [`THREAD_SLOTS_MAX`] bits and may allocate, where
//! the platform registers destructors by allocating. Later calls read a thread-local. While every
//! slot is taken, a thread without one searches again at each call.

/// The most slots, hence the most threads that have one at the same time. Few under Miri and loom,
/// so that tests and models also reach the threads that have none.
pub const THREAD_SLOTS_MAX: usize = if cfg!(loom) {
    2
} else if cfg!(miri) {
    16
} else {
    512
};

/// The slot of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ThreadSlot {
    // I1: `generation * THREAD_SLOTS_MAX + index`, with a generation above 0.
    word: usize,
}

impl ThreadSlot {
    /// The lowest word that a slot can have.
    pub const WORD_MIN: usize = THREAD_SLOTS_MAX;

    /// The slot whose [`word`](Self::word) this is; `None` below [`WORD_MIN`](Self::WORD_MIN).
    ///
    /// A word that comes by way of an atomic is stored with Release and loaded with Acquire: only
    /// who knows that the thread began can learn whether it [has ended](Self::has_ended).
    #[inline]
    #[must_use]
    pub const fn from_word(word: usize) -> Option<Self> {
        if word < Self::WORD_MIN {
            None
        } else {
            Some(Self { word })
        }
    }

    /// A number, at least [`WORD_MIN`](Self::WORD_MIN), that no other living thread has.
    #[inline]
    #[must_use]
    pub const fn word(self) -> usize {
        self.word
    }

    /// A number below [`THREAD_SLOTS_MAX`] that no other living thread has.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self.word % THREAD_SLOTS_MAX
    }

    /// Whether the thread has ended. What it did until its slot was freed happens before a yes. A
    /// no may be late.
    #[must_use]
    pub fn has_ended(self) -> bool {
        imp::has_ended(self)
    }
}

/// The calling thread's slot.
///
/// `None` while every slot is taken, at the end of the thread, and in builds without `std`.
#[inline]
pub fn thread_slot() -> Option<ThreadSlot> {
    imp::thread_slot()
}

#[cfg(any(feature = "std", loom))]
mod imp {
    use core::cell::Cell;

    use super::{THREAD_SLOTS_MAX, ThreadSlot};
    use crate::atomic::{AtomicUsize, Ordering};

    /// The thread has not asked yet, or found every slot taken.
    const NEW: usize = 0;
    /// The thread has ended, but for destructors of other thread-locals.
    const OVER: usize = 1;
    const _: () = assert!(OVER < ThreadSlot::WORD_MIN);

    const WORD_BITS: usize = usize::BITS as usize;
    const WORDS: usize = THREAD_SLOTS_MAX.div_ceil(WORD_BITS);

    /// The generations that fit a word beside the index; at most 2³².
    const GENERATIONS: usize = {
        let fit = usize::MAX / THREAD_SLOTS_MAX;
        if fit < u32::MAX as usize {
            fit
        } else {
            u32::MAX as usize
        }
    };

    /// The slots of the process.
    struct Registry {
        taken: [AtomicUsize; WORDS],
        /// One less than the generation of each index, so that they can begin with 0.
        ended: [AtomicUsize; THREAD_SLOTS_MAX],
    }

    impl Registry {
        /// Takes the lowest free slot.
        fn take(&self) -> Option<ThreadSlot> {
            let index = (0..WORDS).find_map(|word| self.take_of(word))?;
            // Relaxed: only who has the index changes it, and the last one did so before the
            // index was free.
            let generation = self.ended[index].load(Ordering::Relaxed) + 1;
            ThreadSlot::from_word(generation * THREAD_SLOTS_MAX + index)
        }

        fn take_of(&self, word: usize) -> Option<usize> {
            // Relaxed: only says which bit to try.
            let mut taken = self.taken[word].load(Ordering::Relaxed);
            loop {
                let bit = taken.trailing_ones() as usize;
                let index = word * WORD_BITS + bit;
                if bit == WORD_BITS || index >= THREAD_SLOTS_MAX {
                    return None;
                }
                // Acquire: pairs with the Release in `give_back`, which later changes of the word
                // carry on, so that what the last thread did is visible to this one.
                match self.taken[word].compare_exchange(
                    taken,
                    taken | 1 << bit,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => return Some(index),
                    Err(now) => taken = now,
                }
            }
        }

        fn give_back(&self, slot: ThreadSlot) {
            let index = slot.index();
            let ended = (slot.word() / THREAD_SLOTS_MAX) % GENERATIONS;
            // Release: pairs with the Acquire in `has_ended`.
            self.ended[index].store(ended, Ordering::Release);
            // Release: pairs with the Acquire in `take_of` of the index's next thread.
            let bit = 1 << (index % WORD_BITS);
            let before = self.taken[index / WORD_BITS].fetch_and(!bit, Ordering::Release);
            debug_assert_ne!(before & bit, 0, "I1: the slot was not taken");
        }

        fn has_ended(&self, slot: ThreadSlot) -> bool {
            // Acquire: pairs with the Release in `give_back`.
            let ended = self.ended[slot.index()].load(Ordering::Acquire);
            ended + 1 != slot.word() / THREAD_SLOTS_MAX
        }
    }

    /// Frees the slot when the thread ends.
    struct Lease {
        slot: Cell<Option<ThreadSlot>>,
        registry: RegistryRef,
    }

    impl Drop for Lease {
        fn drop(&mut self) {
            set_own(OVER);
            if let Some(slot) = self.slot.get() {
                self.registry.give_back(slot);
            }
        }
    }

    #[inline]
    pub(super) fn thread_slot() -> Option<ThreadSlot> {
        let own = own();
        match ThreadSlot::from_word(own) {
            Some(slot) => Some(slot),
            None => find_slot(own),
        }
    }

    #[cold]
    #[inline(never)]
    fn find_slot(own: usize) -> Option<ThreadSlot> {
        if own == OVER {
            return None;
        }
        let slot = with_lease(|lease| {
            let slot = lease.registry.take()?;
            lease.slot.set(Some(slot));
            Some(slot)
        })?;
        set_own(slot.word());
        Some(slot)
    }

    pub(super) fn has_ended(slot: ThreadSlot) -> bool {
        registry().has_ended(slot)
    }

    #[cfg(not(loom))]
    mod place {
        use super::*;

        pub(super) type RegistryRef = &'static Registry;

        static REGISTRY: Registry = Registry {
            taken: [const { AtomicUsize::new(0) }; WORDS],
            ended: [const { AtomicUsize::new(0) }; THREAD_SLOTS_MAX],
        };

        std::thread_local! {
            /// Without destructor: readable until the thread is gone.
            static OWN: Cell<usize> = const { Cell::new(NEW) };
            /// Not a constant, which may not refer to a static with atomics before Rust 1.89.
            static LEASE: Lease = Lease { slot: Cell::new(None), registry: &REGISTRY };
        }

        #[inline]
        pub(super) fn registry() -> RegistryRef {
            &REGISTRY
        }

        #[inline]
        pub(super) fn own() -> usize {
            OWN.with(Cell::get)
        }

        pub(super) fn set_own(word: usize) {
            OWN.with(|own| own.set(word));
        }

        /// `None` if the thread's lease has been destroyed.
        pub(super) fn with_lease<R>(f: impl FnOnce(&Lease) -> Option<R>) -> Option<R> {
            LEASE.try_with(f).ok()?
        }
    }

    /// loom's statics end with the model's main function, and its thread-locals have no phase in
    /// which they can be read but not destroyed; both lie behind counted references here.
    #[cfg(loom)]
    mod place {
        use super::*;
        use std::sync::Arc;

        pub(super) type RegistryRef = Arc<Registry>;

        loom::lazy_static! {
            static ref REGISTRY: Arc<Registry> = Arc::new(Registry {
                taken: core::array::from_fn(|_| AtomicUsize::new(0)),
                ended: core::array::from_fn(|_| AtomicUsize::new(0)),
            });
        }

        loom::thread_local! {
            static OWN: Cell<usize> = Cell::new(NEW);
            static LEASE: Lease = Lease { slot: Cell::new(None), registry: registry() };
        }

        pub(super) fn registry() -> RegistryRef {
            Arc::clone(&REGISTRY)
        }

        pub(super) fn own() -> usize {
            OWN.try_with(|own| own.get()).unwrap_or(OVER)
        }

        pub(super) fn set_own(word: usize) {
            // Fails only when the thread has ended, and `own` then says OVER by itself.
            let _ = OWN.try_with(|own| own.set(word));
        }

        /// `None` if the thread's lease has been destroyed.
        pub(super) fn with_lease<R>(f: impl FnOnce(&Lease) -> Option<R>) -> Option<R> {
            LEASE.try_with(f).ok()?
        }
    }

    use place::{RegistryRef, own, registry, set_own, with_lease};
}

/// Without `std` threads cannot be told apart.
#[cfg(not(any(feature = "std", loom)))]
mod imp {
    use super::ThreadSlot;

    #[inline]
    pub(super) fn thread_slot() -> Option<ThreadSlot> {
        None
    }

    pub(super) fn has_ended(_slot: ThreadSlot) -> bool {
        false
    }
}

#[cfg(all(test, feature = "std", not(loom)))]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::vec::Vec;

    use super::*;

    /// One test for all: they count slots of the whole process, and the harness ends the thread of
    /// each test, with its slot, at a moment of its own.
    #[test]
    fn slots_of_a_process() {
        a_thread_keeps_its_slot_and_shares_it_with_nobody();
        the_index_of_a_thread_that_ended_is_used_again();
        the_end_of_a_thread_can_be_asked_for();
        threads_beyond_the_limit_have_none_until_one_is_free();
        a_destructor_after_the_end_is_told_none();
    }

    /// The slots of `count` threads that live until what is returned is dropped.
    fn threads(count: usize) -> (Vec<Option<ThreadSlot>>, Living) {
        let (say, hear) = mpsc::channel();
        let mut living = Living::default();
        for _ in 0..count {
            let say = say.clone();
            let (end, wait) = mpsc::channel::<()>();
            let thread = thread::Builder::new().stack_size(64 << 10).spawn(move || {
                say.send(thread_slot()).expect("the test listens");
                let _ = wait.recv();
            });
            living.ends.push(end);
            living.threads.push(thread.expect("a thread can be had"));
        }
        let slots = (0..count).map(|_| hear.recv().expect("each speaks"));
        (slots.collect(), living)
    }

    #[derive(Default)]
    struct Living {
        ends: Vec<mpsc::Sender<()>>,
        threads: Vec<thread::JoinHandle<()>>,
    }

    impl Drop for Living {
        fn drop(&mut self) {
            self.ends.clear();
            for thread in self.threads.drain(..) {
                thread.join().expect("ends");
            }
        }
    }

    fn of_a_thread() -> ThreadSlot {
        let slot = thread::spawn(thread_slot).join().expect("ends");
        slot.expect("a slot is free")
    }

    fn a_thread_keeps_its_slot_and_shares_it_with_nobody() {
        let here = thread_slot().expect("a slot is free");
        assert_eq!(thread_slot(), Some(here));
        assert_eq!(ThreadSlot::from_word(here.word()), Some(here));
        let (slots, _living) = threads(8);
        let slots: Vec<_> = slots.into_iter().chain([Some(here)]).collect();
        let mut indices: Vec<_> = slots.iter().map(|s| s.expect("free").index()).collect();
        indices.sort_unstable();
        indices.dedup();
        assert_eq!(indices.len(), 9);
        assert!(indices.iter().all(|&index| index < THREAD_SLOTS_MAX));
    }

    fn the_index_of_a_thread_that_ended_is_used_again() {
        let mut last = of_a_thread();
        for _ in 0..if cfg!(miri) { 20 } else { 2000 } {
            let next = of_a_thread();
            assert_eq!(next.index(), last.index());
            assert_ne!(next.word(), last.word());
            last = next;
        }
    }

    fn the_end_of_a_thread_can_be_asked_for() {
        let (slots, living) = threads(2);
        let slots: Vec<_> = slots.into_iter().flatten().collect();
        assert!(slots.iter().all(|slot| !slot.has_ended()));
        drop(living);
        assert!(slots.iter().all(|slot| slot.has_ended()));
        let (_again, _living) = threads(2);
        assert!(slots.iter().all(|slot| slot.has_ended()));
        assert!(!thread_slot().expect("has one").has_ended());
    }

    fn threads_beyond_the_limit_have_none_until_one_is_free() {
        let (slots, living) = threads(THREAD_SLOTS_MAX + 3);
        // This thread has one too.
        assert_eq!(slots.iter().flatten().count(), THREAD_SLOTS_MAX - 1);
        assert_eq!(thread::spawn(thread_slot).join().expect("ends"), None);
        drop(living);
        let _ = of_a_thread();
    }

    fn a_destructor_after_the_end_is_told_none() {
        struct Late(mpsc::Sender<Option<ThreadSlot>>, Option<ThreadSlot>);
        impl Drop for Late {
            fn drop(&mut self) {
                let slot = thread_slot();
                assert!(slot.is_none() || slot == self.1);
                let _ = self.0.send(slot);
            }
        }
        std::thread_local! {
            static LATE: std::cell::RefCell<Option<Late>> = const { std::cell::RefCell::new(None) };
        }
        // Destructors run in one order or the other, which the platform chooses.
        let told: Vec<_> = [true, false]
            .into_iter()
            .map(|first| {
                let (say, hear) = mpsc::channel();
                let ended = thread::spawn(move || {
                    let register = || LATE.with(|late| drop(late.borrow()));
                    if first {
                        register();
                    }
                    let slot = thread_slot();
                    LATE.with(|late| *late.borrow_mut() = Some(Late(say, slot)));
                });
                ended.join().expect("ends");
                hear.recv().expect("the destructor speaks")
            })
            .collect();
        assert!(told.iter().any(Option::is_none), "{told:?}");
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::atomic::{AtomicUsize, Ordering};
    use crate::cell::UnsafeCell;

    /// What threads keep by the index of their slots, and the word of one of them.
    struct Table {
        cells: [UnsafeCell<usize>; THREAD_SLOTS_MAX],
        word: AtomicUsize,
    }

    // SAFETY: a cell is reached by who has its index, or knows that the thread that had it has
    // ended, which is what the models check.
    unsafe impl Sync for Table {}
    // SAFETY: as above; numbers may change threads.
    unsafe impl Send for Table {}

    impl Table {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                cells: core::array::from_fn(|_| UnsafeCell::new(0)),
                word: AtomicUsize::new(0),
            })
        }

        fn touch(&self, slot: ThreadSlot) {
            self.cells[slot.index()].with_mut(|cell| {
                // SAFETY: the caller has the index; the pointer is the cell's.
                unsafe { *cell += 1 };
            });
        }
    }

    /// Three threads for two slots: whoever gets one has it alone, and sees what the last had done.
    #[test]
    fn loom3_an_index_has_one_thread_after_the_other() {
        loom::model(|| {
            let table = Table::new();
            let others: [_; 2] = core::array::from_fn(|_| {
                let table = Arc::clone(&table);
                thread::spawn(move || {
                    if let Some(slot) = thread_slot() {
                        table.touch(slot);
                    }
                })
            });
            let slot = thread_slot();
            if let Some(slot) = slot {
                table.touch(slot);
                assert_eq!(thread_slot(), Some(slot));
            }
            others.map(|other| other.join().expect("ends"));
        });
    }

    /// Who is told that a thread has ended sees all that it did.
    #[test]
    fn loom2_an_end_that_is_seen_is_the_end() {
        loom::model(|| {
            let table = Table::new();
            let other = {
                let table = Arc::clone(&table);
                thread::spawn(move || {
                    let slot = thread_slot().expect("two are enough");
                    table.word.store(slot.word(), Ordering::Release);
                    table.touch(slot);
                })
            };
            let word = table.word.load(Ordering::Acquire);
            if let Some(slot) = ThreadSlot::from_word(word) {
                if slot.has_ended() {
                    table.touch(slot);
                }
            }
            other.join().expect("ends");
        });
    }
}
