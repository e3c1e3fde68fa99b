//! A frame's memory: scopes that nest, and an arena that is empty again when each ends.
//!
//! Values of a frame live until its scope ends; scratch of a pass within the frame ends earlier and
//! its bytes serve the next pass. The system is asked once, before the first frame. Run it with
//! `cargo run -p drystone --example frame_arena`.

use drystone::{AllocError, BumpArena, FixedRange, HeapBacked, Scope};

#[derive(Clone, Copy)]
struct Particle {
    x: f32,
    speed: f32,
}

/// The particles that are in sight, in scratch memory; returns how many, and the bytes that were left.
fn draw(
    frame: &Scope<'_, impl FixedRange>,
    all: &[Particle],
) -> Result<(usize, usize), AllocError> {
    let scratch = frame.scope();
    let order = scratch.try_alloc_slice_fill_with(all.len(), |at| at)?;
    order.sort_unstable_by(|&a, &b| all[a].x.total_cmp(&all[b].x));
    let in_sight = order.partition_point(|&at| all[at].x < 500.0);
    Ok((in_sight, scratch.remaining_bytes()))
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arena = BumpArena::new(HeapBacked::new(64 << 10)?);
    for number in 0..3_u16 {
        let frame = arena.scope();
        let whole = frame.remaining_bytes();
        let particles = frame.try_alloc_slice_fill_with(1000, |at| Particle {
            x: at as f32,
            speed: f32::from(number),
        })?;
        for particle in &mut *particles {
            particle.x += particle.speed * 10.0;
        }
        let kept = frame.remaining_bytes();
        // Two passes, one after the other in the same bytes; the particles stay where they are.
        let (first, least) = draw(&frame, particles)?;
        particles.reverse();
        let (second, _) = draw(&frame, particles)?;
        println!(
            "frame {number}: {first} and {second} in sight; {} bytes for the frame, {} for each pass",
            whole - kept,
            kept - least
        );
    }
    println!(
        "between frames {} bytes are in use",
        arena.allocated_bytes()
    );
    assert_eq!(arena.allocated_bytes(), 0);

    // Too much for a frame is an answer, not a crash, and the frame goes on.
    let frame = arena.scope();
    match frame.try_alloc_slice_copy(&[0_u8; 100_000]) {
        Ok(bytes) => println!("{} bytes fit", bytes.len()),
        Err(error) => println!("100000 bytes at once: {error}"),
    }
    Ok(())
}
