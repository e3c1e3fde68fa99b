//! Vectors that double by reallocation up to a length of their own. Half of them shrink to fit
//! before they go, and another takes their place.

use super::rng::SplitMix64;
use super::script::{Object, Script};

const VECTORS: usize = 32;
const ELEMENT_BYTES: [u64; 4] = [1, 8, 24, 48];
const FIRST_CAPACITY: u64 = 8;
const LENGTH_MAX: u64 = 1 << 15;

struct Vector {
    block: Object,
    element_bytes: u64,
    capacity: u64,
    /// The length at which it is complete.
    length: u64,
}

pub(super) fn play(script: &mut Script, rng: &mut SplitMix64) {
    let mut vectors: Vec<Vector> = (0..VECTORS).map(|_| start(script, rng)).collect();
    while !script.is_full() {
        let slot = rng.index(VECTORS);
        let vector = &mut vectors[slot];
        if vector.capacity < vector.length {
            vector.capacity *= 2;
            script.reallocate(0, &vector.block, vector.capacity * vector.element_bytes);
            continue;
        }
        if rng.one_in(2) && vector.length < vector.capacity {
            script.reallocate(0, &vector.block, vector.length * vector.element_bytes);
        }
        let complete = core::mem::replace(vector, start(script, rng));
        script.free(0, complete.block);
    }
}

fn start(script: &mut Script, rng: &mut SplitMix64) -> Vector {
    let element_bytes = ELEMENT_BYTES[rng.index(ELEMENT_BYTES.len())];
    Vector {
        block: script.allocate(0, FIRST_CAPACITY * element_bytes),
        element_bytes,
        capacity: FIRST_CAPACITY,
        length: rng.log_within(FIRST_CAPACITY..=LENGTH_MAX),
    }
}
