//! Each method of `AllocatorExt` builds the wrapper it names, around what it is called on.

mod common;

use std::any::type_name_of_val;

use common::{Blocks, Heap, Slots};
use drystone_core::Allocator;
use drystone_wrap::{AllocatorExt, FailAfter, NoLock, WatermarkHandler};

struct Deaf;

impl WatermarkHandler for Deaf {}

/// The names of the types of a stack, from the outside in, without parameters and paths.
fn layers<A>(stack: &A) -> String {
    let name = type_name_of_val(stack);
    let words = name
        .split(['<', '>', ',', ' '])
        .filter(|word| !word.is_empty());
    let short: Vec<_> = words
        .map(|word| word.rsplit("::").next().unwrap_or(word))
        .collect();
    short.join(" ")
}

/// The outermost layer has this name, and the stack serves.
fn builds<A: Allocator>(outermost: &str, stack: A) {
    assert!(layers(&stack).starts_with(outermost), "{}", layers(&stack));
    let block = stack.take(8, 8).expect("room");
    stack.give(block);
}

fn slots() -> Slots {
    Slots::sized(8, 512)
}

#[test]
fn each_method_builds_what_it_names() {
    builds(
        "WithFallback Slots Heap",
        slots().with_fallback(Heap::new(1)),
    );
    builds("Segregate Slots Heap", slots().segregate(Heap::new(1), 64));
    builds("Budget Slots", slots().budget(100));
    builds("Locked Slots", slots().locked());
    builds("Locked Slots NoLock", slots().locked_with(NoLock));
    builds("Statistics Slots", slots().statistics());
    builds("Watermark Slots Deaf", slots().watermark(Deaf));
    builds("Tagged Slots", slots().tagged("ext"));
    builds("ScrubOnFree Slots", slots().poison_on_free());
    #[cfg(feature = "zeroize")]
    builds("ScrubOnFree Slots", slots().zeroize_on_free());
    builds("Quarantine Slots 2", slots().quarantine::<2>());
    builds("Canary Slots", slots().canary());
    builds("GuardPages Slots", slots().guard_pages());
    builds("CacheJitter Slots", slots().cache_jitter());
    builds("NumaLocal Slots", slots().numa_local(0));
    builds("HugePageAdvised Slots", slots().huge_page_advised());
    builds("Faulty Slots FailAfter", slots().faulty(FailAfter::new(1)));
}

#[test]
fn the_last_call_is_outermost() {
    let stack = slots().poison_on_free().quarantine::<4>().statistics();
    let layers = layers(&stack);
    let at = |name| layers.find(name).expect(name);
    assert!(
        at("Statistics") < at("Quarantine") && at("Quarantine") < at("ScrubOnFree"),
        "{layers}"
    );
    assert!(at("ScrubOnFree") < at("Slots"), "{layers}");
    let block = stack.take(8, 8).expect("room");
    assert_eq!(stack.stats().live_blocks(), 1);
    stack.give(block);
}

#[test]
fn a_reference_stays_where_it_is() {
    let memory = slots();
    let counted = (&memory).statistics();
    let block = counted.take(8, 8).expect("room");
    assert_eq!(memory.live(), 1);
    counted.give(block);
}
