//! The standard library's own collections over every stack, against themselves over the global heap.
//! Needs a compiler that has the trait; with another there is nothing to test.
//!
//! `DRYSTONE_COLLECTION_OPERATIONS=1000000 cargo +nightly test --release -p drystone --features nightly
//! --test collections_std` does a million operations for each collection and stack.
#![cfg(std_allocator)]
#![cfg_attr(std_allocator_gated, feature(allocator_api))]
#![cfg_attr(std_allocator_markers, feature(allocator_ext))]
#![feature(btreemap_alloc)]

#[macro_use]
mod collecting;

#[cfg(std_allocator_markers)]
use std::alloc::AllocatorClone as Handle;
use std::collections::BTreeMap;

use collecting::stacks;
use collecting::values::{Value, Wide};
use collecting::{LEN_MAX, Step, run, tail};
use drystone_core::{Allocator, ForeignStd, StdCompat};

/// What a collection asks of an allocator that it clones, before the standard library had a name for it.
#[cfg(not(std_allocator_markers))]
trait Handle: std::alloc::Allocator + Clone {}
#[cfg(not(std_allocator_markers))]
impl<A: std::alloc::Allocator + Clone> Handle for A {}

vec_model!(vec_std, std::vec::Vec, Handle);
box_model!(box_std, std::boxed::Box, std::vec::Vec, Handle);

fn map_std<T: Value, A: Handle>(allocator: &A, steps: &[Step]) {
    let mut ours = BTreeMap::<u16, T, A>::new_in(allocator.clone());
    let mut theirs = BTreeMap::<u16, T>::new();
    for &step in steps {
        let (key, value) = (step.key(), T::of(step.value));
        match step.kind % 14 {
            0..=4 => assert_eq!(ours.insert(key, value.clone()), theirs.insert(key, value)),
            5 | 6 => assert_eq!(ours.remove(&key), theirs.remove(&key)),
            7 => {
                ours.entry(key).or_insert_with(|| value.clone());
                theirs.entry(key).or_insert(value);
            }
            8 => {
                ours.retain(|other, _| other % 7 != key % 7);
                theirs.retain(|other, _| other % 7 != key % 7);
            }
            9 => assert_eq!(ours.pop_first(), theirs.pop_first()),
            10 => assert_eq!(ours.pop_last(), theirs.pop_last()),
            11 => {
                let (our_tail, their_tail) = (ours.split_off(&key), theirs.split_off(&key));
                assert!(our_tail.iter().eq(their_tail.iter()));
            }
            12 => ours = ours.clone(),
            _ => {
                let mut more = BTreeMap::new_in(allocator.clone());
                more.extend((key..key + 9).map(|key| (key, value.clone())));
                ours.append(&mut more);
                theirs.extend((key..key + 9).map(|key| (key, value.clone())));
            }
        }
        assert_eq!(ours.get(&key), theirs.get(&key));
        assert!(ours.range(key..).eq(theirs.range(key..)));
    }
    assert!(ours.into_iter().eq(theirs));
}

/// What the collections hold, on one stack by its own type, the rest behind `dyn`.
macro_rules! tests {
    ($stack:ident) => {
        #[test]
        fn vec_of_std() {
            run(|steps| {
                let stack = stacks::$stack();
                vec_std::<u64, _>(&StdCompat::new(&stack), steps);
                let stack: &dyn Allocator = &stack;
                vec_std::<String, _>(&StdCompat::new(stack), tail(steps));
                vec_std::<(), _>(&StdCompat::new(stack), tail(steps));
            });
        }

        #[test]
        fn box_of_std() {
            run(|steps| {
                let stack = stacks::$stack();
                box_std::<u64, _>(&StdCompat::new(&stack), steps);
                let stack: &dyn Allocator = &stack;
                box_std::<[u64; 40], _>(&StdCompat::new(stack), tail(steps));
                box_std::<Wide, _>(&StdCompat::new(stack), tail(steps));
            });
        }

        #[test]
        fn btree_map_of_std() {
            run(|steps| {
                let stack = stacks::$stack();
                map_std::<u64, _>(&StdCompat::new(&stack), steps);
                let stack: &dyn Allocator = &stack;
                map_std::<String, _>(&StdCompat::new(stack), tail(steps));
            });
        }
    };
}

on_every_stack!(tests);

/// An allocator of theirs, lent to drystone and back.
#[test]
fn there_and_back() {
    run(|steps| {
        let foreign = ForeignStd::new(std::alloc::Global);
        vec_std::<u64, _>(&StdCompat::new(&foreign), steps);
        map_std::<String, _>(&StdCompat::new(foreign), steps);
    });
}
