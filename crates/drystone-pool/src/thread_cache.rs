//! [`BufferPoolThreadCache`]: the calling thread's caches.

use crate::local;

/// The free buffers that the calling thread has cached, of all pools and classes.
///
/// ```
/// use drystone_pool::{BufferPool, BufferPoolConfig, BufferPoolThreadCache};
///
/// let pool = BufferPool::new(BufferPoolConfig::for_network())?;
/// drop(pool.try_alloc(1024)?);
/// assert_ne!(pool.stats().classes[0].cached, 0);
/// BufferPoolThreadCache::flush();
/// assert_eq!(pool.stats().classes[0].cached, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferPoolThreadCache;

impl BufferPoolThreadCache {
    /// Puts everything that the calling thread has cached on the shared lists of its pools. Does
    /// nothing while the thread's locals are being destroyed, when there is nothing cached.
    pub fn flush() {
        local::flush();
        local::sweep_closed();
    }
}
