//! Generational slabs against a model: a table of the handles ever given out.

use std::cell::Cell;

use drystone_backing::{HeapBacked, InlineBacked};
use drystone_core::{FixedRange, Inspect};
use drystone_layout::generational_slab::Generation;
use drystone_layout::{GenerationalSlab, Handle};

use super::choose;

/// Values that a slab may hold at once: few, so that slots are used often.
const CAPACITY: usize = 6;

/// The first byte chooses the storage, the generations and the value; each two that follow are an
/// operation.
///
/// # Panics
///
/// If the slab breaks a promise or an invariant.
pub fn target_generational(data: &[u8]) {
    let (choice, data) = choose(data);
    match choice % 3 {
        0 => range::<u8>(choice / 3, data),
        1 => range::<u16>(choice / 3, data),
        _ => range::<u64>(choice / 3, data),
    }
}

fn range<G: Generation>(choice: u8, data: &[u8]) {
    if choice.is_multiple_of(2) {
        let heap = HeapBacked::with_align(1024, 64).expect("memory for a test");
        value::<_, G>(choice / 2, data, heap);
    } else {
        value::<_, G>(choice / 2, data, InlineBacked::<1024>::new());
    }
}

fn value<B: FixedRange, G: Generation>(choice: u8, data: &[u8], range: B) {
    let drops = Cell::new(0);
    match choice % 2 {
        0 => Model::<_, _, G, _>::new(range, |number| Counted {
            _content: [number; 3],
            number,
            drops: &drops,
        })
        .run(data, |value| value.number, &drops),
        _ => Model::<_, _, G, _>::new(range, |number| Small(number as u8, CountDrop(&drops))).run(
            data,
            |value| value.0.into(),
            &drops,
        ),
    }
}

struct CountDrop<'d>(&'d Cell<usize>);

impl Drop for CountDrop<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// A value of odd size.
struct Small<'d>(
    u8,
    #[expect(dead_code, reason = "counts the drop")] CountDrop<'d>,
);

struct Counted<'d> {
    _content: [u32; 3],
    number: u32,
    drops: &'d Cell<usize>,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        assert_eq!(self._content, [self.number; 3], "a value changed");
        self.drops.set(self.drops.get() + 1);
    }
}

/// The slab, and what it must hold.
struct Model<T, B: FixedRange, G: Generation, M> {
    slab: GenerationalSlab<T, B, G>,
    make: M,
    /// Live values, oldest first.
    live: Vec<(Handle<T, G>, u32)>,
    /// Handles whose values are gone.
    stale: Vec<Handle<T, G>>,
    made: u32,
}

impl<T, B: FixedRange, G: Generation, M: FnMut(u32) -> T> Model<T, B, G, M> {
    fn new(range: B, make: M) -> Self {
        Self {
            slab: GenerationalSlab::with_generation(CAPACITY, range).expect("room for the slots"),
            make,
            live: Vec::new(),
            stale: Vec::new(),
            made: 0,
        }
    }

    fn run(mut self, data: &[u8], number: impl Fn(&T) -> u32, drops: &Cell<usize>) {
        for step in data.chunks_exact(2) {
            self.step(step[0], usize::from(step[1]));
            self.check(&number);
            assert_eq!(drops.get(), self.made as usize - self.live.len());
        }
        let made = self.made as usize;
        drop(self.slab);
        assert_eq!(drops.get(), made, "every value is dropped once");
    }

    fn step(&mut self, kind: u8, pick: usize) {
        match kind % 16 {
            0..7 => self.insert(),
            7..13 => self.remove(pick),
            13 => self.retain(pick),
            14 => self.drain(pick),
            _ => self.swap(pick),
        }
    }

    fn insert(&mut self) {
        let value = (self.make)(self.made);
        let number = self.made & 0xFF;
        let room = self.live.len() + self.slab.retired() < CAPACITY;
        self.made += 1;
        match self.slab.insert(value) {
            Ok(handle) => {
                assert!(room, "a value beyond the capacity");
                assert!(
                    !self.stale.contains(&handle),
                    "a handle was given out twice"
                );
                self.live.push((handle, number));
            }
            Err(error) => {
                assert!(!room, "refused with room left");
                drop(error.into_value());
            }
        }
    }

    fn remove(&mut self, pick: usize) {
        if self.live.is_empty() {
            return;
        }
        let (handle, _) = self.live.remove(pick % self.live.len());
        assert!(self.slab.remove(handle).is_some());
        assert!(self.slab.remove(handle).is_none());
        self.stale.push(handle);
    }

    fn retain(&mut self, pick: usize) {
        let Self { live, stale, .. } = self;
        let keep = |handle: Handle<T, G>| handle.index() as usize % 3 != pick % 3;
        self.slab.retain(|handle, _| keep(handle));
        live.retain(|&(handle, _)| {
            if !keep(handle) {
                stale.push(handle);
            }
            keep(handle)
        });
    }

    /// Takes some out and drops the iterator, or forgets it.
    fn drain(&mut self, pick: usize) {
        let mut drain = self.slab.drain();
        let taken: Vec<_> = drain
            .by_ref()
            .take(pick % 4)
            .map(|(handle, _)| handle)
            .collect();
        if pick & 4 == 0 {
            std::mem::forget(drain);
            self.live.retain(|(handle, _)| !taken.contains(handle));
            self.stale.extend(taken);
        } else {
            drop(drain);
            self.stale
                .extend(self.live.drain(..).map(|(handle, _)| handle));
        }
    }

    /// Swaps two values in place.
    fn swap(&mut self, pick: usize) {
        if self.live.len() < 2 {
            return;
        }
        let (one, two) = (pick % self.live.len(), (pick / 8) % self.live.len());
        let handles = [self.live[one].0, self.live[two].0];
        match self.slab.get_disjoint_mut(handles) {
            Some([a, b]) => {
                assert_ne!(one, two);
                std::mem::swap(a, b);
                let number = self.live[one].1;
                self.live[one].1 = self.live[two].1;
                self.live[two].1 = number;
            }
            None => assert_eq!(one, two),
        }
    }

    fn check(&mut self, number: impl Fn(&T) -> u32) {
        let report = self
            .slab
            .verify_all()
            .unwrap_or_else(|broken| panic!("{broken}"));
        assert_eq!(
            (report.live_blocks, self.slab.len()),
            (self.live.len(), self.live.len())
        );
        for (handle, expected) in &self.live {
            let value = self.slab.get(*handle).expect("a live value");
            assert_eq!(number(value) & 0xFF, *expected);
        }
        assert!(self.stale.iter().all(|&stale| !self.slab.contains(stale)));
        let listed: Vec<_> = self.slab.iter().map(|(handle, _)| handle).collect();
        assert!(listed.is_sorted() && listed.len() == self.live.len());
        assert!(self.live.iter().all(|(handle, _)| listed.contains(handle)));
        assert!(self.slab.iter_mut().map(|(handle, _)| handle).eq(listed));
    }
}
