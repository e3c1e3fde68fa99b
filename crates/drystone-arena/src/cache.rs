//! [`ThreadCache`]: the part of an arena that one thread has, as a value of the caller's.

use core::fmt;
use core::ptr::NonNull;

use alloc::sync::Arc;

use crate::config::ArenaConfig;
use crate::core_state::Core;
use crate::error::ArenaError;
use crate::heap::Heap;

/// What one thread allocates from and frees into, without thread-locals.
///
/// A cache binds to the first arena that serves it, and keeps that arena's memory alive until it is
/// dropped or bound to another one. It may be moved to another thread, and is used by one thread at
/// a time, which `&mut` sees to. Dropping it gives everything it has to the arena: the next cache
/// that is bound goes on with it.
///
/// ```
/// use drystone_arena::{Arena, ArenaConfig, ThreadCache};
/// use drystone_core::NonZeroLayout;
///
/// let arena = Arena::new(ArenaConfig::default())?;
/// let mut cache = ThreadCache::new(ArenaConfig::default());
/// let layout = NonZeroLayout::for_type::<[u64; 4]>().unwrap();
/// let block = arena.allocate_with_cache(&mut cache, layout)?;
/// // SAFETY: the block is live, of this arena, and was handed out for this layout.
/// unsafe { arena.deallocate_with_cache(&mut cache, block.cast(), layout) }?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ThreadCache {
    bound: Option<Bound>,
    config: ArenaConfig,
}

/// An arena, and the heap of it that the cache has.
struct Bound {
    core: Arc<Core>,
    heap: NonNull<Heap>,
}

// SAFETY: a heap may be used by any thread, one at a time, and the cache has it alone.
unsafe impl Send for ThreadCache {}

impl ThreadCache {
    /// A cache that is not bound yet. Of `config` it uses `refill_target_bytes` and
    /// `local_cache_target_bytes`.
    #[must_use]
    pub const fn new(config: ArenaConfig) -> Self {
        Self {
            bound: None,
            config,
        }
    }

    /// What the cache holds.
    #[must_use]
    pub fn stats(&self) -> ThreadCacheStats {
        let Some(bound) = &self.bound else {
            return ThreadCacheStats::default();
        };
        let (cached_blocks, cached_bytes) = bound.heap().cached();
        ThreadCacheStats {
            is_bound: true,
            cached_blocks,
            cached_bytes,
            staged_bytes: bound.heap().staged_bytes(),
        }
    }

    /// The heap, if the cache is bound to this arena.
    #[inline(always)]
    pub(crate) fn heap_at_once(&self, core: &Arc<Core>) -> Option<&Heap> {
        let bound = self.bound.as_ref()?;
        Arc::ptr_eq(&bound.core, core).then(|| bound.heap())
    }

    /// The heap, after binding to this arena if need be.
    #[inline]
    pub(crate) fn heap_of(&mut self, core: &Arc<Core>) -> Result<&Heap, BindError> {
        let is_bound = self
            .bound
            .as_ref()
            .is_some_and(|bound| Arc::ptr_eq(&bound.core, core));
        if !is_bound {
            self.bind(core)?;
        }
        match &self.bound {
            Some(bound) => Ok(bound.heap()),
            None => Err(BindError::OutOfMemory),
        }
    }

    #[cold]
    #[inline(never)]
    fn bind(&mut self, core: &Arc<Core>) -> Result<(), BindError> {
        if let Some(bound) = &self.bound {
            if !bound.heap().is_drained() {
                return Err(BindError::WrongArena);
            }
        }
        let heap = core.heap().ok_or(BindError::OutOfMemory)?;
        heap.configure(&self.config);
        self.bound = Some(Bound {
            core: Arc::clone(core),
            heap: NonNull::from(heap),
        });
        Ok(())
    }

    /// Gives everything that is free back to the arena that the cache is bound to.
    pub(crate) fn drain(&mut self, core: &Arc<Core>) -> Result<(), ArenaError> {
        match &self.bound {
            Some(bound) if Arc::ptr_eq(&bound.core, core) => {
                bound.heap().drain();
                Ok(())
            }
            Some(bound) if !bound.heap().is_drained() => Err(ArenaError::WrongArena),
            _ => Ok(()),
        }
    }
}

impl Bound {
    #[inline(always)]
    fn heap(&self) -> &Heap {
        // SAFETY: the heap lives as long as its arena, which `core` keeps.
        unsafe { self.heap.as_ref() }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.heap().send_all();
        self.core.put_orphan(self.heap());
    }
}

impl fmt::Debug for ThreadCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadCache")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// Why a cache could not be bound.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BindError {
    WrongArena,
    OutOfMemory,
}

/// What a [`ThreadCache`] holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadCacheStats {
    /// An arena has served the cache.
    pub is_bound: bool,
    /// Free blocks that the cache hands out next.
    pub cached_blocks: usize,
    /// Their bytes.
    pub cached_bytes: usize,
    /// Bytes of blocks that were freed through this cache, belong to others, and were not sent yet.
    pub staged_bytes: usize,
}

impl fmt::Display for ThreadCacheStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = if self.is_bound { "yes" } else { "no" };
        writeln!(f, "{:<10}{bound:>20}", "bound")?;
        writeln!(f, "{:<10}{:>20}", "blocks", self.cached_blocks)?;
        writeln!(f, "{:<10}{:>20} B", "cached", self.cached_bytes)?;
        writeln!(f, "{:<10}{:>20} B", "staged", self.staged_bytes)
    }
}
