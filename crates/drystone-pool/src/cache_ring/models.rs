//! The owner against thieves. Each pointer leads to a witness that whoever takes it touches: two who
//! take the same pointer, or one who takes it without seeing what was written, are reported.

use core::ptr::NonNull;

use drystone_sync::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::{CacheRing, NotStolen};
use crate::asymmetric::Protocol;

struct Witness {
    touched: UnsafeCell<usize>,
}

struct Setting {
    ring: CacheRing<Witness>,
    witnesses: Box<[Witness]>,
}

// SAFETY: a witness is touched by who took its pointer out of the ring, which is what the models
// check.
unsafe impl Sync for Setting {}
// SAFETY: as above; numbers may change threads.
unsafe impl Send for Setting {}

impl Setting {
    fn new(capacity: u32, witnesses: usize) -> Arc<Self> {
        Arc::new(Self {
            ring: CacheRing::new(capacity, Protocol::Fenced),
            witnesses: (0..witnesses)
                .map(|_| Witness {
                    touched: UnsafeCell::new(0),
                })
                .collect(),
        })
    }

    /// As the owner: writes the witness, then pushes it.
    fn push(&self, index: usize) -> bool {
        let witness = NonNull::from(&self.witnesses[index]);
        touch(witness);
        // SAFETY: each model has one owner.
        unsafe { self.ring.push(witness) }.is_ok()
    }

    fn pop(&self) -> usize {
        // SAFETY: each model has one owner.
        take(unsafe { self.ring.pop() })
    }

    /// By the short path first, as the pool does. It has no fence, and gives up here: to the others it is
    /// a bottom that goes down and up.
    fn pop_as_the_pool(&self) -> usize {
        // SAFETY: each model has one owner.
        let popped = unsafe { self.ring.pop_short() };
        // SAFETY: as above.
        take(popped.or_else(|| unsafe { self.ring.pop() }))
    }

    /// As many as there are, or none where the owner is at work.
    fn steal(&self, count: usize) -> usize {
        match self.ring.steal(count, touch) {
            Ok(stolen) => stolen,
            Err(NotStolen::OwnerMoves) => 0,
            Err(NotStolen::NoBarrier) => panic!("a fence is never refused"),
        }
    }

    /// As the owner, a move whose pointers are its own afterwards.
    fn spill(&self, count: usize) -> usize {
        // SAFETY: each model has one owner.
        unsafe { self.ring.begin_move() };
        // SAFETY: as above.
        let spilled = unsafe { self.ring.spill(count, touch) };
        // SAFETY: as above.
        unsafe { self.ring.end_move() };
        spilled
    }

    /// What is left, taken by a thread that comes after all others.
    fn rest(&self) -> usize {
        self.ring.debug_assert_invariants();
        self.steal(usize::MAX)
    }

    /// How often the witnesses were touched in all.
    fn touches(&self) -> usize {
        let touched = |witness: &Witness| {
            // SAFETY: the other threads have ended.
            witness.touched.with(|count| unsafe { *count })
        };
        self.witnesses.iter().map(touched).sum()
    }
}

fn take(popped: Option<NonNull<Witness>>) -> usize {
    popped.map_or(0, |witness| {
        touch(witness);
        1
    })
}

fn touch(witness: NonNull<Witness>) {
    // SAFETY: the witnesses live as long as the setting.
    let witness = unsafe { witness.as_ref() };
    witness.touched.with_mut(|count| {
        // SAFETY: who took the pointer has the witness, which is what the models check.
        unsafe { *count += 1 };
    });
}

/// The last pointer: the owner or the thief gets it, and a thief that found nothing has left it to
/// an owner that takes it.
#[test]
fn loom2_the_last_pointer_goes_to_one_of_two() {
    loom::model(|| {
        let setting = Setting::new(1, 1);
        assert!(setting.push(0));
        let thief = {
            let setting = Arc::clone(&setting);
            thread::spawn(move || setting.steal(1))
        };
        let popped = setting.pop_as_the_pool();
        let stolen = thief.join().expect("ends");
        assert_eq!(popped + stolen, 1);
        assert_eq!(setting.rest(), 0);
        assert_eq!(setting.touches(), 2);
    });
}

/// A thief claims both pointers while the owner pops, and takes its claim back as far as needed.
#[test]
fn loom2_a_claim_is_taken_back() {
    loom::model(|| {
        let setting = Setting::new(2, 2);
        assert!(setting.push(0) && setting.push(1));
        let thief = {
            let setting = Arc::clone(&setting);
            thread::spawn(move || setting.steal(2))
        };
        let popped = setting.pop() + setting.pop();
        let stolen = thief.join().expect("ends");
        assert_eq!(popped + stolen, 2);
        assert_eq!(setting.rest(), 0);
        assert_eq!(setting.touches(), 4);
    });
}

/// The owner pops and pushes again at the same position while a thief is at it.
#[test]
fn loom2_a_position_is_used_again_beside_a_thief() {
    loom::model(|| {
        let setting = Setting::new(2, 3);
        assert!(setting.push(0));
        let thief = {
            let setting = Arc::clone(&setting);
            thread::spawn(move || setting.steal(2))
        };
        let popped = setting.pop();
        assert!(setting.push(1) && setting.push(2));
        let popped = popped + setting.pop();
        let stolen = thief.join().expect("ends");
        assert_eq!(popped + stolen + setting.rest(), 3);
        assert_eq!(setting.touches(), 6);
    });
}

/// The owner pushes into the place that a thief has just read.
#[test]
fn loom2_room_that_a_thief_made_is_used() {
    loom::model(|| {
        let setting = Setting::new(1, 2);
        assert!(setting.push(0));
        let thief = {
            let setting = Arc::clone(&setting);
            thread::spawn(move || setting.steal(1))
        };
        let pushed = usize::from(setting.push(1));
        let stolen = thief.join().expect("ends");
        assert_eq!(stolen + setting.rest(), 1 + pushed);
        assert_eq!(setting.touches(), 2 + 1 + pushed);
    });
}

/// The owner spills its cold end, or leaves it to the thief at work.
#[test]
fn loom2_owner_and_thief_at_the_cold_end() {
    loom::model(|| {
        let setting = Setting::new(3, 3);
        assert!(setting.push(0) && setting.push(1));
        let thief = {
            let setting = Arc::clone(&setting);
            thread::spawn(move || setting.steal(1))
        };
        let spilled = setting.spill(1);
        let popped = setting.pop();
        assert!(setting.push(2));
        let stolen = thief.join().expect("ends");
        assert_eq!(spilled + popped + stolen + setting.rest(), 3);
        assert_eq!(setting.touches(), 6);
    });
}

/// A pointer is pushed, then a word is read; a thief writes the word, passes its fence, then
/// steals: one of the two sees the other. What stands for the word is the pool's flags.
#[test]
fn loom2_a_push_is_found_or_sees_the_word() {
    use loom::sync::atomic::{AtomicBool, Ordering};

    loom::model(|| {
        let setting = Setting::new(1, 1);
        let word = Arc::new(AtomicBool::new(false));
        let thief = {
            let (setting, word) = (Arc::clone(&setting), Arc::clone(&word));
            thread::spawn(move || {
                word.store(true, Ordering::Relaxed);
                Protocol::Fenced.heavy().expect("a fence");
                setting.steal(1)
            })
        };
        assert!(setting.push(0));
        let seen = word.load(Ordering::Relaxed);
        let stolen = thief.join().expect("ends");
        assert!(seen || stolen == 1);
    });
}

/// The owner moves its pointer elsewhere, unless it reads that somebody searches. A thief that has written
/// so, passed its fence and seen no move finds the pointer in the ring or elsewhere.
#[test]
fn loom2_a_move_is_seen_or_its_end_is() {
    use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    loom::model(|| {
        let setting = Setting::new(1, 1);
        let word = Arc::new((AtomicBool::new(false), AtomicUsize::new(0)));
        assert!(setting.push(0));
        let thief = {
            let (setting, word) = (Arc::clone(&setting), Arc::clone(&word));
            thread::spawn(move || {
                word.0.store(true, Ordering::Relaxed);
                Protocol::Fenced.heavy().expect("a fence");
                let moving = setting.ring.is_moving();
                let stolen = setting.ring.steal(1, touch);
                let elsewhere = word.1.load(Ordering::Relaxed);
                (moving, stolen.map(|stolen| stolen + elsewhere))
            })
        };
        // SAFETY: one owner.
        unsafe { setting.ring.begin_move() };
        let seen = word.0.load(Ordering::Relaxed);
        // SAFETY: as above.
        let spilled = unsafe { setting.ring.spill(1, touch) };
        word.1.store(spilled, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { setting.ring.end_move() };
        let (moving, found) = thief.join().expect("ends");
        match found {
            Ok(found) => assert!(seen || moving || found == 1),
            Err(NotStolen::OwnerMoves) => {}
            Err(NotStolen::NoBarrier) => panic!("a fence is never refused"),
        }
        assert!(setting.touches() <= 2);
    });
}

/// Two thieves and the owner share two pointers.
#[test]
fn loom3_two_thieves_and_the_owner() {
    loom::model(|| {
        let setting = Setting::new(2, 2);
        assert!(setting.push(0) && setting.push(1));
        let thieves: [_; 2] = core::array::from_fn(|_| {
            let setting = Arc::clone(&setting);
            thread::spawn(move || setting.steal(1))
        });
        let popped = setting.pop();
        let stolen: usize = thieves
            .map(|thief| thief.join().expect("ends"))
            .iter()
            .sum();
        assert_eq!(popped + stolen + setting.rest(), 2);
        assert_eq!(setting.touches(), 4);
    });
}

/// Who steals after a push finds the pointer, whatever another thief is doing, unless that one has
/// it.
#[test]
fn loom2_nothing_is_missed_behind_another_thief() {
    loom::model(|| {
        let setting = Setting::new(2, 2);
        assert!(setting.push(0));
        let first = {
            let setting = Arc::clone(&setting);
            thread::spawn(move || setting.steal(2))
        };
        let popped = setting.pop();
        assert!(setting.push(1));
        let second = setting.steal(2);
        let first = first.join().expect("ends");
        assert_eq!(popped + first + second, 2);
    });
}
