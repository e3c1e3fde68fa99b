//! A composition as the allocator of this whole test program: the harness, its threads, what it prints.
#![cfg(not(miri))] // Miri's own machinery would run through it.

use std::collections::HashMap;
use std::sync::mpsc;
use std::thread;

use drystone_backing::{MmapSource, System};
use drystone_core::{Global, GlobalSafe};
use drystone_layout::GrowableBump;
use drystone_wrap::{Locked, Segregate, Statistics, Tagged};

/// Small blocks from pages of their own that are never given back, larger ones from the platform.
type Heap = Statistics<Segregate<Locked<GrowableBump<MmapSource>>, Tagged<System>>>;

#[global_allocator]
static HEAP: Global<Heap> = Global::new(Statistics::new(Segregate::new(
    Locked::new(GrowableBump::new(MmapSource)),
    Tagged::new(System, "large"),
    64,
)));

fn safe<A: GlobalSafe>(_: &A) {}

#[test]
fn threads_hand_blocks_to_each_other() {
    safe(HEAP.inner());
    let before = HEAP.inner().stats();
    let (sender, receiver) = mpsc::channel();
    let makers: Vec<_> = (0..4_u64)
        .map(|maker| {
            let sender = sender.clone();
            thread::spawn(move || {
                for number in 0..1000 {
                    let text = format!("{maker} {number} {}", "x".repeat(number as usize % 200));
                    sender
                        .send((maker, number, text))
                        .expect("the receiver waits");
                }
            })
        })
        .collect();
    drop(sender);
    let mut received = HashMap::new();
    for (maker, number, text) in receiver {
        received.insert((maker, number), text);
    }
    for maker in makers {
        maker.join().expect("no panic");
    }
    for maker in 0..4_u64 {
        for number in 0..1000_u64 {
            let text = format!("{maker} {number} {}", "x".repeat(number as usize % 200));
            assert_eq!(received[&(maker, number)], text);
        }
    }
    let stats = HEAP.inner().stats();
    assert!(stats.allocations - before.allocations >= 8000, "{stats}");
    assert!(stats.reallocations > before.reallocations, "{stats}");
    drop(received);
}

#[test]
fn zeroed_and_over_aligned_requests_are_served() {
    #[repr(align(4096))]
    struct Page([u8; 4096]);

    let zeroed = vec![0_u64; 100_000];
    assert!(zeroed.iter().all(|word| *word == 0));
    let page = Box::new(Page([7; 4096]));
    assert_eq!(std::ptr::from_ref(&*page).addr() % 4096, 0);
    assert_eq!(page.0, [7; 4096]);
}
