//! A parser: thousands of small nodes live to the end of their phase and go together, in the
//! order of their allocation. A token's text grows while it is read.

use super::rng::SplitMix64;
use super::script::Script;

const NODES_MAX: u64 = 6000;
/// The sizes of the node types, in bytes; small ones are common.
const NODE_BYTES: [u64; 8] = [24, 24, 32, 40, 40, 56, 72, 120];

pub(super) fn play(script: &mut Script, rng: &mut SplitMix64) {
    // About eight phases at least, however short the trace is.
    let nodes_max = NODES_MAX.min(script.wanted() as u64 / 16).max(2);
    while !script.is_full() {
        let nodes = rng.within(nodes_max / 2..=nodes_max);
        let mut phase = Vec::new();
        for _ in 0..nodes {
            if rng.one_in(5) {
                let text = script.allocate(0, 8);
                for doubling in 1..=rng.below(4) {
                    script.reallocate(0, &text, 8 << doubling);
                }
                phase.push(text);
            } else {
                phase.push(script.allocate(0, NODE_BYTES[rng.index(NODE_BYTES.len())]));
            }
        }
        for node in phase {
            script.free(0, node);
        }
    }
}
