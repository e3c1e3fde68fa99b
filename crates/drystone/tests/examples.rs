//! Each example runs to its end, as it is.
#![cfg(all(not(miri), not(loom)))]
#![allow(dead_code, reason = "the examples are programs of their own")]

#[cfg(feature = "std")]
#[path = "../examples/fallback_chain.rs"]
mod fallback_chain;
#[cfg(feature = "alloc")]
#[path = "../examples/frame_arena.rs"]
mod frame_arena;
// Also the allocator of this whole test program.
#[cfg(feature = "arena")]
#[path = "../examples/global_statistics.rs"]
mod global_statistics;
#[path = "../examples/kernel_objects.rs"]
mod kernel_objects;
#[cfg(feature = "alloc")]
#[path = "../examples/message_slab.rs"]
mod message_slab;

#[cfg(all(feature = "std", feature = "allocator-api2-02"))]
#[path = "../examples/budgeted_operator.rs"]
mod budgeted_operator;
#[cfg(all(feature = "alloc", feature = "allocator-api2-02"))]
#[path = "../examples/hashbrown_in_bump.rs"]
mod hashbrown_in_bump;
#[cfg(feature = "allocator-api2-02")]
#[path = "../examples/kernel_heap.rs"]
mod kernel_heap;
#[cfg(all(feature = "trace", feature = "allocator-api2-02"))]
#[path = "../examples/recording.rs"]
mod recording;
#[cfg(all(feature = "mmap", feature = "zeroize", feature = "allocator-api2-02"))]
#[path = "../examples/secrets.rs"]
mod secrets;

#[cfg(feature = "testing")]
#[path = "../examples/custom_allocator.rs"]
mod custom_allocator;
// Brings tests of its own.
#[cfg(all(feature = "testing", feature = "allocator-api2-02"))]
#[path = "../examples/out_of_memory.rs"]
mod out_of_memory;

#[cfg(any(feature = "alloc", feature = "allocator-api2-02"))]
type Outcome = Result<(), Box<dyn std::error::Error>>;

#[test]
fn kernel_objects() {
    kernel_objects::main();
}

#[cfg(feature = "arena")]
#[test]
fn global_statistics() {
    global_statistics::main();
}

#[cfg(feature = "alloc")]
#[test]
fn frame_arena() -> Outcome {
    frame_arena::main()
}

#[cfg(feature = "alloc")]
#[test]
fn message_slab() -> Outcome {
    message_slab::main()
}

#[cfg(feature = "std")]
#[test]
fn fallback_chain() -> Outcome {
    fallback_chain::main()
}

#[cfg(all(feature = "alloc", feature = "allocator-api2-02"))]
#[test]
fn hashbrown_in_bump() -> Outcome {
    hashbrown_in_bump::main()
}

#[cfg(feature = "allocator-api2-02")]
#[test]
fn kernel_heap() -> Outcome {
    kernel_heap::main()
}

#[cfg(all(feature = "std", feature = "allocator-api2-02"))]
#[test]
fn budgeted_operator() -> Outcome {
    budgeted_operator::main()
}

#[cfg(all(feature = "mmap", feature = "zeroize", feature = "allocator-api2-02"))]
#[test]
fn secrets() -> Outcome {
    secrets::main()
}

#[cfg(all(feature = "trace", feature = "allocator-api2-02"))]
#[test]
fn recording() -> Outcome {
    recording::main()
}

#[cfg(feature = "testing")]
#[test]
fn custom_allocator() {
    custom_allocator::main();
}
