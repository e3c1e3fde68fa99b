//! A program without std and without a heap: a slab over a lent buffer, as firmware would use it.
//! Its exit status is 0, or the number of the check that failed.
#![no_std]
#![no_main]

use core::ffi::{c_char, c_int};
use core::mem::MaybeUninit;
use core::panic::PanicInfo;

use drystone_backing::StaticBacked;
use drystone_core::{Allocator, Deallocator, NonZeroLayout};
use drystone_layout::Slab;

/// What the slab holds.
#[repr(align(16))]
struct Packet {
    number: u64,
    payload: [u8; 40],
}

const CAPACITY: usize = 8;

#[link(name = "c")]
unsafe extern "C" {
    safe fn abort() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    abort()
}

/// The prebuilt `core` names this symbol, for programs that unwind. This one does not.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[unsafe(no_mangle)]
extern "C" fn main(_: c_int, _: *const *const c_char) -> c_int {
    let mut buffer = [MaybeUninit::uninit(); 1024];
    match serve(&mut buffer) {
        Ok(()) => 0,
        Err(check) => check,
    }
}

/// Fills the slab, empties it, and finds all of it there again.
fn serve(buffer: &mut [MaybeUninit<u8>]) -> Result<(), c_int> {
    let slab = Slab::<Packet, _>::new(CAPACITY, StaticBacked::new(buffer)).map_err(|_| 1)?;
    let layout = NonZeroLayout::for_type::<Packet>().ok_or(2)?;
    for round in 0..3 {
        let mut blocks = [None; CAPACITY];
        for (slot, number) in blocks.iter_mut().zip(0..) {
            let block = slab.allocate(layout).map_err(|_| 3)?.cast::<Packet>();
            let packet = Packet {
                number,
                payload: [round; 40],
            };
            // SAFETY: the block is live, aligned and long enough for a packet.
            unsafe { block.write(packet) };
            *slot = Some(block);
        }
        check(slab.allocate(layout).is_err(), 4)?;
        for (block, number) in blocks.into_iter().flatten().zip(0..) {
            // SAFETY: the block is live and holds the packet written above.
            let packet = unsafe { block.read() };
            check(packet.number == number && packet.payload == [round; 40], 5)?;
            // SAFETY: the block is live, of this slab and this layout, and not used again.
            unsafe { slab.deallocate(block.cast(), layout) };
        }
    }
    Ok(())
}

fn check(holds: bool, number: c_int) -> Result<(), c_int> {
    if holds { Ok(()) } else { Err(number) }
}
