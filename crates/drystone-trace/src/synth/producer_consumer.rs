//! Two producers and two consumers around a bounded queue.
//!
//! A message is a header and a payload, allocated by a producer and freed by a consumer, which
//! also takes and gives back scratch memory of its own: two frees in three cross threads.

use std::collections::VecDeque;

use super::rng::SplitMix64;
use super::script::{Object, Script};

const PRODUCERS: u64 = 2;
const CONSUMERS: u64 = 2;
const QUEUE_MESSAGES: usize = 256;
const BURST_MESSAGES: u64 = 8;
const HEADER_BYTES: u64 = 64;

struct Message {
    header: Object,
    payload: Object,
}

pub(super) fn play(script: &mut Script, rng: &mut SplitMix64) {
    let mut queue = VecDeque::with_capacity(QUEUE_MESSAGES);
    while !script.is_full() {
        let burst = rng.within(1..=BURST_MESSAGES);
        if rng.one_in(2) {
            let thread = rng.below(PRODUCERS) as u16;
            for _ in 0..burst {
                if queue.len() == QUEUE_MESSAGES {
                    break;
                }
                queue.push_back(produce(script, rng, thread));
            }
        } else {
            let thread = (PRODUCERS + rng.below(CONSUMERS)) as u16;
            for message in queue.drain(..queue.len().min(burst as usize)) {
                consume(script, rng, thread, message);
            }
        }
    }
}

fn produce(script: &mut Script, rng: &mut SplitMix64, thread: u16) -> Message {
    let header = script.allocate(thread, HEADER_BYTES);
    let payload = script.allocate(thread, rng.log_within(64..=4096));
    Message { header, payload }
}

fn consume(script: &mut Script, rng: &mut SplitMix64, thread: u16, message: Message) {
    let scratch = script.allocate(thread, rng.within(128..=512));
    script.free(thread, message.payload);
    script.free(thread, message.header);
    script.free(thread, scratch);
}
