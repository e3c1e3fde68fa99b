//! [`thread_slot`]: a small number for each living thread, used again when the thread is gone.
//!
//! # What
//!
//! Allocators keep state for each thread in a table. A slot is the thread's place in it: no two
//! living threads have the same, the lowest free number is given out first, and the end of a
//! thread frees its number for the next one, which thereby takes over what the first one left.
//! State whose thread is gone can also be visited: [`claim_thread_slot`] takes a slot that no
//! thread has, for as long as the claim lives.
//!
//! # Memory picture
//!
//! ```text
//!  the process:  a bit for each slot      [1 1 0 1 0 0 ...]     1: a thread or a claim has it
//!  each thread:  its slot                 NEW | 0 .. THREAD_SLOTS_MAX | OVER
//!                a lease with a destructor, made with the slot
//! ```
//!
//! # Invariants
//!
//! - I1: a bit is set exactly while one thread or one claim has the slot.
//! - I2: a thread whose lease has been destroyed says OVER, and gets no slot again.
//!
//! # Threads
//!
//! Any thread may call; nothing blocks. What a thread did before its slot was freed happens before
//! whatever the next thread or claim does with that slot. In the destructors of thread-locals a
//! thread may have lost its slot already and is then told `None`. A thread that dies without
//! running destructors keeps its slot for ever.
//!
//! # Cost
//!
//! The first call on a thread searches a bit map of [`THREAD_SLOTS_MAX`] bits and may allocate, where
//! the platform registers destructors by allocating. Later calls read a thread-local. While every
//! slot is taken, a thread without one searches again at each call.

/// The most slots, hence the most threads that have one at the same time.
#[cfg(not(loom))]
pub const THREAD_SLOTS_MAX: usize = 512;

/// The most slots: few, so that the models also reach the threads that have none.
#[cfg(loom)]
pub const THREAD_SLOTS_MAX: usize = 3;

/// A slot that no thread has, held by the caller; given back on drop.
///
/// Stays on the thread that claimed it.
///
/// ```compile_fail,E0277
/// fn send(_: impl Send) {}
/// send(drystone_sync::claim_thread_slot(0));
/// ```
#[derive(Debug)]
#[must_use = "dropping the claim gives the slot back"]
pub struct SlotClaim {
    #[cfg_attr(
        not(any(feature = "std", loom)),
        expect(dead_code, reason = "there are no slots to give back")
    )]
    slot: usize,
    not_send: core::marker::PhantomData<*const ()>,
}

#[cfg(any(feature = "std", loom))]
pub use imp::{claim_thread_slot, thread_slot};

#[cfg(any(feature = "std", loom))]
mod imp {
    use core::cell::Cell;
    use core::marker::PhantomData;

    use super::{SlotClaim, THREAD_SLOTS_MAX};
    use crate::atomic::{AtomicUsize, Ordering};

    /// The thread has not asked yet, or found every slot taken.
    const NEW: usize = usize::MAX;
    /// The thread has ended, but for destructors of other thread-locals.
    const OVER: usize = usize::MAX - 1;

    const WORD_BITS: usize = usize::BITS as usize;
    const WORDS: usize = THREAD_SLOTS_MAX.div_ceil(WORD_BITS);

    /// The bits of all slots.
    struct Registry {
        words: [AtomicUsize; WORDS],
    }

    impl Registry {
        /// Takes the lowest free slot.
        fn take_lowest(&self) -> Option<usize> {
            (0..WORDS).find_map(|index| self.take_lowest_of(index))
        }

        fn take_lowest_of(&self, index: usize) -> Option<usize> {
            // Relaxed: only says which bit to try.
            let mut word = self.words[index].load(Ordering::Relaxed);
            loop {
                let bit = word.trailing_ones() as usize;
                let slot = index * WORD_BITS + bit;
                if bit == WORD_BITS || slot >= THREAD_SLOTS_MAX {
                    return None;
                }
                match self.set(index, word, 1 << bit) {
                    Ok(()) => return Some(slot),
                    Err(now) => word = now,
                }
            }
        }

        /// Takes this slot if it is free.
        fn take(&self, slot: usize) -> bool {
            let (index, bit) = (slot / WORD_BITS, 1 << (slot % WORD_BITS));
            // Relaxed: only says whether a try is worth it.
            let mut word = self.words[index].load(Ordering::Relaxed);
            while word & bit == 0 {
                match self.set(index, word, bit) {
                    Ok(()) => return true,
                    Err(now) => word = now,
                }
            }
            false
        }

        fn set(&self, index: usize, word: usize, bit: usize) -> Result<(), usize> {
            // Acquire: pairs with the Release in `give_back`, which later changes of the word
            // carry on, so that what the last holder of the slot did is visible to this one.
            self.words[index]
                .compare_exchange(word, word | bit, Ordering::Acquire, Ordering::Relaxed)
                .map(|_| ())
        }

        fn give_back(&self, slot: usize) {
            let bit = 1 << (slot % WORD_BITS);
            // Release: pairs with the Acquire in `set` of the slot's next holder.
            let before = self.words[slot / WORD_BITS].fetch_and(!bit, Ordering::Release);
            debug_assert_ne!(before & bit, 0, "I1: the slot was not taken");
        }
    }

    /// Frees the slot when the thread ends.
    struct Lease {
        slot: Cell<usize>,
        registry: RegistryRef,
    }

    impl Drop for Lease {
        fn drop(&mut self) {
            let slot = self.slot.get();
            set_own(OVER);
            if slot < THREAD_SLOTS_MAX {
                self.registry.give_back(slot);
            }
        }
    }

    /// The calling thread's slot, below [`THREAD_SLOTS_MAX`](crate::THREAD_SLOTS_MAX).
    ///
    /// `None` while every slot is taken, at the end of the thread, and in builds without `std`.
    #[inline]
    pub fn thread_slot() -> Option<usize> {
        let slot = own();
        if slot < THREAD_SLOTS_MAX {
            Some(slot)
        } else {
            find_slot(slot)
        }
    }

    #[cold]
    #[inline(never)]
    fn find_slot(own: usize) -> Option<usize> {
        if own == OVER {
            return None;
        }
        let slot = with_lease(|lease| {
            let slot = lease.registry.take_lowest()?;
            lease.slot.set(slot);
            Some(slot)
        })?;
        set_own(slot);
        Some(slot)
    }

    /// Takes `slot` if no thread and no other claim has it.
    ///
    /// What its last holder did happens before the return. `None` for every number from
    /// [`THREAD_SLOTS_MAX`](crate::THREAD_SLOTS_MAX) on, and in builds without `std`.
    pub fn claim_thread_slot(slot: usize) -> Option<SlotClaim> {
        let taken = slot < THREAD_SLOTS_MAX && registry().take(slot);
        taken.then(|| SlotClaim {
            slot,
            not_send: PhantomData,
        })
    }

    impl Drop for SlotClaim {
        fn drop(&mut self) {
            registry().give_back(self.slot);
        }
    }

    #[cfg(not(loom))]
    mod place {
        use super::*;

        pub(super) type RegistryRef = &'static Registry;

        static REGISTRY: Registry = Registry {
            words: [const { AtomicUsize::new(0) }; WORDS],
        };

        std::thread_local! {
            /// Without destructor: readable until the thread is gone.
            static OWN: Cell<usize> = const { Cell::new(NEW) };
            static LEASE: Lease = const { Lease { slot: Cell::new(NEW), registry: &REGISTRY } };
        }

        #[inline]
        pub(super) fn registry() -> RegistryRef {
            &REGISTRY
        }

        #[inline]
        pub(super) fn own() -> usize {
            OWN.with(Cell::get)
        }

        pub(super) fn set_own(slot: usize) {
            OWN.with(|own| own.set(slot));
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
                words: core::array::from_fn(|_| AtomicUsize::new(0)),
            });
        }

        loom::thread_local! {
            static OWN: std::rc::Rc<Cell<usize>> = std::rc::Rc::new(Cell::new(NEW));
            static LEASE: Lease = Lease { slot: Cell::new(NEW), registry: registry() };
        }

        pub(super) fn registry() -> RegistryRef {
            Arc::clone(&REGISTRY)
        }

        pub(super) fn own() -> usize {
            OWN.try_with(|own| own.get()).unwrap_or(OVER)
        }

        pub(super) fn set_own(slot: usize) {
            // Fails only when the thread has ended, and `own` then says OVER by itself.
            let _ = OWN.try_with(|own| own.set(slot));
        }

        /// `None` if the thread's lease has been destroyed.
        pub(super) fn with_lease<R>(f: impl FnOnce(&Lease) -> Option<R>) -> Option<R> {
            LEASE.try_with(f).ok()?
        }
    }

    use place::{RegistryRef, own, registry, set_own, with_lease};
}

/// The calling thread's slot: none, since threads cannot be told apart without `std`.
#[cfg(not(any(feature = "std", loom)))]
#[inline]
pub fn thread_slot() -> Option<usize> {
    None
}

/// Takes a slot that no thread has: none, since there are no slots without `std`.
#[cfg(not(any(feature = "std", loom)))]
#[inline]
pub fn claim_thread_slot(_slot: usize) -> Option<SlotClaim> {
    None
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
        the_slot_of_a_thread_that_ended_is_used_again();
        a_claim_takes_only_a_free_slot_and_keeps_threads_off();
        threads_beyond_the_limit_have_none_until_one_is_free();
        a_destructor_after_the_end_is_told_none();
    }

    fn a_thread_keeps_its_slot_and_shares_it_with_nobody() {
        let here = thread_slot().expect("a slot is free");
        assert_eq!(thread_slot(), Some(here));
        let (say, hear) = mpsc::channel();
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let say = say.clone();
                let (go, wait) = mpsc::channel::<()>();
                let thread = thread::spawn(move || {
                    say.send(thread_slot()).expect("the test listens");
                    let _ = wait.recv();
                });
                (thread, go)
            })
            .collect();
        let mut slots: Vec<_> = (0..8).map(|_| hear.recv().expect("eight speak")).collect();
        slots.push(Some(here));
        slots.sort_unstable();
        slots.dedup();
        assert_eq!(slots.len(), 9);
        assert!(
            slots
                .iter()
                .all(|slot| slot.is_some_and(|s| s < THREAD_SLOTS_MAX))
        );
        for (thread, go) in threads {
            drop(go);
            thread.join().expect("ends");
        }
    }

    fn the_slot_of_a_thread_that_ended_is_used_again() {
        let of_a_thread = || {
            thread::spawn(thread_slot)
                .join()
                .expect("ends")
                .expect("free")
        };
        let first = of_a_thread();
        for _ in 0..3 * THREAD_SLOTS_MAX / if cfg!(miri) { 100 } else { 1 } {
            assert_eq!(of_a_thread(), first);
        }
    }

    fn a_claim_takes_only_a_free_slot_and_keeps_threads_off() {
        let here = thread_slot().expect("a slot is free");
        assert!(claim_thread_slot(here).is_none());
        assert!(claim_thread_slot(THREAD_SLOTS_MAX).is_none());
        let other = thread::spawn(thread_slot)
            .join()
            .expect("ends")
            .expect("free");
        let claim = claim_thread_slot(other).expect("its thread has ended");
        assert!(claim_thread_slot(other).is_none());
        let another = thread::spawn(thread_slot).join().expect("ends");
        assert_ne!(another, Some(other));
        drop(claim);
        let again = thread::spawn(thread_slot).join().expect("ends");
        assert_eq!(again, Some(other));
    }

    fn threads_beyond_the_limit_have_none_until_one_is_free() {
        let claims: Vec<_> = (0..THREAD_SLOTS_MAX)
            .filter_map(claim_thread_slot)
            .collect();
        thread::spawn(move || {
            assert_eq!(thread_slot(), None);
            assert_eq!(thread_slot(), None);
        })
        .join()
        .expect("ends");
        let slot = claims.first().expect("some were free").slot;
        drop(claims);
        assert_eq!(thread::spawn(thread_slot).join().expect("ends"), Some(slot));
    }

    fn a_destructor_after_the_end_is_told_none() {
        struct Late(mpsc::Sender<Option<usize>>);
        impl Drop for Late {
            fn drop(&mut self) {
                let _ = self.0.send(thread_slot());
            }
        }
        std::thread_local! {
            static LATE: std::cell::RefCell<Option<Late>> = const { std::cell::RefCell::new(None) };
        }
        let (say, hear) = mpsc::channel();
        thread::spawn(move || {
            // Registered first, hence destroyed last where destructors run in reverse order; in
            // the other order the slot is still the thread's.
            LATE.with(|late| *late.borrow_mut() = Some(Late(say)));
            let slot = thread_slot().expect("a slot is free");
            assert!(slot < THREAD_SLOTS_MAX);
        })
        .join()
        .expect("ends");
        let late = hear.recv().expect("the destructor speaks");
        assert!(late.is_none_or(|slot| slot < THREAD_SLOTS_MAX));
    }
}
