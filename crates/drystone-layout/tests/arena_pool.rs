//! Arena pools: reuse, bounds, factories that refuse, panic or come back, guards in any order.
#![cfg(feature = "alloc")]

mod ranges;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use drystone_backing::{InlineBacked, MmapBacked};
use drystone_core::{AllocError, HeapSegment};
use drystone_layout::{ArenaPool, BumpArena};
use ranges::{Lazy, LazyLog, heap};

fn pool(
    max_idle: usize,
) -> ArenaPool<HeapSegment, impl FnMut() -> Result<HeapSegment, AllocError>> {
    ArenaPool::new(max_idle, || Ok(heap(1024, 64)))
}

#[test]
fn an_arena_comes_back_empty_and_is_used_again() {
    let pool = pool(2);
    let first = pool.checkout().expect("memory");
    let place = ptr::from_ref(first.alloc([7u8; 1000])).addr();
    assert!(first.try_alloc([0u8; 100]).is_err());
    drop(first);
    pool.debug_assert_invariants();
    let again = pool.checkout().expect("memory");
    assert_eq!(again.allocated_bytes(), 0);
    assert_eq!(ptr::from_ref(again.alloc([8u8; 1000])).addr(), place);
    assert_eq!(
        (pool.made(), pool.idle_count(), pool.checked_out_count()),
        (1, 0, 1)
    );
}

#[test]
fn no_more_than_the_bound_are_kept() {
    for max_idle in 0..4 {
        let log = Rc::new(Cell::new(0));
        let pool = {
            let log = log.clone();
            ArenaPool::new(max_idle, move || {
                log.set(log.get() + 1);
                Ok(heap(64, 1))
            })
        };
        let guards: Vec<_> = (0..3).map(|_| pool.checkout().expect("memory")).collect();
        assert_eq!(pool.checked_out_count(), 3);
        drop(guards);
        assert_eq!(
            (pool.idle_count(), pool.max_idle()),
            (max_idle.min(3), max_idle)
        );
        pool.debug_assert_invariants();
        let _guards: Vec<_> = (0..3).map(|_| pool.checkout().expect("memory")).collect();
        assert_eq!((pool.made(), log.get()), (6 - max_idle.min(3), pool.made()));
        pool.debug_assert_invariants();
    }
}

#[test]
fn scopes_open_through_the_guard() {
    let pool = ArenaPool::new(1, || Ok(InlineBacked::<256>::new()));
    let mut arena = pool.checkout().expect("memory");
    for n in 0..50 {
        let scope = arena.scope();
        assert_eq!(*scope.alloc([n; 10]), [n; 10]);
    }
    assert_eq!(arena.allocated_bytes(), 0);
    // A forgotten scope does not survive the return.
    let scope = arena.scope();
    scope.alloc(1u64);
    std::mem::forget(scope);
    drop(arena);
    pool.debug_assert_invariants();
    assert_eq!(pool.checkout().expect("memory").allocated_bytes(), 0);
}

#[test]
fn a_swapped_arena_is_kept_like_any_other() {
    let pool = pool(2);
    let mut own = BumpArena::new(heap(32, 1));
    own.alloc([1u8; 32]);
    let mut guard = pool.checkout().expect("memory");
    std::mem::swap(&mut own, &mut guard);
    drop(guard);
    pool.debug_assert_invariants();
    let guard = pool.checkout().expect("memory");
    assert_eq!((guard.remaining_bytes(), own.remaining_bytes()), (32, 1024));
}

#[test]
fn prefilling_stops_at_the_bound_and_trimming_empties() {
    let pool = pool(3);
    assert_eq!(pool.prefill(2), Ok(()));
    assert_eq!((pool.idle_count(), pool.made()), (2, 2));
    assert_eq!(pool.prefill(100), Ok(()));
    assert_eq!((pool.idle_count(), pool.made()), (3, 3));
    pool.trim();
    assert_eq!(pool.idle_count(), 0);
    pool.debug_assert_invariants();
    assert!(pool.checkout().is_ok());
}

#[test]
fn a_factory_that_refuses_or_panics_leaves_the_pool_usable() {
    let calls = Cell::new(0);
    let pool = ArenaPool::new(4, || {
        calls.set(calls.get() + 1);
        match calls.get() {
            2 => Err(AllocError),
            3 => panic!("a factory that was told to panic"),
            _ => Ok(heap(64, 1)),
        }
    });
    let first = pool.checkout().expect("memory");
    assert_eq!(pool.checkout().err(), Some(AllocError));
    assert!(catch_unwind(AssertUnwindSafe(|| pool.checkout().map(drop))).is_err());
    pool.debug_assert_invariants();
    let second = pool.checkout().expect("the factory is back");
    drop((first, second));
    assert_eq!((pool.idle_count(), pool.made()), (2, 2));
    calls.set(1);
    assert_eq!(pool.prefill(4), Err(AllocError));
    assert_eq!(pool.idle_count(), 2);
    pool.debug_assert_invariants();
}

type Factory = Box<dyn FnMut() -> Result<HeapSegment, AllocError>>;

#[test]
fn a_factory_may_use_its_own_pool() {
    let home: Rc<RefCell<Weak<ArenaPool<HeapSegment, Factory>>>> = Rc::default();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let factory: Factory = {
        let (home, seen) = (home.clone(), seen.clone());
        Box::new(move || {
            let pool = home.borrow().upgrade().expect("the pool lives");
            // Nothing idle: another arena would need this factory again.
            seen.borrow_mut().push(pool.checkout().map(drop));
            assert_eq!(pool.idle_count(), 0);
            Ok(heap(64, 1))
        })
    };
    let pool = Rc::new(ArenaPool::new(2, factory));
    *home.borrow_mut() = Rc::downgrade(&pool);
    let guard = pool.checkout().expect("memory");
    assert_eq!(*seen.borrow(), [Err(AllocError)]);
    drop(guard);
    assert_eq!(pool.idle_count(), 1);
    pool.debug_assert_invariants();
}

#[test]
fn every_range_is_dropped_once() {
    let log = Arc::new(LazyLog::default());
    let drops = || log.drops.load(Ordering::Relaxed);
    let make = || {
        let (lazy, own) = Lazy::new(64, usize::MAX, 0);
        // The log of this range counts beside the common one.
        drop(own);
        Ok(Counted(lazy, log.clone()))
    };
    let pool = ArenaPool::new(1, make);
    let (one, two) = (
        pool.checkout().expect("memory"),
        pool.checkout().expect("memory"),
    );
    drop(one);
    assert_eq!(drops(), 0);
    drop(two);
    assert_eq!(drops(), 1);
    pool.trim();
    assert_eq!(drops(), 2);
    let kept = pool.checkout().expect("memory");
    drop(kept);
    drop(pool);
    assert_eq!(drops(), 3);
}

#[test]
fn a_forgotten_guard_counts_as_out() {
    let pool = ArenaPool::new(1, || Ok(InlineBacked::<64>::new()));
    std::mem::forget(pool.checkout().expect("memory"));
    pool.debug_assert_invariants();
    drop(pool.checkout().expect("memory"));
    assert_eq!(
        (pool.checked_out_count(), pool.idle_count(), pool.made()),
        (1, 1, 2)
    );
}

struct Counted(Lazy, Arc<LazyLog>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.drops.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: the laws are the inner range's.
unsafe impl drystone_core::FixedRange for Counted {
    fn base(&self) -> ptr::NonNull<u8> {
        self.0.base()
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn base_align(&self) -> usize {
        self.0.base_align()
    }

    fn commit(&self, offset: usize, len: usize) -> Result<(), AllocError> {
        self.0.commit(offset, len)
    }
}

#[test]
fn pages_of_idle_arenas_can_be_released() {
    let pool = ArenaPool::new(2, || Ok(MmapBacked::new(1 << 16)?));
    pool.prefill(2).expect("memory");
    let guard = pool.checkout().expect("memory");
    let value = guard.alloc([3u8; 5000]);
    pool.release_idle().expect("the system agrees");
    assert_eq!(*value, [3; 5000]);
    drop(guard);
    pool.release_idle().expect("the system agrees");
    let guard = pool.checkout().expect("memory");
    assert_eq!(*guard.alloc([4u8; 5000]), [4; 5000]);
}

#[test]
fn a_pool_may_change_threads() {
    let pool = ArenaPool::new(2, || Ok(heap(64, 1)));
    drop(pool.checkout().expect("memory"));
    let idle = std::thread::spawn(move || {
        assert_eq!(*pool.checkout().expect("memory").alloc(5u8), 5);
        pool.idle_count()
    });
    assert_eq!(idle.join().expect("joins"), 1);
}
