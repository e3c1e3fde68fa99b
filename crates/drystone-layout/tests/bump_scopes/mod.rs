//! A machine that opens, uses, drops and forgets scopes in every order that the borrow rules
//! allow, and checks after each step that no live block was overlapped or changed.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses some of these"
)]

use std::mem;
use std::ptr::NonNull;
use std::slice;

use drystone_core::{Allocator, Deallocator, HeapSegment, NonZeroLayout, Region};
use drystone_layout::{BumpArena, Scope};

use crate::ranges::{heap, layout};

/// One step. Scopes and blocks are named by indices into what is there; an index that names
/// nothing makes the step void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Opens a scope through the scope `parent`, or the outermost if none is open.
    Open { parent: usize },
    /// Allocates through a scope.
    Take {
        scope: usize,
        size: usize,
        align: usize,
    },
    /// Frees the `age`-th newest block of a scope.
    Free { scope: usize, age: usize },
    /// Grows or shrinks the `age`-th newest block of a scope.
    Resize {
        scope: usize,
        age: usize,
        size: usize,
        align: usize,
    },
    /// Drops a scope that no open scope was opened through.
    Drop { scope: usize },
    /// Forgets such a scope.
    Forget { scope: usize },
}

/// A block, and the byte it is filled with.
struct Block {
    /// The scope whose end ends the block.
    dies_with: usize,
    /// The scope that hands it out, grows and frees it.
    made_by: usize,
    start: NonNull<u8>,
    layout: NonZeroLayout,
    stamp: u8,
}

struct Node {
    scope: Scope<'static, Region<'static>>,
    parent: Option<usize>,
}

/// An arena, its scopes by number in the order they were opened, and the live blocks.
pub struct Machine {
    arena: *mut BumpArena<Region<'static>>,
    backing: *mut HeapSegment,
    nodes: Vec<Option<Node>>,
    blocks: Vec<Block>,
    stamp: u8,
    scopes_max: usize,
    used_before: usize,
}

impl Machine {
    pub fn new(bytes: usize, scopes_max: usize) -> Self {
        let backing = Box::into_raw(Box::new(heap(bytes, 16)));
        // SAFETY: the box was just leaked; it is freed after the arena in `drop`.
        let lent: &'static mut HeapSegment = unsafe { &mut *backing };
        let arena = BumpArena::new(Region::borrow(lent));
        let arena = Box::into_raw(Box::new(arena));
        let mut machine = Self {
            arena,
            backing,
            nodes: Vec::new(),
            blocks: Vec::new(),
            stamp: 0,
            scopes_max,
            used_before: 0,
        };
        // A block of the arena itself, which every scope must leave alone.
        let layout = layout(5, 1);
        // SAFETY: no scope is open, so nothing else uses the arena.
        let block = unsafe { &*machine.arena }.allocate(layout).expect("room");
        machine.adopt(usize::MAX, block.cast(), layout);
        // SAFETY: as above.
        machine.used_before = unsafe { &*machine.arena }.allocated_bytes();
        machine
    }

    fn is_open(&self, scope: usize) -> bool {
        self.nodes.get(scope).is_some_and(Option::is_some)
    }

    fn is_leaf(&self, scope: usize) -> bool {
        let parents = self.nodes.iter().flatten().filter_map(|node| node.parent);
        self.is_open(scope) && !parents.into_iter().any(|parent| parent == scope)
    }

    /// The index in `blocks` of the `age`-th newest block that an open scope made.
    fn find(&self, scope: usize, age: usize) -> Option<usize> {
        let mut made = (0..self.blocks.len())
            .rev()
            .filter(|&index| self.blocks[index].made_by == scope);
        made.nth(age).filter(|_| self.is_open(scope))
    }

    fn scope(&self, scope: usize) -> &Scope<'static, Region<'static>> {
        &self.nodes[scope].as_ref().expect("open").scope
    }

    fn adopt(&mut self, scope: usize, start: NonNull<u8>, layout: NonZeroLayout) {
        let size = layout.size().get();
        let (from, to) = (start.addr().get(), start.addr().get() + size);
        assert_eq!(from % layout.align().get(), 0, "aligned");
        for block in &self.blocks {
            let other = block.start.addr().get();
            assert!(
                to <= other || other + block.layout.size().get() <= from,
                "overlaps a live block"
            );
        }
        self.stamp = self.stamp.wrapping_add(1);
        // SAFETY: the block is new and writable for its size.
        unsafe { start.as_ptr().write_bytes(self.stamp, size) };
        self.blocks.push(Block {
            dies_with: scope,
            made_by: scope,
            start,
            layout,
            stamp: self.stamp,
        });
    }

    fn holds(start: NonNull<u8>, len: usize, stamp: u8) -> bool {
        // SAFETY: callers pass live blocks, filled when they were made.
        let bytes = unsafe { slice::from_raw_parts(start.as_ptr(), len) };
        bytes.iter().all(|&byte| byte == stamp)
    }

    fn check(&self) {
        for block in &self.blocks {
            let size = block.layout.size().get();
            assert!(Self::holds(block.start, size, block.stamp), "changed");
        }
        if let Some(node) = self.nodes.iter().flatten().next() {
            node.scope.debug_assert_invariants();
        }
    }

    /// Carries the step out and checks every live block. Whether there was anything to do.
    pub fn step(&mut self, step: Step) -> bool {
        let done = self.perform(step);
        if done {
            self.check();
        }
        done
    }

    fn perform(&mut self, step: Step) -> bool {
        match step {
            Step::Open { parent } => self.open(parent),
            Step::Take { scope, size, align } if self.is_open(scope) => {
                let layout = layout(size, align);
                if let Ok(block) = self.scope(scope).allocate(layout) {
                    self.adopt(scope, block.cast(), layout);
                }
                true
            }
            Step::Free { scope, age } => {
                let Some(index) = self.find(scope, age) else {
                    return false;
                };
                let block = self.blocks.remove(index);
                // SAFETY: the block is live, was made by this scope with this layout.
                unsafe { self.scope(scope).deallocate(block.start, block.layout) };
                true
            }
            Step::Resize {
                scope,
                age,
                size,
                align,
            } => self.resize(scope, age, layout(size, align)),
            Step::Drop { scope } => self.close(scope, true),
            Step::Forget { scope } => self.close(scope, false),
            Step::Take { .. } => false,
        }
    }

    fn open(&mut self, parent: usize) -> bool {
        if self.nodes.iter().flatten().count() >= self.scopes_max {
            return false;
        }
        let node = if self.nodes.iter().all(Option::is_none) {
            // What a forgotten outermost scope left behind is dead now.
            self.blocks.retain(|block| block.dies_with == usize::MAX);
            // SAFETY: no scope is open, so nothing else uses the arena; it outlives the scopes.
            let arena: &'static mut BumpArena<_> = unsafe { &mut *self.arena };
            self.used_before = arena.allocated_bytes();
            Node {
                scope: arena.scope(),
                parent: None,
            }
        } else if self.is_open(parent) {
            let inner = self.scope(parent).scope();
            Node {
                // SAFETY: only the lifetime changes. The machine ends a scope after those opened
                // through it, and the scope that lends itself is not used through the borrow.
                scope: unsafe { mem::transmute::<Scope<'_, _>, Scope<'static, _>>(inner) },
                parent: Some(parent),
            }
        } else {
            return false;
        };
        self.nodes.push(Some(node));
        true
    }

    fn resize(&mut self, scope: usize, age: usize, new: NonZeroLayout) -> bool {
        let Some(index) = self.find(scope, age) else {
            return false;
        };
        let Block {
            start,
            layout: old,
            stamp,
            ..
        } = self.blocks[index];
        let kept = old.size().min(new.size()).get();
        let resized = if new.size() >= old.size() {
            // SAFETY: the block is live, was made by this scope with this layout, and grows.
            unsafe { self.scope(scope).grow(start, old, new) }
        } else {
            // SAFETY: as above, but it shrinks.
            unsafe { self.scope(scope).shrink(start, old, new) }
        };
        if let Ok(block) = resized {
            self.blocks.remove(index);
            assert!(Self::holds(block.cast(), kept, stamp), "kept");
            self.adopt(scope, block.cast(), new);
        }
        true
    }

    fn close(&mut self, scope: usize, properly: bool) -> bool {
        if !self.is_leaf(scope) {
            return false;
        }
        let node = self.nodes[scope].take().expect("open");
        let heir = node.parent.unwrap_or(usize::MAX - 1);
        // What was lent to this scope by forgotten ones ends with it.
        self.blocks
            .retain(|block| block.dies_with != scope || block.made_by == scope);
        if properly {
            self.blocks.retain(|block| block.dies_with != scope);
            drop(node.scope);
        } else {
            // Its own blocks may be leaked, for as long as the borrow that it held: until the
            // scope that it was opened through ends.
            for block in &mut self.blocks {
                if block.dies_with == scope {
                    block.dies_with = heir;
                }
            }
            mem::forget(node.scope);
        }
        if properly && node.parent.is_none() {
            // SAFETY: the outermost scope is dropped, so nothing else uses the arena.
            let used = unsafe { &*self.arena }.allocated_bytes();
            assert_eq!(
                used, self.used_before,
                "the outermost scope rewinds to its start"
            );
        }
        true
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        while let Some(index) = self.nodes.iter().rposition(Option::is_some) {
            self.nodes[index] = None;
        }
        // SAFETY: the arena was leaked in `new`; its scopes are gone.
        drop(unsafe { Box::from_raw(self.arena) });
        // SAFETY: as above, for the range that the arena borrowed.
        drop(unsafe { Box::from_raw(self.backing) });
    }
}
