//! JSON documents: built depth first, torn down leaves first, one after the other.

use super::rng::SplitMix64;
use super::script::{Object, Script};

/// A value takes this much in an array.
const VALUE_BYTES: u64 = 24;
/// A key, its value and the links of a map entry.
const ENTRY_BYTES: u64 = 80;
const DEPTH_MAX: u32 = 6;

enum Value {
    Text(Object),
    Array { storage: Object, items: Vec<Value> },
    Map { entries: Vec<Entry> },
}

struct Entry {
    node: Object,
    key: Object,
    value: Value,
}

pub(super) fn play(script: &mut Script, rng: &mut SplitMix64) {
    while !script.is_full() {
        let document = build(script, rng, 0);
        tear_down(script, document);
    }
}

fn build(script: &mut Script, rng: &mut SplitMix64, depth: u32) -> Value {
    // Documents shall not be single texts, and shall end.
    let branches = depth == 0 || (depth < DEPTH_MAX && rng.below(10) < 3);
    if !branches {
        return Value::Text(script.allocate(0, rng.log_within(4..=64)));
    }
    if rng.one_in(2) {
        build_array(script, rng, depth)
    } else {
        build_map(script, rng, depth)
    }
}

fn build_array(script: &mut Script, rng: &mut SplitMix64, depth: u32) -> Value {
    let mut capacity = 4;
    let storage = script.allocate(0, capacity * VALUE_BYTES);
    let mut items = Vec::new();
    for item in 0..rng.within(2..=12) {
        if item == capacity {
            capacity *= 2;
            script.reallocate(0, &storage, capacity * VALUE_BYTES);
        }
        items.push(build(script, rng, depth + 1));
    }
    Value::Array { storage, items }
}

fn build_map(script: &mut Script, rng: &mut SplitMix64, depth: u32) -> Value {
    let mut entries = Vec::new();
    for _ in 0..rng.within(1..=8) {
        let key = script.allocate(0, rng.within(3..=20));
        let value = build(script, rng, depth + 1);
        let node = script.allocate(0, ENTRY_BYTES);
        entries.push(Entry { node, key, value });
    }
    Value::Map { entries }
}

fn tear_down(script: &mut Script, value: Value) {
    match value {
        Value::Text(text) => script.free(0, text),
        Value::Array { storage, items } => {
            for item in items {
                tear_down(script, item);
            }
            script.free(0, storage);
        }
        Value::Map { entries } => {
            for Entry { node, key, value } in entries {
                tear_down(script, value);
                script.free(0, key);
                script.free(0, node);
            }
        }
    }
}
