//! [`BufferPool`]: the handle.

use core::fmt;
use core::num::NonZeroUsize;
use core::panic::Location;
use core::ptr::NonNull;
use std::sync::Arc;

use drystone_core::SegmentSource;

use crate::core::Core;
use crate::event::Event;
use crate::heap_buffer::Content;
use crate::record::Record;
use crate::slot::Slot;
use crate::source::{Given, Mapped, Source};
use crate::{
    AllocAsync, BufferPoolConfig, ConfigError, FallbackPolicy, IoBufMut, PoolError, PoolStats,
};

/// A pool of buffers: size classes over a few large regions, a cache for each thread, one ceiling.
///
/// Handles are cheap to clone and may be used and dropped on any thread. Buffers may outlive the
/// pool: when the last handle is dropped, what is free goes back at once, and each buffer that is
/// still out goes back with its last view.
///
/// | call | no buffer free |
/// |---|---|
/// | [`try_alloc`](Self::try_alloc) | [`PoolError`] |
/// | [`alloc`](Self::alloc) | untracked memory, under the same ceiling |
/// | [`alloc_async`](Self::alloc_async) | waits its turn |
///
/// ```
/// use drystone_pool::{BufferPool, BufferPoolConfig, PoolError};
///
/// let pool = BufferPool::new(BufferPoolConfig::for_network().with_budget_bytes(1 << 20))?;
/// let mut buf = pool.try_alloc(1500)?;
/// buf.try_put_slice(b"GET / HTTP/1.1\r\n").expect("there is room");
/// let request = buf.freeze();
/// // Views share the bytes; the buffer goes back with the last of them.
/// let method = request.slice(..3);
/// drop(request);
/// assert_eq!(&method[..], b"GET");
/// assert_eq!(pool.try_alloc(1 << 20).unwrap_err(), PoolError::Oversized);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct BufferPool {
    core: Arc<Core>,
}

impl BufferPool {
    /// A pool that maps its memory.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the configuration is not valid, or there is no memory for what it asks for
    /// at once.
    pub fn new(config: BufferPoolConfig) -> Result<Self, ConfigError> {
        let huge_pages = config.huge_page_advice();
        Self::start(config, Box::new(Mapped { huge_pages }))
    }

    /// A pool that takes its memory from `source`.
    ///
    /// The source is asked for regions aligned to pages, of whole pages; where it refuses, for smaller
    /// ones, down to a single buffer. It must not use this pool.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and if the configuration asks for what only the pool's own source can
    /// do.
    pub fn with_source<S>(config: BufferPoolConfig, source: S) -> Result<Self, ConfigError>
    where
        S: SegmentSource + Send + Sync + 'static,
        S::Segment: Send,
    {
        if config.huge_page_advice() {
            return Err(ConfigError::NeedsOwnSource {
                field: "huge_page_advice",
            });
        }
        Self::start(config, Box::new(Given(source)))
    }

    fn start(config: BufferPoolConfig, source: Box<dyn Source>) -> Result<Self, ConfigError> {
        let pool = Self {
            core: Core::new(config, source)?,
        };
        if pool.config().prefill() {
            pool.core.prefill()?;
        }
        Ok(pool)
    }

    /// A buffer of at least `capacity` bytes, of length 0 and uninitialised. A capacity of 0 gives a
    /// buffer without storage.
    ///
    /// A request below the pool's least size gets untracked memory of exactly its size.
    ///
    /// # Errors
    ///
    /// [`PoolError::Oversized`] above the largest class; [`PoolError::Exhausted`] if nothing is free
    /// and nothing may be made, also not from what idles in other threads' caches; or if others wait
    /// for such a buffer.
    #[inline]
    #[track_caller]
    pub fn try_alloc(&self, capacity: usize) -> Result<IoBufMut, PoolError> {
        let record = self.storage(capacity)?;
        // SAFETY: this thread has the storage, if any, and gives it to the buffer.
        Ok(unsafe { IoBufMut::from_storage(record) })
    }

    /// As [`try_alloc`](Self::try_alloc), for a call at `location`.
    pub(crate) fn try_alloc_at(
        &self,
        capacity: usize,
        location: &'static Location<'static>,
    ) -> Result<IoBufMut, PoolError> {
        let record = if self.core.notes.is_some() {
            self.unclassed_storage(capacity, location)?
        } else {
            self.storage(capacity)?
        };
        // SAFETY: this thread has the storage, if any, and gives it to the buffer.
        Ok(unsafe { IoBufMut::from_storage(record) })
    }

    /// The record of storage for a buffer; `None` for a capacity of 0. One word, which stays in a
    /// register: only the caller makes a buffer of it, once, where the buffer is wanted.
    #[inline(always)]
    #[track_caller]
    fn storage(&self, capacity: usize) -> Result<Option<NonNull<Record>>, PoolError> {
        let core = &*self.core;
        let Some(class) = core.table.class_of(capacity) else {
            return self.unclassed_storage(capacity, Location::caller());
        };
        if let Some(cache) = core.cache(class) {
            // SAFETY: the thread's caches live while the table has them.
            let cache = unsafe { cache.as_ref() };
            // SAFETY: the ring is this thread's.
            if let Some(slot) = unsafe { cache.ring.pop_short() } {
                return Ok(Some(slot.cast()));
            }
        }
        match Self::miss(core, class) {
            Some(record) => Ok(Some(record)),
            None => Err(PoolError::Exhausted),
        }
    }

    /// A request whose class the thread's ring could not serve by the short path.
    #[cold]
    #[inline(never)]
    fn miss(core: &Core, class: usize) -> Option<NonNull<Record>> {
        if let Some(cache) = core.cache(class) {
            // SAFETY: the thread's caches live while the table has them.
            let cache = unsafe { cache.as_ref() };
            let slot = if cache.ring.capacity() == 0 {
                core.take_uncached(class, cache)
            } else {
                // SAFETY: the ring is this thread's.
                unsafe { cache.ring.pop() }
            };
            if let Some(slot) = slot {
                return Some(slot.cast());
            }
        }
        core.obtain(class).ok().map(NonNull::cast)
    }

    /// A request that the hit path does not serve: for nothing, too small, too large, or to be noted.
    #[cold]
    #[inline(never)]
    fn unclassed_storage(
        &self,
        capacity: usize,
        location: &'static Location<'static>,
    ) -> Result<Option<NonNull<Record>>, PoolError> {
        let Some(bytes) = NonZeroUsize::new(capacity) else {
            return Ok(None);
        };
        if let Some(class) = self.class_of(capacity) {
            let record = Self::miss(&self.core, class).ok_or(PoolError::Exhausted)?;
            // SAFETY: the record is the head of a slot that this thread was just given.
            unsafe { self.note(record.cast(), location) };
            return Ok(Some(record));
        }
        if capacity > self.core.classes_by_size.largest() {
            self.core
                .count_event(self.nearest_class(capacity), Event::Oversized);
            return Err(PoolError::Oversized);
        }
        match self.core.untracked(bytes, Content::Uninit) {
            Some(buf) => Ok(buf.into_storage()),
            None => {
                self.core
                    .count_event(self.nearest_class(capacity), Event::Exhausted);
                Err(PoolError::Exhausted)
            }
        }
    }

    /// As [`try_alloc`](Self::try_alloc), with `len` bytes of zero in it.
    ///
    /// Bytes behind them may be what the last user left; see
    /// [`with_zero_on_free`](BufferPoolConfig::with_zero_on_free).
    ///
    /// # Errors
    ///
    /// As [`try_alloc`](Self::try_alloc).
    #[track_caller]
    pub fn try_alloc_zeroed(&self, len: usize) -> Result<IoBufMut, PoolError> {
        Ok(zeroed(self.try_alloc(len)?, len))
    }

    /// As [`try_alloc`](Self::try_alloc); where that has none, untracked memory of exactly `capacity`
    /// bytes with the pool's alignment, which counts against the ceiling.
    ///
    /// # Panics
    ///
    /// If there is no value to return: the ceiling has no room for the bytes, the configuration
    /// refuses fallbacks, or the heap is out of memory. The message names request and ceiling. Use
    /// [`try_alloc`](Self::try_alloc) or [`alloc_async`](Self::alloc_async) where that may happen.
    #[inline]
    #[track_caller]
    pub fn alloc(&self, capacity: usize) -> IoBufMut {
        let record = match self.storage(capacity) {
            Ok(record) => record,
            Err(error) => self.fall_back(capacity, error),
        };
        // SAFETY: this thread has the storage, if any, and gives it to the buffer.
        unsafe { IoBufMut::from_storage(record) }
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    fn fall_back(&self, capacity: usize, error: PoolError) -> Option<NonNull<Record>> {
        let refused = self.config().fallback_policy() == FallbackPolicy::Refused;
        let bytes = NonZeroUsize::new(capacity).filter(|_| !refused);
        match bytes.and_then(|bytes| self.core.untracked(bytes, Content::Uninit)) {
            Some(buf) => {
                self.core
                    .count_event(self.nearest_class(capacity), Event::Fallback);
                buf.into_storage()
            }
            None => self.no_value(capacity, error),
        }
    }

    #[track_caller]
    fn no_value(&self, capacity: usize, error: PoolError) -> ! {
        let budget = &self.core.budget;
        let ceiling = budget
            .limit()
            .map_or("no ceiling".into(), |limit| format!("a ceiling of {limit}"));
        panic!(
            "buffer pool: no memory for a request of {capacity} bytes: {error}; {used} bytes in use under \
             {ceiling}, fallback {policy:?}",
            used = budget.used(),
            policy = self.config().fallback_policy(),
        )
    }

    /// As [`alloc`](Self::alloc), with `len` bytes of zero in it.
    ///
    /// # Panics
    ///
    /// As [`alloc`](Self::alloc).
    #[track_caller]
    pub fn alloc_zeroed(&self, len: usize) -> IoBufMut {
        zeroed(self.alloc(len), len)
    }

    /// As [`alloc`](Self::alloc), of length `len`, uninitialised.
    ///
    /// # Panics
    ///
    /// As [`alloc`](Self::alloc).
    ///
    /// # Safety
    ///
    /// The bytes are written before they are read.
    #[inline]
    #[track_caller]
    pub unsafe fn alloc_len(&self, len: usize) -> IoBufMut {
        let mut buf = self.alloc(len);
        // SAFETY: within the capacity; the caller promises to write the bytes first.
        unsafe { buf.set_len(len) };
        buf
    }

    /// A buffer of at least `capacity` bytes as soon as there is one; those that wait are served in
    /// order, and [`try_alloc`](Self::try_alloc) does not overtake them.
    ///
    /// The future owns a handle of the pool. Who waits for bytes of the budget is served before all
    /// who came later and could use the same bytes.
    ///
    /// ```
    /// # use core::{future::Future, pin::pin, task::{Context, Poll, Waker}};
    /// use drystone_pool::{BufferPool, BufferPoolConfig};
    ///
    /// let pool = BufferPool::new(BufferPoolConfig::for_network().with_max_per_class(1))?;
    /// let only = pool.try_alloc(1024)?;
    /// let mut next = pin!(pool.alloc_async(1024));
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert!(next.as_mut().poll(&mut context).is_pending());
    /// drop(only);
    /// assert!(matches!(next.as_mut().poll(&mut context), Poll::Ready(Ok(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PoolError::Oversized`] at once; [`PoolError::Exhausted`] only where waiting is of no use: no
    /// buffer of the class exists and the source makes none, or the request is below the pool's least
    /// size and there is no memory for it.
    #[track_caller]
    pub fn alloc_async(&self, capacity: usize) -> AllocAsync {
        AllocAsync::new(self.clone(), capacity, Location::caller())
    }

    /// The configuration.
    #[inline]
    pub fn config(&self) -> &BufferPoolConfig {
        &self.core.config
    }

    /// Gives memory back: every buffer that is free ends, whichever thread has it in its cache, and so
    /// does each region that is left without one. Buffers are made again when they are needed.
    pub fn trim(&self) {
        self.core.gather();
    }

    /// What the pool has done and holds.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.core.stats()
    }

    /// Empties the caches of all threads into the shared lists.
    pub fn flush_idle(&self) {
        self.core.flush_idle();
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    pub(crate) fn counted_core(&self) -> &Arc<Core> {
        &self.core
    }

    /// The class that serves a request; `None` where none does.
    pub(crate) fn class_of(&self, capacity: usize) -> Option<usize> {
        self.core.classes_by_size.class_of(capacity)
    }

    /// The class that a request is counted with: the one that serves it, or else the smallest or the
    /// largest.
    fn nearest_class(&self, capacity: usize) -> usize {
        let largest = self.core.classes.len() - 1;
        let is_above = capacity > self.core.classes_by_size.largest();
        self.class_of(capacity)
            .unwrap_or(if is_above { largest } else { 0 })
    }

    /// Notes who takes a slot, where that is wanted.
    ///
    /// # Safety
    ///
    /// The caller has the slot.
    pub(crate) unsafe fn note(&self, slot: NonNull<Slot>, location: &'static Location<'static>) {
        if let Some(notes) = &self.core.notes {
            // SAFETY: the caller's promise.
            unsafe { notes.note(slot, location) };
        }
    }
}

/// The buffer with its first `len` bytes zero.
fn zeroed(mut buf: IoBufMut, len: usize) -> IoBufMut {
    let start = buf.as_mut_ptr();
    // SAFETY: the buffer has at least `len` bytes, and is this function's.
    unsafe { start.write_bytes(0, len) };
    // SAFETY: within the capacity, and just written.
    unsafe { buf.set_len(len) };
    buf
}

impl Clone for BufferPool {
    fn clone(&self) -> Self {
        self.core.add_handle();
        Self {
            core: Arc::clone(&self.core),
        }
    }
}

impl Drop for BufferPool {
    fn drop(&mut self) {
        self.core.drop_handle();
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool")
            .field("config", self.config())
            .field("classes", &self.core.classes.len())
            .field("budget_used", &self.core.budget.used())
            .finish_non_exhaustive()
    }
}
