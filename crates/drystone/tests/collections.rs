//! Collections of `allocator-api2` and of hashbrown over every stack, against those of the standard
//! library: the same random operations give the same results.
//!
//! `DRYSTONE_COLLECTION_OPERATIONS=1000000 cargo test --release -p drystone --test collections` does a
//! million operations for each collection and stack, `cargo xtask ci-full miri-collections` a thousand under Miri.

#[macro_use]
mod collecting;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use collecting::stacks;
use collecting::values::{Value, Wide};
use collecting::{LEN_MAX, Step, run, tail};
use drystone_core::{Allocator, Foreign02, StdCompat, StdCompat02};

vec_model!(
    vec_02,
    allocator_api2_02::vec::Vec,
    allocator_api2_02::alloc::Allocator + Clone
);
vec_model!(
    vec_04,
    allocator_api2_04::vec::Vec,
    allocator_api2_04::alloc::Allocator + Clone
);
box_model!(
    box_02,
    allocator_api2_02::boxed::Box,
    allocator_api2_02::vec::Vec,
    allocator_api2_02::alloc::Allocator + Clone
);
box_model!(
    box_04,
    allocator_api2_04::boxed::Box,
    allocator_api2_04::vec::Vec,
    allocator_api2_04::alloc::Allocator + Clone
);

/// Spreads keys well enough, and costs little where every instruction is interpreted.
#[derive(Default)]
struct Multiplied(u64);

impl Hasher for Multiplied {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(23);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type Build = BuildHasherDefault<Multiplied>;

/// hashbrown's map and the standard library's, which is hashbrown's over the global heap.
fn map_02<T: Value, A: allocator_api2_02::alloc::Allocator + Clone>(allocator: &A, steps: &[Step]) {
    let mut ours = hashbrown::HashMap::with_hasher_in(Build::default(), allocator.clone());
    let mut theirs = HashMap::with_hasher(Build::default());
    for &step in steps {
        let (key, value) = (step.key(), T::of(step.value));
        match step.kind % 12 {
            0..=3 => assert_eq!(ours.insert(key, value.clone()), theirs.insert(key, value)),
            4 | 5 => assert_eq!(ours.remove(&key), theirs.remove(&key)),
            6 => {
                ours.entry(key).or_insert_with(|| value.clone());
                theirs.entry(key).or_insert(value);
            }
            7 => {
                ours.retain(|other, _| other % 7 != key % 7);
                theirs.retain(|other, _| other % 7 != key % 7);
            }
            8 => ours.reserve(usize::from(key % 64)),
            9 => ours.shrink_to_fit(),
            10 => ours = ours.clone(),
            _ => {
                let from = u16::from(step.kind);
                let more = (from..from + 5).map(|key| (key, value.clone()));
                ours.extend(more.clone());
                theirs.extend(more);
            }
        }
        assert_eq!(ours.get(&key), theirs.get(&key));
        assert_eq!(ours.len(), theirs.len());
    }
    assert!(
        theirs
            .iter()
            .all(|(key, value)| ours.get(key) == Some(value))
    );
    assert_eq!(ours.into_iter().count(), theirs.len());
}

/// What the collections hold, on one stack by its own type, the rest behind `dyn`.
macro_rules! tests {
    ($stack:ident) => {
        #[test]
        fn vec_of_allocator_api2_02() {
            run(|steps| {
                let stack = stacks::$stack();
                vec_02::<u64, _>(&StdCompat02::new(&stack), steps);
                let stack: &dyn Allocator = &stack;
                vec_02::<Wide, _>(&StdCompat02::new(stack), tail(steps));
                vec_02::<(), _>(&StdCompat02::new(stack), tail(steps));
            });
        }

        #[test]
        fn vec_of_allocator_api2_04() {
            run(|steps| {
                let stack = stacks::$stack();
                vec_04::<u64, _>(&StdCompat::new(&stack), steps);
                let stack: &dyn Allocator = &stack;
                vec_04::<String, _>(&StdCompat::new(stack), tail(steps));
                vec_04::<u8, _>(&StdCompat::new(stack), tail(steps));
            });
        }

        #[test]
        fn boxes_of_allocator_api2() {
            run(|steps| {
                let stack = stacks::$stack();
                box_02::<u64, _>(&StdCompat02::new(&stack), steps);
                let stack: &dyn Allocator = &stack;
                box_02::<[u64; 40], _>(&StdCompat02::new(stack), tail(steps));
                box_04::<Wide, _>(&StdCompat::new(stack), tail(steps));
                box_04::<(), _>(&StdCompat::new(stack), tail(steps));
            });
        }

        #[test]
        fn map_of_hashbrown() {
            run(|steps| {
                let stack = stacks::$stack();
                map_02::<u64, _>(&StdCompat02::new(&stack), steps);
                let stack: &dyn Allocator = &stack;
                map_02::<String, _>(&StdCompat02::new(stack), tail(steps));
            });
        }
    };
}

on_every_stack!(tests);

/// An allocator of theirs, lent to drystone and back.
#[test]
fn there_and_back() {
    run(|steps| {
        let foreign = Foreign02::new(allocator_api2_02::alloc::Global);
        vec_02::<u64, _>(&StdCompat02::new(&foreign), steps);
        map_02::<String, _>(&StdCompat02::new(&foreign), steps);
    });
}

/// A collection whose allocator refuses says so, and keeps what it has.
#[test]
fn a_refusal_leaves_the_collection() {
    use drystone_backing::{HeapBacked, System};
    use drystone_layout::BumpArena;
    use drystone_wrap::{FailAfter, Faulty};

    let refusing = Faulty::new(System, FailAfter::new(2));
    let mut vec = allocator_api2_02::vec::Vec::new_in(StdCompat02::new(&refusing));
    vec.extend([1_u32, 2, 3]);
    let capacity = vec.capacity();
    vec.try_reserve(capacity)
        .expect("the second request passes");
    assert!(vec.try_reserve(10 * vec.capacity()).is_err());
    assert_eq!(vec.as_slice(), [1, 2, 3]);

    let small = BumpArena::new(HeapBacked::new(4096).expect("memory"));
    let build = Build::default();
    let mut map = hashbrown::HashMap::with_hasher_in(build, StdCompat02::new(&small));
    map.insert(1_u8, 2_u64);
    assert!(map.try_reserve(1 << 20).is_err());
    assert_eq!(map.get(&1), Some(&2));
}
