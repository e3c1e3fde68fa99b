//! Batches through a fixed stack of layers: forward, each layer takes a workspace for a moment
//! and an activation that stays; backward, each gradient is taken zeroed, the activation goes,
//! then the gradient. Weights live from the first record on. All blocks are aligned to 64 bytes
//! and the sizes are the same in every batch.

use super::rng::SplitMix64;
use super::script::{Object, Script};
use crate::record::Op;

const LAYERS: usize = 8;
const ALIGN_LOG2: u8 = 6;
const UNIT_BYTES: u64 = 16 * 1024;

struct Layer {
    weight_bytes: u64,
    activation_bytes: u64,
    workspace_bytes: u64,
}

pub(super) fn play(script: &mut Script, rng: &mut SplitMix64) {
    let mut stack = Vec::new();
    for _ in 0..LAYERS {
        stack.push(Layer {
            weight_bytes: UNIT_BYTES * rng.log_within(1..=64),
            activation_bytes: UNIT_BYTES * rng.log_within(1..=64),
            workspace_bytes: UNIT_BYTES * rng.log_within(1..=128),
        });
    }
    for layer in &stack {
        tensor(script, Op::Allocate, layer.weight_bytes);
    }
    while !script.is_full() {
        batch(script, &stack);
    }
}

fn batch(script: &mut Script, stack: &[Layer]) {
    let mut activations = Vec::with_capacity(stack.len());
    for layer in stack {
        let workspace = tensor(script, Op::Allocate, layer.workspace_bytes);
        activations.push(tensor(script, Op::Allocate, layer.activation_bytes));
        script.free(0, workspace);
    }
    for (layer, activation) in stack.iter().zip(activations).rev() {
        let gradient = tensor(script, Op::AllocateZeroed, layer.weight_bytes);
        script.free(0, activation);
        script.free(0, gradient);
    }
}

fn tensor(script: &mut Script, op: Op, bytes: u64) -> Object {
    script.allocate_as(0, op, bytes, ALIGN_LOG2)
}
