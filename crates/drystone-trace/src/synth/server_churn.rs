//! Four workers serve requests, interleaved in short bursts.
//!
//! A request takes a connection buffer, a handful of header strings, a table and a response that
//! grow, and gives all of it back in reverse order. One request in four replaces one of the
//! sessions, whichever worker made it.

use std::collections::VecDeque;

use super::rng::SplitMix64;
use super::script::{Object, Script};
use crate::record::Op;

const WORKERS: usize = 4;
const SESSIONS: usize = 256;
const BURST_STEPS: u64 = 16;

enum Step {
    Allocate {
        op: Op,
        size: u64,
    },
    /// Reallocates the block that the request allocated as its `nth`.
    Grow {
        nth: usize,
        size: u64,
    },
    /// Frees the request's youngest block.
    FreeLast,
    ReplaceSession {
        slot: usize,
        size: u64,
    },
}

#[derive(Default)]
struct Worker {
    steps: VecDeque<Step>,
    blocks: Vec<Object>,
}

pub(super) fn play(script: &mut Script, rng: &mut SplitMix64) {
    let mut workers: [Worker; WORKERS] = Default::default();
    let mut sessions: Vec<Option<Object>> = Vec::new();
    sessions.resize_with(SESSIONS, || None);
    while !script.is_full() {
        let thread = rng.index(WORKERS);
        let worker = &mut workers[thread];
        for _ in 0..rng.within(1..=BURST_STEPS) {
            let step = worker.steps.pop_front();
            let Some(step) = step else {
                worker.steps = request(rng);
                continue;
            };
            take(
                script,
                thread as u16,
                step,
                &mut worker.blocks,
                &mut sessions,
            );
        }
    }
}

fn request(rng: &mut SplitMix64) -> VecDeque<Step> {
    let mut steps = VecDeque::new();
    let buffer = if rng.one_in(4) { 16384 } else { 4096 };
    steps.push_back(Step::Allocate {
        op: Op::AllocateZeroed,
        size: buffer,
    });
    let table = 1;
    steps.push_back(Step::Allocate {
        op: Op::Allocate,
        size: 192,
    });
    let headers = rng.within(6..=20);
    for header in 0..headers {
        steps.push_back(Step::Allocate {
            op: Op::Allocate,
            size: rng.within(8..=96),
        });
        if header == 4 || header == 12 {
            steps.push_back(Step::Grow {
                nth: table,
                size: 192 * (header / 4 + 1),
            });
        }
    }
    let response = 2 + headers as usize;
    let first = rng.within(256..=1024);
    steps.push_back(Step::Allocate {
        op: Op::Allocate,
        size: first,
    });
    for doubling in 1..=rng.below(4) {
        steps.push_back(Step::Grow {
            nth: response,
            size: first << doubling,
        });
    }
    if rng.one_in(4) {
        steps.push_back(Step::ReplaceSession {
            slot: rng.index(SESSIONS),
            size: rng.within(200..=600),
        });
    }
    steps.extend((0..=response).map(|_| Step::FreeLast));
    steps
}

fn take(
    script: &mut Script,
    thread: u16,
    step: Step,
    blocks: &mut Vec<Object>,
    sessions: &mut [Option<Object>],
) {
    match step {
        Step::Allocate {
            op: Op::AllocateZeroed,
            size,
        } => {
            blocks.push(script.allocate_as(thread, Op::AllocateZeroed, size, 4));
        }
        Step::Allocate { size, .. } => blocks.push(script.allocate(thread, size)),
        Step::Grow { nth, size } => script.reallocate(thread, &blocks[nth], size),
        Step::FreeLast => {
            if let Some(block) = blocks.pop() {
                script.free(thread, block);
            }
        }
        Step::ReplaceSession { slot, size } => {
            let session = script.allocate(thread, size);
            if let Some(former) = sessions[slot].replace(session) {
                script.free(thread, former);
            }
        }
    }
}
