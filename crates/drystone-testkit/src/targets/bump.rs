//! Bump arenas over several kinds of storage, and their nested scopes.

use core::mem;
use core::ptr::NonNull;
use core::slice;

use drystone_backing::{HeapBacked, InlineBacked};
use drystone_core::{Allocator, Deallocator, FixedRange, NonZeroLayout, Region};
use drystone_layout::{BumpArena, Scope};

use super::choose;
use crate::bytes;
use crate::program::{Limits, Operation, Pick, Program, run_with_reset};

const BYTES: usize = 4096;

/// Scopes open at once, at most.
const DEPTH_MAX: usize = 12;

/// The first byte chooses the storage, and whether a program runs on the arena or on nested
/// scopes; the rest is the program.
///
/// # Panics
///
/// If the arena or a scope breaks a promise or an invariant.
pub fn target_bump(data: &[u8]) {
    let (choice, data) = choose(data);
    match choice % 3 {
        0 => {
            let bytes = BYTES - usize::from(choice / 8);
            let heap = HeapBacked::with_align(bytes, 8).expect("memory for a test");
            arena(choice, data, 4096, heap);
        }
        1 => arena(choice, data, 16, InlineBacked::<BYTES>::new()),
        _ => {
            let mut inline = InlineBacked::<BYTES>::new();
            arena(choice, data, 4096, Region::borrow(&mut inline));
        }
    }
}

fn arena<B: FixedRange>(choice: u8, data: &[u8], max_align: usize, range: B) {
    let limits = Limits {
        max_size: BYTES / 4,
        max_align,
    };
    let program = Program::decode(data, limits);
    let mut arena = BumpArena::new(range);
    if choice & 4 == 0 {
        run_with_reset(arena, &program);
        return;
    }
    let mut steps = program.operations.iter();
    while steps.len() > 0 {
        let scope = arena.scope();
        let outermost = Level {
            scope: &scope,
            depth: 0,
            outer: None,
        };
        outermost.run(&mut steps, &mut Vec::new());
        drop(scope);
        assert_eq!(
            arena.allocated_bytes(),
            0,
            "the outermost scope left bytes behind"
        );
        arena.debug_assert_invariants();
    }
}

/// A live block and the scope it belongs to.
struct Owned {
    depth: usize,
    block: NonNull<[u8]>,
    layout: NonZeroLayout,
    seed: usize,
}

impl Owned {
    /// Stamps a block that a scope of this depth just handed out.
    fn new(depth: usize, block: NonNull<[u8]>, layout: NonZeroLayout, seed: usize) -> Self {
        assert!(
            block.cast::<u8>().addr().get() % layout.align() == 0
                && block.len() >= layout.size().get()
        );
        // SAFETY: the block is live and writable for its length.
        unsafe { bytes::stamp(block, seed) };
        Self {
            depth,
            block,
            layout,
            seed,
        }
    }

    fn check(&self, len: usize) {
        let part = NonNull::slice_from_raw_parts(self.block.cast(), len);
        // SAFETY: a part of a live block, stamped over its whole length.
        let changed = unsafe { bytes::first_difference(part, self.seed) };
        assert!(
            changed.is_none(),
            "byte {changed:?} of {:?} changed",
            self.layout
        );
    }
}

/// An open scope and those around it.
struct Level<'s, B: FixedRange> {
    scope: &'s Scope<'s, B>,
    depth: usize,
    outer: Option<&'s Level<'s, B>>,
}

impl<B: FixedRange> Level<'_, B> {
    /// Runs steps until one closes this scope. Frees by the returned size open and close scopes;
    /// zeroed allocations go to the scope outside.
    fn run(&self, steps: &mut slice::Iter<'_, Operation>, live: &mut Vec<Owned>) {
        while let Some(step) = steps.next() {
            match *step {
                Operation::Free {
                    pick,
                    returned_size: true,
                } => match pick {
                    Pick::Newest => return,
                    Pick::Oldest | Pick::Index(_) => self.nest(pick, steps, live),
                },
                Operation::Free { pick, .. } => self.free(pick, live),
                Operation::Allocate { layout, zeroed } => self.allocate(layout, zeroed, live),
                Operation::Resize { pick, layout, .. } => self.resize(pick, layout, live),
                Operation::Reset | Operation::Check => {}
            }
            self.scope.debug_assert_invariants();
            check_all(live);
        }
    }

    /// Runs an inner scope, which is dropped, or forgotten if it was opened by `Oldest`.
    fn nest(&self, how: Pick, steps: &mut slice::Iter<'_, Operation>, live: &mut Vec<Owned>) {
        if self.depth + 1 == DEPTH_MAX {
            return;
        }
        let scope = self.scope.scope();
        let inner = Level {
            scope: &scope,
            depth: self.depth + 1,
            outer: Some(self),
        };
        inner.run(steps, live);
        live.retain(|owned| owned.depth <= self.depth);
        if how == Pick::Oldest {
            mem::forget(scope);
        }
    }

    /// The scope of this depth: this one or one around it.
    fn at(&self, depth: usize) -> &Scope<'_, B> {
        match self.outer {
            Some(outer) if depth < self.depth => outer.at(depth),
            _ => self.scope,
        }
    }

    fn allocate(&self, layout: NonZeroLayout, outside: bool, live: &mut Vec<Owned>) {
        let depth = self.depth.saturating_sub(usize::from(outside));
        if let Ok(block) = self.at(depth).allocate(layout) {
            live.push(Owned::new(depth, block, layout, live.len() + 1));
        }
    }

    fn free(&self, pick: Pick, live: &mut Vec<Owned>) {
        let Some(owned) = take(pick, live) else {
            return;
        };
        owned.check(owned.block.len());
        let scope = self.at(owned.depth);
        // SAFETY: a live block of that scope, freed with its layout and not used again.
        unsafe { scope.deallocate(owned.block.cast(), owned.layout) };
    }

    fn resize(&self, pick: Pick, new: NonZeroLayout, live: &mut Vec<Owned>) {
        let Some(mut owned) = take(pick, live) else {
            return;
        };
        let (scope, old) = (self.at(owned.depth), owned.layout);
        let result = if new.size() < old.size() {
            // SAFETY: a live block of that scope with its layout, and `new` is smaller.
            unsafe { scope.shrink(owned.block.cast(), old, new) }
        } else {
            // SAFETY: a live block of that scope with its layout, and `new` is no smaller.
            unsafe { scope.grow(owned.block.cast(), old, new) }
        };
        match result {
            Ok(block) => {
                owned.block = block;
                owned.check(old.size().min(new.size()).get());
                live.push(Owned::new(owned.depth, block, new, owned.seed + 1));
            }
            Err(_) => live.push(owned),
        }
    }
}

fn take(pick: Pick, live: &mut Vec<Owned>) -> Option<Owned> {
    let count = live.len();
    match pick {
        _ if count == 0 => None,
        Pick::Newest => live.pop(),
        Pick::Oldest => Some(live.remove(0)),
        Pick::Index(index) => Some(live.remove(index % count)),
    }
}

/// Every live block carries its stamp, and no two share a byte.
fn check_all(live: &[Owned]) {
    let mut spans: Vec<(usize, usize)> = Vec::with_capacity(live.len());
    for owned in live {
        owned.check(owned.block.len());
        let start = owned.block.cast::<u8>().addr().get();
        spans.push((start, start + owned.block.len()));
    }
    spans.sort_unstable();
    assert!(
        spans.windows(2).all(|pair| pair[0].1 <= pair[1].0),
        "live blocks overlap"
    );
}
