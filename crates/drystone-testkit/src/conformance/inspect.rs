//! The bookkeeping can be examined, examining changes nothing, and it agrees with what was done.

use drystone_core::{Allocator, Inspect};

use super::block::{Block, Verdict, ensure, layout};
use super::serve::absurd_layouts;
use super::{Caps, settle};

/// Live blocks validate, foreign pointers do not; every invariant holds after each operation; the
/// state digest is the same after examining and after a refused request, and differs after a
/// block was handed out.
///
/// # Panics
///
/// If the promise is broken.
#[track_caller]
pub fn inspect<A: Allocator + Inspect>(make: impl Fn() -> A, caps: Caps) {
    settle("inspect", examines(&make(), caps));
}

fn examines<A: Allocator + Inspect>(allocator: &A, caps: Caps) -> Verdict {
    verify(allocator)?;
    let stranger = 0u8;
    ensure!(
        allocator.validate((&stranger).into()).is_err(),
        "validates a pointer to the stack"
    );
    let layout = layout(caps.max_size.min(64), 1);
    let mut live = Vec::new();
    for seed in 0..Caps::BLOCKS_MIN {
        let before = allocator.state_digest();
        let block = Block::take(allocator, layout, seed)?;
        ensure!(
            allocator.state_digest() != before,
            "the state digest is the same after a block was handed out"
        );
        live.push(block);
        verify(allocator)?;
        for block in &live {
            validates(allocator, block)?;
        }
    }
    // Miri ends the program when its own heap is asked for more than the address space.
    if caps.bounded || !cfg!(miri) {
        refusals_leave_the_digest(allocator)?;
    }
    for block in live {
        block.free()?;
        verify(allocator)?;
    }
    Ok(())
}

fn verify<A: Inspect>(allocator: &A) -> Verdict {
    let digest = allocator.state_digest();
    if let Err(corruption) = allocator.verify_all() {
        return Err(format!("after correct use: {corruption}"));
    }
    ensure!(
        allocator.state_digest() == digest,
        "verify_all changed the state digest"
    );
    Ok(())
}

fn validates<A: Allocator + Inspect>(allocator: &A, block: &Block<'_, A>) -> Verdict {
    match allocator.validate(block.ptr()) {
        Err(misuse) => Err(format!("says of a live block: {misuse}")),
        Ok(info) if info.usable_bytes < block.layout().size().get() => Err(format!(
            "says that {} bytes of a live block are usable, of {:?}",
            info.usable_bytes,
            block.layout()
        )),
        Ok(_) => Ok(()),
    }
}

fn refusals_leave_the_digest<A: Allocator + Inspect>(allocator: &A) -> Verdict {
    let digest = allocator.state_digest();
    for absurd in absurd_layouts().step_by(if cfg!(miri) { 8 } else { 1 }) {
        if allocator.allocate(absurd).is_err() {
            ensure!(
                allocator.state_digest() == digest,
                "the state digest changed with a refused request of {absurd:?}"
            );
        }
    }
    Ok(())
}
