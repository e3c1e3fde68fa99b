use drystone_sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Mutex;

use super::*;
use crate::asymmetric::Protocol;

/// A home that counts what is asked of it.
#[derive(Default)]
struct Counting {
    place: usize,
    closed: AtomicBool,
    /// Says no to caches.
    mean: AtomicBool,
    opened: AtomicUsize,
    flushed: AtomicUsize,
    given_back: AtomicUsize,
    list: Mutex<Vec<Arc<ThreadCaches>>>,
}

impl Home for Counting {
    fn open_caches(&self) -> Option<Arc<ThreadCaches>> {
        if self.mean.load(Ordering::Relaxed) {
            return None;
        }
        self.opened.fetch_add(1, Ordering::Relaxed);
        let rings = (0..3).map(|_| ClassCache::new(4, Protocol::of_process()));
        let caches = Arc::new(ThreadCaches::new(rings.collect()));
        self.list.lock().expect("sound").push(Arc::clone(&caches));
        Some(caches)
    }

    fn flush_caches(&self, caches: &ThreadCaches) {
        self.flushed.fetch_add(1, Ordering::Relaxed);
        assert_eq!(caches.classes().len(), 3);
    }

    fn close_caches(&self, caches: &Arc<ThreadCaches>) {
        self.given_back.fetch_add(1, Ordering::Relaxed);
        let mut list = self.list.lock().expect("sound");
        let before = list.len();
        list.retain(|listed| !Arc::ptr_eq(listed, caches));
        assert_eq!(list.len(), before - 1);
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn spot(&self) -> Spot {
        Spot::of(self.place)
    }
}

impl Counting {
    fn at(place: usize) -> Arc<Self> {
        Arc::new(Self {
            place,
            ..Self::default()
        })
    }

    fn find(self: &Arc<Self>) -> Option<NonNull<ClassCache>> {
        find(key_of(&self.home()), Spot::of(self.place))
    }

    fn find_or_open(self: &Arc<Self>) -> Option<NonNull<ClassCache>> {
        find_or_open(&self.home())
    }

    fn home(self: &Arc<Self>) -> Arc<dyn Home> {
        Arc::<Self>::clone(self)
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// How often caches were opened, and given back.
    fn counts(&self) -> (usize, usize) {
        (
            self.opened.load(Ordering::Relaxed),
            self.given_back.load(Ordering::Relaxed),
        )
    }
}

fn registered() -> usize {
    tls::with_registry(|registry| registry.entries.borrow().len()).unwrap_or(0)
}

fn reserved() -> usize {
    tls::with_registry(|registry| registry.entries.borrow().capacity()).unwrap_or(0)
}

#[test]
fn a_thread_opens_caches_once_and_finds_them() {
    let home = Counting::at(3);
    assert_eq!(home.find(), None);
    let rings = home.find_or_open().expect("opens");
    assert_eq!(home.find(), Some(rings));
    assert_eq!(home.find_or_open(), Some(rings));
    assert_eq!(home.counts(), (1, 0));
    // SAFETY: this thread opens and closes nothing meanwhile.
    assert_eq!(unsafe { rings.as_ref() }.capacity(), 4);
}

/// Nine homes and more in eight places: those that were pushed out are found in the registry.
#[test]
fn homes_that_share_a_place_push_each_other_out_and_nothing_else() {
    let homes: Vec<_> = (0..3 * PLACES).map(|n| Counting::at(n % PLACES)).collect();
    let rings: Vec<_> = homes.iter().map(|home| home.find_or_open()).collect();
    for (home, ring) in homes.iter().zip(&rings) {
        assert!(ring.is_some());
        assert_eq!(home.find_or_open(), *ring);
        assert_eq!(home.find(), *ring);
        assert_eq!(home.counts(), (1, 0));
    }
    assert_eq!(homes[0].find(), None);
}

#[test]
fn the_end_of_a_thread_gives_its_caches_back() {
    let home = Counting::at(0);
    for turn in 1..=3 {
        let user = Arc::clone(&home);
        let thread = std::thread::spawn(move || user.find_or_open().is_some());
        assert!(thread.join().expect("ends"));
        assert_eq!(home.counts(), (turn, turn));
    }
    assert!(home.list.lock().expect("sound").is_empty());
}

#[test]
fn closed_homes_are_swept_and_let_go() {
    let (closed, open) = (Counting::at(1), Counting::at(1));
    assert!(closed.find_or_open().is_some());
    closed.close();
    assert_eq!(closed.find_or_open(), None);
    assert_eq!(closed.counts(), (1, 0));
    // The next opening sweeps.
    assert!(open.find_or_open().is_some());
    assert_eq!(closed.counts(), (1, 1));
    assert_eq!(Arc::strong_count(&closed), 1);
    assert_eq!(open.counts(), (1, 0));
    // So does who closes.
    open.close();
    sweep_closed();
    assert_eq!(Arc::strong_count(&open), 1);
    assert_eq!(open.find(), None);
    assert_eq!(registered(), 0);
}

#[test]
fn a_home_that_refuses_is_asked_again() {
    let home = Counting::at(2);
    home.mean.store(true, Ordering::Relaxed);
    assert_eq!(home.find_or_open(), None);
    assert_eq!((home.find(), registered()), (None, 0));
    home.mean.store(false, Ordering::Relaxed);
    assert!(home.find_or_open().is_some());
}

#[test]
fn a_flush_reaches_every_home_of_the_thread_and_no_other() {
    let homes: Vec<_> = (0..PLACES + 2).map(Counting::at).collect();
    let elsewhere = Counting::at(0);
    for home in &homes {
        home.find_or_open().expect("opens");
    }
    let user = Arc::clone(&elsewhere);
    let thread = std::thread::spawn(move || {
        user.find_or_open().expect("opens");
        flush();
    });
    thread.join().expect("ends");
    assert_eq!(elsewhere.flushed.load(Ordering::Relaxed), 1);
    flush();
    for home in &homes {
        assert_eq!(home.flushed.load(Ordering::Relaxed), 1);
        assert_eq!(home.counts(), (1, 0));
    }
    assert_eq!(elsewhere.flushed.load(Ordering::Relaxed), 1);
}

/// Many homes, one after the other, leave nothing on the thread.
#[test]
fn ten_thousand_homes_on_one_thread_leave_it_flat() {
    let count = if cfg!(miri) { 50 } else { 10_000 };
    for turn in 0..count {
        let home = Counting::at(turn % PLACES);
        assert_eq!(home.find(), None, "an address used again finds nothing");
        home.find_or_open().expect("opens");
        home.close();
        if turn % 2 == 0 {
            sweep_closed();
            assert_eq!(Arc::strong_count(&home), 1);
        }
        assert!(registered() <= 1);
        assert!(reserved() <= 4);
    }
}

#[test]
fn ten_thousand_threads_through_one_home_leave_it_flat() {
    let count = if cfg!(miri) { 12 } else { 10_000 };
    let home = Counting::at(0);
    for _ in 0..count {
        let user = Arc::clone(&home);
        let thread = std::thread::spawn(move || user.find_or_open().is_some());
        assert!(thread.join().expect("ends"));
    }
    assert_eq!(home.counts(), (count, count));
    assert_eq!(home.list.lock().expect("sound").capacity(), 4);
    assert_eq!(Arc::strong_count(&home), 1);
}

/// A destructor of a thread-local that runs behind the registry's is told that there is nothing, and one
/// that runs before may still use the caches.
#[test]
fn destructors_of_thread_locals_may_ask() {
    struct Late(Arc<Counting>, Arc<AtomicUsize>);
    impl Drop for Late {
        fn drop(&mut self) {
            let found = self.0.find().is_some();
            let opened = self.0.find_or_open().is_some();
            assert!(opened || !found);
            self.1.fetch_add(1 + usize::from(opened), Ordering::Relaxed);
        }
    }
    std::thread_local! {
        static LATE: RefCell<Option<Late>> = const { RefCell::new(None) };
    }
    let mut told = Vec::new();
    for late_first in [true, false] {
        let home = Counting::at(5);
        let asked = Arc::new(AtomicUsize::new(0));
        let (user, asks) = (Arc::clone(&home), Arc::clone(&asked));
        let thread = std::thread::spawn(move || {
            if late_first {
                LATE.with(|late| drop(late.borrow()));
            }
            user.find_or_open().expect("opens");
            LATE.with(|late| *late.borrow_mut() = Some(Late(user, asks)));
        });
        thread.join().expect("ends");
        assert_eq!(home.counts(), (1, 1));
        told.push(asked.load(Ordering::Relaxed));
    }
    told.sort_unstable();
    // Whichever order the platform has, one of the two came behind the registry.
    assert_eq!(told[0], 1, "{told:?}");
    assert_ne!(told[1], 0, "{told:?}");
}

/// Giving caches back may lead to another pool, whose caches are opened meanwhile.
#[test]
fn a_home_may_use_another_while_it_closes() {
    struct Nested(Arc<Counting>, Counting);
    impl Home for Nested {
        fn open_caches(&self) -> Option<Arc<ThreadCaches>> {
            self.0.find_or_open();
            self.1.open_caches()
        }
        fn flush_caches(&self, caches: &ThreadCaches) {
            flush_one(&self.0);
            self.1.flush_caches(caches);
        }
        fn close_caches(&self, caches: &Arc<ThreadCaches>) {
            self.0.find_or_open();
            self.1.close_caches(caches);
        }
        fn is_closed(&self) -> bool {
            self.1.is_closed()
        }
        fn spot(&self) -> Spot {
            Spot::of(1)
        }
    }
    fn flush_one(home: &Arc<Counting>) {
        home.find_or_open().expect("opens");
    }
    let inner = Counting::at(1);
    let outer = Arc::new(Nested(Arc::clone(&inner), Counting::default()));
    let home: Arc<dyn Home> = Arc::<Nested>::clone(&outer);
    find_or_open(&home).expect("opens");
    assert_eq!(registered(), 2);
    flush();
    outer.1.close();
    sweep_closed();
    assert_eq!(outer.1.counts(), (1, 1));
    assert_eq!(registered(), 1);
    assert_eq!(find(key_of(&home), Spot::of(1)), None);
}

#[test]
fn places_are_spread_over_living_pools() {
    let places: Vec<_> = (0..PLACES).map(|_| Place::take()).collect();
    let known: Vec<_> = (0..PLACES).map(Spot::of).collect();
    assert!(places.iter().all(|place| known.contains(&place.spot())));
    drop(places);
}
