//! [`RegisteredRegion`]: a region of a pool as the kernel is told of it.
//!
//! # What
//!
//! The kernel takes the memory of fixed buffers as a list of ranges, and afterwards wants to hear of
//! a buffer as the index of a range and an address in it. [`BufferPool::registered_regions`] is that
//! list, and [`BufferPool::locate`] says where any view of the pool lies.
//!
//! # Invariants
//!
//! - The value holds the region (R2): `trim` and the end of the pool leave it mapped until the
//!   value is dropped, and leave its pages where they are: the kernel goes on with those that it saw.

use core::fmt;
use core::ptr::NonNull;
use std::sync::Arc;

use crate::core::Core;
use crate::region::Region;
use crate::{BufferPool, IoBuf, IoBufMut};

/// A region of a pool: whole pages in one piece, which stay mapped while the value lives, and keep
/// their memory: buffers of it that are trimmed leave the pool's budget, but not the process.
///
/// The index of a region is its place in the pool's list. Regions that a pool takes later have other
/// indices than those registered before; prefill a pool, or register again, if all of its buffers are
/// to be in registered memory.
///
/// ```
/// use drystone_pool::{BufferPool, BufferPoolConfig};
///
/// let config = BufferPoolConfig::for_storage()
///     .with_max_size(64 << 10)
///     .with_prefill(true);
/// let pool = BufferPool::new(config)?;
/// let regions = pool.registered_regions();
/// let mut buf = pool.try_alloc(4096)?;
/// let (index, offset) = pool.locate(&buf).expect("a buffer of the pool");
/// let region = regions.iter().find(|region| region.index() == index).expect("prefilled");
/// assert_eq!(region.as_ptr().wrapping_add(offset).addr(), buf.as_mut_ptr().addr());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RegisteredRegion {
    // I1: held once for this value.
    region: NonNull<Region>,
    // Keeps the core, which the end of the hold needs.
    core: Arc<Core>,
}

// SAFETY: the region is held, and its head is read only; the hold is ended under the class's lock.
unsafe impl Send for RegisteredRegion {}
// SAFETY: as above.
unsafe impl Sync for RegisteredRegion {}

impl RegisteredRegion {
    fn head(&self) -> &Region {
        // SAFETY: held (I1), so it lives.
        unsafe { self.region.as_ref() }
    }

    /// The place of the region in the pool's list. It is nobody else's while the value lives.
    #[must_use]
    pub fn index(&self) -> usize {
        self.head().number()
    }

    /// The first byte, at a multiple of the page size.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.head().base().as_ptr()
    }

    /// The bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head().bytes()
    }

    /// Never: a region has at least one buffer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How far from the start of the region the first byte of `bytes` lies; `None` if it is not in the
    /// region.
    #[must_use]
    pub fn offset_of(&self, bytes: &[u8]) -> Option<usize> {
        let offset = bytes.as_ptr().addr().wrapping_sub(self.as_ptr().addr());
        (offset < self.len()).then_some(offset)
    }
}

impl Drop for RegisteredRegion {
    fn drop(&mut self) {
        let class = self.head().class();
        let own = &self.core.classes[class];
        // SAFETY: held for this value (I1), which ends.
        let unused = own.grow(|growth| unsafe { growth.unregister(self.region) });
        if let Some(region) = unused {
            // SAFETY: taken off the class's list, holding nothing; `core` is counted.
            unsafe { self.core.destroy_region(region) };
        }
    }
}

impl fmt::Debug for RegisteredRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisteredRegion")
            .field("index", &self.index())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// A view whose bytes may lie in a region: [`IoBuf`] and [`IoBufMut`].
pub trait PooledView: sealed::Sealed {}

impl PooledView for IoBuf {}
impl PooledView for IoBufMut {}

mod sealed {
    use core::ptr::NonNull;

    use crate::slot::Slot;

    #[allow(unnameable_types, reason = "the seal")]
    pub trait Sealed {
        /// The slot that the view keeps, and the address of its first byte.
        #[doc(hidden)]
        #[allow(private_interfaces, reason = "the seal")]
        fn place(&self) -> Option<(NonNull<Slot>, usize)>;
    }

    #[allow(private_interfaces, reason = "the seal")]
    impl Sealed for crate::IoBuf {
        fn place(&self) -> Option<(NonNull<Slot>, usize)> {
            Some((self.slot()?, self.as_ptr().addr()))
        }
    }

    #[allow(private_interfaces, reason = "the seal")]
    impl Sealed for crate::IoBufMut {
        fn place(&self) -> Option<(NonNull<Slot>, usize)> {
            Some((self.slot()?, self.as_ptr().addr()))
        }
    }
}

impl BufferPool {
    /// The pool's regions, by rising index. Each stays as it is while its value lives.
    #[must_use]
    pub fn registered_regions(&self) -> Vec<RegisteredRegion> {
        let core = self.counted_core();
        let mut regions = Vec::new();
        core.regions.for_each(|region| {
            // SAFETY: regions live while the table is locked.
            let class = unsafe { region.as_ref() }.class();
            // SAFETY: as above.
            if core.classes[class].grow(|growth| unsafe { growth.register(region) }) {
                regions.push(region);
            }
        });
        let registered = |region| RegisteredRegion {
            region,
            core: Arc::clone(core),
        };
        regions.into_iter().map(registered).collect()
    }

    /// Where a view of this pool lies: the index of its region, and the offset of its first byte
    /// from the region's start. `None` for a view that is no buffer of this pool.
    #[must_use]
    pub fn locate(&self, view: &impl PooledView) -> Option<(usize, usize)> {
        let (slot, address) = sealed::Sealed::place(view)?;
        // SAFETY: the view has the slot, whose fields do not change meanwhile (I2 of `Slot`).
        let slot = unsafe { slot.as_ref() };
        if slot.core.as_ptr().addr() != Arc::as_ptr(self.counted_core()).addr() {
            return None;
        }
        // SAFETY: the slot holds its region.
        let region = unsafe { slot.region.as_ref() };
        Some((region.number(), address - region.base().addr().get()))
    }
}
