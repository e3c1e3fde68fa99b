use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// Pointers that are told apart and never followed.
fn pointer(number: usize) -> NonNull<u8> {
    NonNull::new(core::ptr::without_provenance_mut(number + 1)).expect("above 0")
}

fn number(pointer: NonNull<u8>) -> usize {
    pointer.addr().get() - 1
}

/// The protocols that this process can run.
fn protocols() -> Vec<Protocol> {
    let of_process = Protocol::of_process();
    let mut protocols = vec![Protocol::Fenced];
    if of_process.is_asymmetric() {
        protocols.push(of_process);
    }
    protocols
}

/// What the owner and thieves may do, one after the other.
#[derive(Clone, Debug)]
enum Step {
    Push,
    Pop,
    Spill(usize),
    Refill(usize),
    Steal(usize),
    Drain,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Push),
        5 => Just(Step::Pop),
        1 => (0..6_usize).prop_map(Step::Spill),
        1 => (0..9_usize).prop_map(Step::Refill),
        1 => (0..9_usize).prop_map(Step::Steal),
        1 => Just(Step::Drain),
    ];
    prop::collection::vec(step, 0..if cfg!(miri) { 16 } else { 120 })
}

/// A ring beside the queue that it must equal; the front is the cold end.
struct Pair {
    ring: CacheRing<u8>,
    model: VecDeque<usize>,
    next: usize,
    hits: u64,
}

impl Pair {
    fn new(capacity: u32, protocol: Protocol) -> Self {
        Self {
            ring: CacheRing::new(capacity, protocol),
            model: VecDeque::new(),
            next: 0,
            hits: 0,
        }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Push => self.push(),
            Step::Pop => self.pop(),
            Step::Spill(count) => {
                self.cold(|ring, take| {
                    // SAFETY: one thread.
                    unsafe { ring.begin_move() };
                    assert!(ring.is_moving());
                    let stolen = ring.steal(1, |_| unreachable!("the owner moves"));
                    assert!(ring.len_hint() == 0 || stolen.is_err());
                    // SAFETY: one thread.
                    let spilled = unsafe { ring.spill(count, take) };
                    // SAFETY: one thread.
                    unsafe { ring.end_move() };
                    assert!(!ring.is_moving());
                    spilled
                });
            }
            Step::Refill(count) => self.refill(count),
            Step::Steal(count) => self.cold(|ring, take| ring.steal(count, take).expect("runs")),
            // SAFETY: one thread.
            Step::Drain => self.cold(|ring, take| unsafe { ring.drain(take) }),
        }
        if matches!(step, Step::Drain) {
            assert!(self.model.is_empty());
        }
        self.ring.debug_assert_invariants();
        assert_eq!(self.ring.len_hint(), self.model.len());
        assert_eq!(self.ring.hits(), self.hits);
    }

    fn has_room(&self) -> bool {
        self.model.len() < self.ring.capacity() as usize
    }

    fn push(&mut self) {
        let pushed = pointer(self.next);
        // The short paths first, as the pool does.
        let mut answer = Ok(());
        // SAFETY: one thread.
        if !unsafe { self.ring.push_short(pushed) } {
            // SAFETY: one thread.
            answer = unsafe { self.ring.push(pushed) };
        }
        if self.has_room() {
            assert_eq!(answer, Ok(()));
            self.model.push_back(self.next);
        } else {
            assert_eq!(answer, Err(pushed));
        }
        self.next += 1;
    }

    fn pop(&mut self) {
        // SAFETY: one thread.
        let popped = unsafe { self.ring.pop_short() };
        // SAFETY: one thread.
        let popped = popped.or_else(|| unsafe { self.ring.pop() });
        let expected = self.model.pop_back();
        self.hits += u64::from(expected.is_some());
        assert_eq!(popped.map(number), expected);
    }

    fn refill(&mut self, count: usize) {
        let first = self.next;
        let room = self.ring.capacity() as usize - self.model.len();
        // SAFETY: one thread.
        assert_eq!(unsafe { self.ring.room() }, room);
        // SAFETY: one thread.
        let added = unsafe {
            self.ring.refill(|| {
                (self.next < first + count).then(|| {
                    self.next += 1;
                    pointer(self.next - 1)
                })
            })
        };
        assert_eq!(added, count.min(room));
        self.model.extend(first..self.next);
    }

    /// Takes from the cold end, and checks what and in which order.
    fn cold(&mut self, take: impl FnOnce(&CacheRing<u8>, &mut dyn FnMut(NonNull<u8>)) -> usize) {
        let mut taken = Vec::new();
        let count = take(&self.ring, &mut |pointer| taken.push(number(pointer)));
        assert_eq!(count, taken.len());
        assert_eq!(taken, self.model.drain(..count).collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 400 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_ring_is_a_bounded_queue_with_two_ends(capacity in 0..9_u32, steps in steps()) {
        for protocol in protocols() {
            let mut pair = Pair::new(capacity, protocol);
            for step in &steps {
                pair.run(step);
            }
        }
    }
}

#[test]
fn a_ring_holds_exactly_its_capacity() {
    for protocol in protocols() {
        for capacity in [0, 1, 2, 3, 5, 8, 9, 31, 33] {
            let mut pair = Pair::new(capacity, protocol);
            for _ in 0..2 * capacity + 3 {
                pair.run(&Step::Push);
            }
            assert_eq!(pair.model.len(), capacity as usize);
            pair.run(&Step::Steal(1));
            for _ in 0..3 {
                pair.run(&Step::Push);
            }
            assert_eq!(pair.model.len(), capacity as usize);
            pair.run(&Step::Drain);
            pair.run(&Step::Pop);
        }
    }
}

/// One owner and thieves for a while: no pointer is lost, none is handed out twice, and the owner's
/// room comes back.
#[test]
fn owner_and_thieves_share_every_pointer() {
    const POINTERS: usize = 24;
    const THIEVES: usize = 2;
    let turns = if cfg!(miri) { 60 } else { 200_000 };
    for protocol in protocols() {
        let ring = CacheRing::<u8>::new(16, protocol);
        let taken: Vec<_> = (0..POINTERS).map(|_| AtomicU64::new(0)).collect();
        let returned = std::sync::Mutex::new((0..POINTERS).collect::<Vec<_>>());
        let over = drystone_sync::atomic::AtomicBool::new(false);
        let take = |pointer: NonNull<u8>| {
            let before = taken[number(pointer)].swap(1, Ordering::Relaxed);
            assert_eq!(before, 0, "handed out twice");
        };
        let give = |pointer: NonNull<u8>| {
            let before = taken[number(pointer)].swap(0, Ordering::Relaxed);
            assert_eq!(before, 1);
        };
        for taken in &taken {
            taken.store(1, Ordering::Relaxed);
        }
        std::thread::scope(|scope| {
            for _ in 0..THIEVES {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let mut stolen = Vec::new();
                        ring.steal(3, |pointer| {
                            take(pointer);
                            stolen.push(number(pointer));
                        })
                        .expect("runs");
                        returned.lock().expect("sound").append(&mut stolen);
                        std::thread::yield_now();
                    }
                });
            }
            let mut held = Vec::new();
            for turn in 0..turns {
                if turn % 7 == 0 {
                    held.append(&mut returned.lock().expect("sound"));
                }
                if turn % 3 == 0 {
                    // SAFETY: this thread is the owner.
                    let short = unsafe { ring.pop_short() };
                    // SAFETY: this thread is the owner.
                    if let Some(pointer) = short.or_else(|| unsafe { ring.pop() }) {
                        take(pointer);
                        held.push(number(pointer));
                    }
                } else if let Some(next) = held.pop() {
                    give(pointer(next));
                    // SAFETY: this thread is the owner.
                    if let Err(refused) = unsafe { ring.push(pointer(next)) } {
                        take(refused);
                        held.push(next);
                    }
                }
            }
            over.store(true, Ordering::Relaxed);
            returned.lock().expect("sound").append(&mut held);
        });
        // SAFETY: the thieves have ended.
        let left = unsafe { ring.drain(take) };
        ring.debug_assert_invariants();
        let out = returned.lock().expect("sound").len();
        assert_eq!(left + out, POINTERS);
    }
}
