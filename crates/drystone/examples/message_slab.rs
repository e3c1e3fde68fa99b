//! Messages between threads from one slab: one thread allocates, any thread frees.
//!
//! `SlabOwner` allocates without an atomic operation. A `RemoteBox` is dropped on whatever thread has
//! it, and its slot finds the way home; for blocks without a type `owner.remote()` gives a
//! `SlabRemote` that frees from anywhere. Run it with
//! `cargo run -p drystone --example message_slab`.

use std::error::Error;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use drystone::{HeapBacked, RemoteBox, SlabOwner};

const SLOTS: usize = 64;
const WORKERS: u64 = 3;
/// With what each worker has in hand, far fewer than there are slots.
const WAITING_MAX: usize = 16;

struct Message {
    number: u64,
    body: [u8; 240],
}

/// Adds up what it is sent. Each message is dropped here, and its slot goes home from here.
fn work(messages: Receiver<RemoteBox<Message, HeapBacked>>) -> (u64, u64) {
    messages.into_iter().fold((0, 0), |(count, sum), message| {
        (count + 1, sum + message.number + u64::from(message.body[0]))
    })
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let slots = SLOTS * size_of::<Message>();
    let owner = SlabOwner::<Message, _>::new(SLOTS, HeapBacked::new(slots)?)?;
    let (sent, done) = thread::scope(|scope| {
        let (lines, workers): (Vec<_>, Vec<_>) = (0..WORKERS)
            .map(|_| {
                let (line, messages) = sync_channel(WAITING_MAX);
                (line, scope.spawn(move || work(messages)))
            })
            .unzip();
        let mut sent = 0;
        for number in 0..10_000 {
            // A full slab is an answer that gives the message back. It cannot be full here: the lines
            // hold fewer messages than there are slots.
            let message = Message {
                number,
                body: [1; 240],
            };
            let Ok(message) = owner.alloc_box(message) else {
                break;
            };
            // The line blocks while its worker is behind, and ends when the worker does.
            if lines[(number % WORKERS) as usize].send(message).is_err() {
                break;
            }
            sent += 1;
        }
        drop(lines);
        let done: Vec<_> = workers
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        (sent, done)
    });
    assert_eq!(sent, 10_000);
    println!("{sent} messages through {} slots", owner.capacity());
    for (worker, result) in done.into_iter().enumerate() {
        let (count, sum) = result.map_err(|_| "a worker panicked")?;
        println!("worker {worker} freed {count} of them, their sum is {sum}");
    }
    println!("{} slots were still on their way home", owner.drain());
    Ok(())
}
