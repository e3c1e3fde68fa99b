//! Synthetic traces: eight allocation patterns, each fixed by a seed.
//!
//! The same scenario, seed and record count give the same bytes on every machine and in every
//! release; tests hold their hashes. A shorter trace is not in general the start of a longer one,
//! because scenarios fit their populations to the length.

mod fragmentation_adversary;
mod growing_vectors;
mod json_tree;
mod larson_like;
mod parser_phase;
mod producer_consumer;
mod rng;
mod script;
mod server_churn;
mod tensor_batch;

use rng::SplitMix64;
pub(crate) use script::Script;

use crate::trace::Trace;

/// An allocation pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scenario {
    /// Four worker threads serve requests: many short-lived small blocks, some buffers that grow,
    /// and long-lived sessions that any worker may replace.
    ServerChurn,
    /// One thread builds thousands of small nodes and drops them all at the end of the phase.
    ParserPhase,
    /// Two producers allocate messages, two consumers free them, through a bounded queue.
    ProducerConsumer,
    /// Large aligned blocks of few sizes: allocated forward through the layers, freed backward.
    TensorBatch,
    /// Documents of small nodes, strings and growing arrays, torn down from the leaves up.
    JsonTree,
    /// Vectors that double by reallocation, some shrunk to fit before their end.
    GrowingVectors,
    /// Four threads replace random blocks in a steady population and hand it on to each other,
    /// after Larson and Krishnan, "Memory Allocation for Long-Running Server Applications" (1998).
    LarsonLike,
    /// Doubling sizes between survivors that keep every gap too small, after Robson, "Bounds for
    /// Some Functions Concerning Dynamic Storage Allocation" (1974).
    FragmentationAdversary,
}

impl Scenario {
    /// Every scenario, in the order of its declaration.
    pub const ALL: [Scenario; 8] = [
        Scenario::ServerChurn,
        Scenario::ParserPhase,
        Scenario::ProducerConsumer,
        Scenario::TensorBatch,
        Scenario::JsonTree,
        Scenario::GrowingVectors,
        Scenario::LarsonLike,
        Scenario::FragmentationAdversary,
    ];

    /// The name on a command line, lower case with hyphens.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::ServerChurn => "server-churn",
            Scenario::ParserPhase => "parser-phase",
            Scenario::ProducerConsumer => "producer-consumer",
            Scenario::TensorBatch => "tensor-batch",
            Scenario::JsonTree => "json-tree",
            Scenario::GrowingVectors => "growing-vectors",
            Scenario::LarsonLike => "larson-like",
            Scenario::FragmentationAdversary => "fragmentation-adversary",
        }
    }

    /// The scenario of that [`name`](Scenario::name).
    pub fn from_name(name: &str) -> Option<Scenario> {
        Scenario::ALL
            .into_iter()
            .find(|scenario| scenario.name() == name)
    }

    /// The pattern in one line.
    pub fn about(self) -> &'static str {
        match self {
            Scenario::ServerChurn => {
                "4 workers: short-lived request memory, long-lived sessions that any worker replaces"
            }
            Scenario::ParserPhase => {
                "1 thread: phases of small nodes, each phase dropped at once in allocation order"
            }
            Scenario::ProducerConsumer => {
                "2 producers, 2 consumers: most blocks are freed by another thread"
            }
            Scenario::TensorBatch => {
                "1 thread: large blocks of few sizes, forward through the layers and backward"
            }
            Scenario::JsonTree => {
                "1 thread: documents of small nodes and growing arrays, torn down leaves first"
            }
            Scenario::GrowingVectors => {
                "1 thread: 32 vectors that double by reallocation, some shrunk to fit"
            }
            Scenario::LarsonLike => {
                "4 threads: random replacement in a steady population that they hand on"
            }
            Scenario::FragmentationAdversary => {
                "1 thread: sizes double while survivors keep every gap too small to reuse"
            }
        }
    }

    /// A trace of exactly `records` operations. What is live behind the last one stays live.
    ///
    /// # Panics
    ///
    /// If `records` is above `u32::MAX`, which object ids may not cover.
    pub fn generate(self, seed: u64, records: usize) -> Trace {
        let mut script = Script::new(records);
        let mut rng = SplitMix64::new(seed, self as u64);
        let play = match self {
            Scenario::ServerChurn => server_churn::play,
            Scenario::ParserPhase => parser_phase::play,
            Scenario::ProducerConsumer => producer_consumer::play,
            Scenario::TensorBatch => tensor_batch::play,
            Scenario::JsonTree => json_tree::play,
            Scenario::GrowingVectors => growing_vectors::play,
            Scenario::LarsonLike => larson_like::play,
            Scenario::FragmentationAdversary => fragmentation_adversary::play,
        };
        play(&mut script, &mut rng);
        script.into_trace()
    }
}
