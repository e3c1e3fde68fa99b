//! [`Core`]: what the handles of a pool, its threads and its slots share.
//!
//! # What
//!
//! The classes, the regions, the budget, who waits, and the list of the threads' caches. What is
//! done with them is in the modules named after it: [`obtain`](crate::obtain),
//! [`give_back`](crate::give_back), [`starving`](crate::starving), [`hand_over`](crate::hand_over),
//! [`trim`](crate::trim), [`fallback`](crate::fallback).
//!
//! # Memory picture
//!
//! ```text
//!  read only       [ table: order -> class | sizes ] [ spot | flags of 64 classes ]
//!  classes         [ shape | shared list | growth | counts ] x classes
//!  rare            budget, regions, waiters, list of caches
//! ```
//!
//! # Invariants
//!
//! - C1: the core lives as long as a counted reference: one for each handle, for each thread that has
//!   caches of the pool, for each region and for each untracked buffer.
//! - C2: `handles` is the number of handles; when it falls to 0 the pool is closed, once.
//!
//! # Threads
//!
//! Any. Locks are taken one at a time, except that of a class's growth while the table of regions is
//! locked; none is held while user code runs.
//!
//! # Cost
//!
//! Some 2 KiB, and about 1 KiB for each class, beside the entries of the shared lists.

use core::ptr::NonNull;
use std::sync::{Arc, Weak};

use drystone_core::AllocError;
use drystone_sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::asymmetric::Protocol;
use crate::budget::Budget;
use crate::cache_list::CacheList;
use crate::chain::Chain;
use crate::class::{Class, count};
use crate::class_table::ClassTable;
use crate::flags::{CLOSED, Flags};
use crate::growth::Refusal;
use crate::leak_report::Notes;
use crate::local::{self, Place, Spot};
use crate::origin::Origins;
use crate::region::{Region, RegionPlan};
use crate::regions::Regions;
use crate::slot::{self, Slot};
use crate::source::Source;
use crate::waiters::Waiters;
use crate::{BufferPoolConfig, ConfigError, ReturnPolicy};

/// What the parts of a pool share.
#[derive(Debug)]
pub(crate) struct Core {
    /// What the hit path asks: `classes_by_size`, or nothing where every allocation is noted.
    pub(crate) table: ClassTable,
    pub(crate) classes_by_size: ClassTable,
    /// Where threads look their caches up: that of `place`.
    pub(crate) spot: Spot,
    /// Kept from other pools while this one lives.
    _place: Place,
    pub(crate) flags: Flags,
    pub(crate) classes: Box<[Class]>,
    pub(crate) protocol: Protocol,
    pub(crate) config: BufferPoolConfig,
    pub(crate) budget: Budget,
    pub(crate) source: Box<dyn Source>,
    pub(crate) regions: Regions,
    pub(crate) caches: CacheList,
    pub(crate) waiters: Waiters,
    /// The ways of slots back to the threads that they came from.
    pub(crate) origins: Origins,
    /// Who has which slot, where that is noted.
    pub(crate) notes: Option<Notes>,
    /// A bit for each class whose shared list may have slots that a pressed class can use.
    pub(crate) idle: AtomicU64,
    pub(crate) counts: CoreCounts,
    handles: AtomicUsize,
    /// For counted references of whoever has only a borrowed one.
    this: Weak<Self>,
}

/// What has happened, of no class.
#[derive(Debug, Default)]
pub(crate) struct CoreCounts {
    pub(crate) untracked: AtomicU64,
    pub(crate) untracked_bytes: AtomicU64,
    pub(crate) source_failures: AtomicU64,
    pub(crate) advice_refused: AtomicU64,
}

impl Core {
    /// The core of a pool with one handle.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the configuration is not valid or there is no memory for the lists.
    pub(crate) fn new(
        config: BufferPoolConfig,
        source: Box<dyn Source>,
    ) -> Result<Arc<Self>, ConfigError> {
        config.validate()?;
        let shapes = config.shapes();
        let stripes = config.parallelism();
        let classes: Option<Box<[Class]>> = shapes
            .iter()
            .map(|shape| Class::new(*shape, stripes))
            .collect();
        let classes = classes.ok_or(ConfigError::OutOfMemory {
            field: "max_per_class",
            value: shapes.iter().map(|shape| shape.limit as usize * 16).sum(),
        })?;
        let place = Place::take();
        let by_size = ClassTable::new(&shapes, config.pool_min_size());
        let notes = Notes::new(config.leak_report_every());
        let returns_home = config.return_policy() == ReturnPolicy::Origin;
        Ok(Arc::new_cyclic(|this| Self {
            table: if notes.is_some() {
                by_size.clone().closed()
            } else {
                by_size.clone()
            },
            classes_by_size: by_size,
            notes,
            origins: Origins::new(classes.len(), returns_home),
            spot: place.spot(),
            _place: place,
            flags: Flags::new(),
            protocol: Protocol::of_process(),
            budget: Budget::new(config.budget_bytes()),
            source,
            regions: Regions::new(),
            caches: CacheList::new(),
            waiters: Waiters::new(classes.len()),
            idle: AtomicU64::new(0),
            counts: CoreCounts::default(),
            handles: AtomicUsize::new(1),
            classes,
            config,
            this: this.clone(),
        }))
    }

    /// The address by which threads know the pool.
    #[inline]
    pub(crate) fn key(&self) -> NonNull<()> {
        NonNull::from(self).cast()
    }

    /// A counted reference to a core that lives.
    ///
    /// # Safety
    ///
    /// The core lives during the call, and `core` came from [`Arc::into_raw`] or [`Arc::as_ptr`].
    pub(crate) unsafe fn counted(core: NonNull<Self>) -> Arc<Self> {
        // SAFETY: the caller's promise.
        unsafe { Arc::increment_strong_count(core.as_ptr()) };
        // SAFETY: the reference just counted.
        unsafe { Arc::from_raw(core.as_ptr()) }
    }

    /// Counts one more handle.
    pub(crate) fn add_handle(&self) {
        // Relaxed: whoever adds has one.
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    /// Drops a handle. The last one closes the pool.
    pub(crate) fn drop_handle(&self) {
        // AcqRel: the Release half pairs with the Acquire half of the last drop, so that all that was
        // done through other handles happens before the close.
        if self.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close();
        }
    }

    /// Whether the last handle is gone.
    pub(crate) fn has_closed(&self) -> bool {
        self.flags.has(0, CLOSED)
    }

    /// Gives everything back that is free; what is out gives itself back later (C1).
    fn close(&self) {
        self.flags.set_all(self.classes.len(), CLOSED);
        // A refused barrier leaves what threads have in their caches until they end.
        let _ = self.protocol.heavy();
        self.gather();
        local::sweep_closed();
    }

    /// A chain of slots made now: up to `wanted`, empty if none can be made.
    pub(crate) fn make(&self, class: usize, wanted: u32) -> Chain<Slot> {
        let own = &self.classes[class];
        let mut chain = Chain::new();
        loop {
            if own.is_full() || !self.budget.has_room(own.shape.stride) {
                return chain;
            }
            let made = own.grow(|growth| {
                growth.make(&own.shape, &self.budget, wanted, |slot| {
                    // SAFETY: just made, and given to this thread.
                    unsafe { chain.push(slot) };
                })
            });
            match made {
                Ok(_) => return chain,
                Err(Refusal::Region(slots)) => {
                    if !self.add_region(class, slots) {
                        return chain;
                    }
                }
                Err(Refusal::Limit | Refusal::Budget) => return chain,
            }
        }
    }

    /// Takes a region of `slots` slots from the source, or of fewer if it refuses; says whether there
    /// is one.
    fn add_region(&self, class: usize, slots: u32) -> bool {
        let mut slots = slots;
        while slots > 0 {
            if self.add_region_of(class, slots).is_ok() {
                return true;
            }
            count(&self.counts.source_failures);
            slots /= 2;
        }
        false
    }

    fn add_region_of(&self, class: usize, slots: u32) -> Result<(), AllocError> {
        let own = &self.classes[class];
        // The region's own reference (C1); `destroy_region` drops it.
        let counted = self.counted_here().ok_or(AllocError)?;
        let plan = RegionPlan {
            core: non_null(&counted),
            class: u8::try_from(class).unwrap_or(u8::MAX),
            care: self.care(),
            spot: self.spot,
            shape: own.shape,
            slots,
        };
        let (region, advised) = self.source.region(plan)?;
        if advised.is_err() {
            count(&self.counts.advice_refused);
        }
        // SAFETY: new.
        if let Err(no_memory) = unsafe { self.regions.insert(region) } {
            // SAFETY: new, so it holds nothing and nobody knows it.
            unsafe { Region::destroy(region) };
            return Err(no_memory);
        }
        let _ = Arc::into_raw(counted);
        // SAFETY: made for this class, without slots.
        own.grow(|growth| unsafe { growth.add(region) });
        Ok(())
    }

    /// What slots of this pool need when they come back.
    fn care(&self) -> u8 {
        let zero = if self.config.zero_on_free() {
            slot::CARE_ZERO
        } else {
            0
        };
        let origin = match self.config.return_policy() {
            ReturnPolicy::Returner => 0,
            ReturnPolicy::Origin => slot::CARE_ORIGIN,
        };
        zero | origin
    }

    /// Takes a free slot out of use: its bytes leave the budget, and its region goes if it was the
    /// last.
    ///
    /// # Safety
    ///
    /// The caller has the slot, of this class, and gives it up; and it has a reference to the core
    /// that is not the slot's.
    pub(crate) unsafe fn retire(&self, class: usize, slot: NonNull<Slot>) {
        let own = &self.classes[class];
        // SAFETY: given up by the caller.
        let unused = own.grow(|growth| unsafe { growth.retire(slot, &own.shape, &self.budget) });
        if let Some(region) = unused {
            // SAFETY: taken off the class's list, holding nothing; the caller has a reference.
            unsafe { self.destroy_region(region) };
        }
    }

    /// Ends a region that holds nothing.
    ///
    /// # Safety
    ///
    /// The region is this thread's, and still in the table. The caller has a reference to the core
    /// that is not the region's.
    pub(crate) unsafe fn destroy_region(&self, region: NonNull<Region>) {
        // SAFETY: in the table.
        unsafe { self.regions.remove(region) };
        // SAFETY: in the table until now.
        let head = unsafe { region.as_ref() };
        let (core, own) = (head.core(), &self.classes[head.class()]);
        own.shared
            .forget(|slot| head.has_slot(slot), 0..own.indices());
        // SAFETY: nothing points at it any more.
        unsafe { Region::destroy(region) };
        // SAFETY: the reference that was counted when the region was added.
        drop(unsafe { Arc::from_raw(core.as_ptr()) });
    }

    /// A counted reference; `None` while the core is being dropped.
    pub(crate) fn counted_here(&self) -> Option<Arc<Self>> {
        self.this.upgrade()
    }
}

/// The address of what is counted, good for [`Core::counted`].
pub(crate) fn non_null(core: &Arc<Core>) -> NonNull<Core> {
    let core = Arc::as_ptr(core).cast_mut();
    // SAFETY: a counted reference points to something.
    unsafe { NonNull::new_unchecked(core) }
}
