//! Slab caches with handles and boxes that end in any order, over a provider that refuses and
//! misaligns.

use core::alloc::Layout;
use core::cell::{Cell, RefCell};
use core::ptr::NonNull;
use std::rc::Rc;

use drystone_backing::System;
use drystone_core::{Allocator, Deallocator, NonZeroLayout};
use drystone_layout::{DefaultLock, SlabBox, SlabCache, SlabProvider};

use super::choose;

/// The first byte chooses the type and the size of the slabs; then each byte is a step.
///
/// # Panics
///
/// If a value changes, a slab is lost, or the figures disagree with a list of live boxes.
pub fn target_slab_cache(data: &[u8]) {
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(align(128))]
    struct Wide(u32);

    let (choice, data) = choose(data);
    match choice % 6 {
        0 => run::<u8, 512>(data, |n| n as u8),
        1 => run::<[u8; 3], 1024>(data, |n| [n as u8; 3]),
        2 => run::<u128, 512>(data, u128::from),
        3 => run::<[u32; 9], 512>(data, |n| [n; 9]),
        4 => run::<Wide, 1024>(data, Wide),
        _ => run::<u64, 4096>(data, u64::from),
    }
}

/// What the provider is to do, and what it has out.
#[derive(Default)]
struct Script {
    refusals: Cell<u8>,
    skew: Cell<usize>,
    out: RefCell<Vec<(NonNull<u8>, usize)>>,
    dropped: Cell<bool>,
}

struct Scripted(Rc<Script>);

impl Scripted {
    fn longer(layout: Layout, skew: usize) -> NonZeroLayout {
        NonZeroLayout::from_size_align(layout.size() + skew, layout.align()).expect("small")
    }
}

// SAFETY: the system's blocks are exclusive and long enough; one with a skew starts that far behind
// its base and is as much longer. The cells are used on one thread: the type is neither `Send` nor
// `Sync`.
unsafe impl SlabProvider for Scripted {
    fn provide(&self, layout: Layout) -> Option<NonNull<u8>> {
        if let Some(left) = self.0.refusals.get().checked_sub(1) {
            self.0.refusals.set(left);
            return None;
        }
        let skew = self.0.skew.take();
        let block = System.allocate(Self::longer(layout, skew)).ok()?;
        // SAFETY: the block is `skew` bytes longer than the slab.
        let base = unsafe { block.cast::<u8>().add(skew) };
        self.0.out.borrow_mut().push((base, skew));
        Some(base)
    }

    unsafe fn take_back(&self, ptr: NonNull<u8>, layout: Layout) {
        let mut out = self.0.out.borrow_mut();
        let at = out.iter().position(|&(base, _)| base == ptr);
        let (_, skew) = out.swap_remove(at.expect("a slab of this provider"));
        // SAFETY: the base of the block is that far before.
        let block = unsafe { ptr.sub(skew) };
        // SAFETY: the block came from `provide` with this layout, and nobody uses it.
        unsafe { System.deallocate(block, Self::longer(layout, skew)) };
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        assert!(!self.0.dropped.replace(true), "the provider dropped twice");
    }
}

/// Boxes at once: enough for several slabs of every kind, few enough to be checked often.
const LIVE_MAX: usize = 1200;

type Cache<T, const SLAB_SIZE: usize> = SlabCache<T, Scripted, DefaultLock, SLAB_SIZE>;
type Boxed<T, const SLAB_SIZE: usize> = SlabBox<T, Scripted, DefaultLock, SLAB_SIZE>;

fn run<T: Copy + PartialEq, const SLAB_SIZE: usize>(data: &[u8], value: fn(u32) -> T) {
    let script = Rc::new(Script::default());
    let provider = Scripted(Rc::clone(&script));
    let cache = Cache::<T, SLAB_SIZE>::with_lock(provider, DefaultLock::new());
    let mut model = Model {
        script: &script,
        handles: vec![cache.expect("memory for a test")],
        live: Vec::new(),
        next: 0,
        value,
    };
    let mut steps = data.iter();
    while let Some(&step) = steps.next() {
        let mut argument = || usize::from(steps.next().copied().unwrap_or(0));
        model.step(step, &mut argument);
        model.check();
        if steps.len().is_multiple_of(32) {
            model.check_values();
        }
    }
    // Half of the runs end with the boxes, half with the handles.
    if data.len().is_multiple_of(2) {
        model.live.clear();
        model.handles.clear();
    } else {
        model.handles.clear();
        model.live.clear();
    }
    assert!(script.out.borrow().is_empty() && script.dropped.get());
}

struct Model<'s, T, const SLAB_SIZE: usize> {
    script: &'s Script,
    /// At least one.
    handles: Vec<Cache<T, SLAB_SIZE>>,
    live: Vec<(Boxed<T, SLAB_SIZE>, u32)>,
    next: u32,
    value: fn(u32) -> T,
}

impl<T: Copy + PartialEq, const SLAB_SIZE: usize> Model<'_, T, SLAB_SIZE> {
    fn step(&mut self, step: u8, argument: &mut impl FnMut() -> usize) {
        match step % 16 {
            0..6 => self.alloc(),
            6 => (0..argument()).for_each(|_| self.alloc()),
            7..10 if !self.live.is_empty() => {
                let at = argument() % self.live.len();
                let (boxed, n) = self.live.swap_remove(at);
                assert!(boxed.into_inner() == (self.value)(n));
            }
            10 if !self.live.is_empty() => {
                let keep = self.live.len() - argument() % self.live.len();
                self.live.truncate(keep);
            }
            11 => self.trim(),
            12 => self.handles.push(self.handles[0].clone()),
            13 if self.handles.len() > 1 => drop(self.handles.swap_remove(0)),
            14 => self.script.refusals.set((argument() % 4) as u8),
            15 => self.script.skew.set(argument()),
            _ => {}
        }
    }

    fn alloc(&mut self) {
        if self.live.len() == LIVE_MAX {
            return;
        }
        self.next += 1;
        let expected = (self.value)(self.next);
        let out = self.slabs_out();
        match self.handles[0].alloc(expected) {
            Ok(boxed) => self.live.push((boxed, self.next)),
            Err(error) => {
                assert!(error.into_value() == expected);
                assert_eq!(self.slabs_out(), out);
                assert_eq!(self.live.len(), self.room(), "refused with free slots");
            }
        }
    }

    fn trim(&self) {
        let out = self.slabs_out();
        let bytes = self.handles[0].trim();
        assert_eq!(bytes, (out - self.slabs_out()) * SLAB_SIZE);
        assert_eq!(self.handles[0].trim(), 0);
    }

    fn slabs_out(&self) -> usize {
        self.script.out.borrow().len()
    }

    fn room(&self) -> usize {
        let slaves = self.slabs_out() - 1;
        Cache::<T, SLAB_SIZE>::SLOTS_IN_MASTER + slaves * Cache::<T, SLAB_SIZE>::SLOTS_PER_SLAB
    }

    fn check(&self) {
        assert_eq!(self.handles[0].verify_all(), Ok(()));
        assert_eq!(self.handles[0].slab_count(), self.slabs_out());
        let stats = self.handles[0].stats();
        assert_eq!(stats.live_blocks(), self.live.len() as u64);
        assert_eq!(stats.corruption_events, 0);
    }

    fn check_values(&self) {
        for (boxed, n) in &self.live {
            assert!(**boxed == (self.value)(*n), "a value changed");
        }
    }
}
