//! The address space of the guarded blocks, and what is known of its slots.

use core::mem::ManuallyDrop;
use core::ops::Range;
use core::ptr::{self, NonNull};

use drystone_backing::{GuardedMmapBacked, MmapBacked, MmapFlags, at_fork, page_size};
use drystone_core::{FixedRange as _, OsBacked as _, OsError, Protection};
use drystone_sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use super::limit;
use super::plan::{LEVELS, Place, Plan, SHARE_BYTES_MAX, SHARE_BYTES_MIN};
use super::queue::Queue;
use crate::heap::locked::Locked;

/// Made once, and never unmade.
pub(super) struct Region {
    pages: MmapBacked,
    /// Words of records, then the rings of the queues.
    records: GuardedMmapBacked,
    pub(super) plan: Plan,
    queues: [Locked<Queue>; LEVELS],
    /// How many blocks may be guarded at a time.
    pub(super) live_max: usize,
}

static REGION: AtomicPtr<Region> = AtomicPtr::new(ptr::null_mut());

/// The system had no address space.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// The region, if there is one already.
pub(super) fn known() -> Option<&'static Region> {
    let region = NonNull::new(REGION.load(Ordering::Acquire))?;
    // SAFETY: it was written before its address was published, and stays.
    Some(unsafe { region.as_ref() })
}

/// The region, made when it is asked for first. `None` if the system has no address space for it.
pub(super) fn get() -> Option<&'static Region> {
    known().or_else(make)
}

#[cold]
fn make() -> Option<&'static Region> {
    if REFUSED.load(Ordering::Relaxed) {
        return None;
    }
    let Some(made) = Region::reserve().and_then(Region::publish) else {
        REFUSED.store(true, Ordering::Relaxed);
        return None;
    };
    static AT_FORK: AtomicBool = AtomicBool::new(false);
    if !AT_FORK.swap(true, Ordering::Relaxed) {
        // Without memory for it a child of a process with threads may wait for ever: as the arena's.
        let _ = at_fork(before_fork, after_fork, in_child);
    }
    Some(made)
}

extern "C" fn before_fork() {
    for queue in known().into_iter().flat_map(|region| &region.queues) {
        queue.hold();
    }
}

extern "C" fn after_fork() {
    for queue in known().into_iter().flat_map(|region| &region.queues) {
        // SAFETY: the system calls the two in turn.
        unsafe { queue.release() };
    }
}

extern "C" fn in_child() {
    super::forked();
    after_fork();
}

impl Region {
    /// As much address space as there is, up to the most that is of use.
    fn reserve() -> Option<Self> {
        let mut share = SHARE_BYTES_MAX;
        while share >= SHARE_BYTES_MIN {
            let plan = Plan::new(share, page_size());
            if plan.region_bytes() <= limit::address_bytes() / 16 {
                if let Some(region) = Self::with_plan(plan) {
                    return Some(region);
                }
            }
            share /= 2;
        }
        None
    }

    fn with_plan(plan: Plan) -> Option<Self> {
        let flags = MmapFlags::new().no_reserve();
        let pages = MmapBacked::with_flags(plan.region_bytes(), flags).ok()?;
        // One touched page before the region is cut gives all its parts the same bookkeeping in Linux,
        // without which neighbours of equal access do not become one mapping again.
        // SAFETY: the first byte of a mapping that nobody else has.
        unsafe { pages.base().write_volatile(0) };
        // SAFETY: nobody has an address of it.
        unsafe { pages.protect(0, pages.size(), Protection::None) }.ok()?;
        let words = plan.slots() * size_of::<u64>();
        let records = GuardedMmapBacked::new(words + plan.slots() * size_of::<u32>()).ok()?;
        // SAFETY: inside the mapping.
        let rings = unsafe { records.base().add(words) }.cast::<AtomicU32>();
        let queues = core::array::from_fn(|level| {
            let place = Place { level, slot: 0 };
            // SAFETY: inside the mapping: there is a word for each slot.
            let ring = unsafe { rings.add(plan.number(place)) };
            // SAFETY: the level's words, which stay as long as the region: for ever, once published.
            Locked::new(unsafe { Queue::new(ring, plan.slots_of(level)) })
        });
        Some(Self {
            pages,
            records,
            plan,
            queues,
            live_max: limit::guarded_blocks(),
        })
    }

    /// Makes the region the process's, unless another thread was first.
    fn publish(self) -> Option<&'static Self> {
        let place = MmapBacked::new(size_of::<Self>()).ok()?;
        let region = place.base().cast::<Self>();
        // SAFETY: a mapping of that size, aligned to a page, that nobody else has.
        unsafe { region.write(self) };
        let null = ptr::null_mut();
        let set =
            REGION.compare_exchange(null, region.as_ptr(), Ordering::Release, Ordering::Acquire);
        if set.is_ok() {
            let _stays = ManuallyDrop::new(place);
        } else {
            // SAFETY: written above, and not used again.
            unsafe { region.drop_in_place() };
        }
        known()
    }

    pub(super) fn base(&self) -> NonNull<u8> {
        self.pages.base()
    }

    /// Where the address is in the region.
    pub(super) fn offset_of(&self, address: usize) -> Option<usize> {
        let offset = address.checked_sub(self.base().addr().get())?;
        (offset < self.pages.size()).then_some(offset)
    }

    /// The word that is known of a slot.
    pub(super) fn record(&self, place: Place) -> &AtomicU64 {
        let words = self.records.base().cast::<AtomicU64>();
        // SAFETY: there is a word for each slot.
        let word = unsafe { words.add(self.plan.number(place)) };
        // SAFETY: as above; shared access is all there is.
        unsafe { word.as_ref() }
    }

    pub(super) fn take(&self, level: usize) -> Option<Place> {
        let slot = self.queues[level].with(Queue::take)?;
        Some(Place { level, slot })
    }

    pub(super) fn give(&self, place: Place) {
        self.queues[place.level].with(|queue| queue.give(place.slot));
    }

    /// The freed slots that wait, without those of levels that are in use.
    pub(super) fn waiting(&self) -> usize {
        let waiting = |queue: &Locked<Queue>| queue.with_if_free(|queue| queue.len());
        self.queues.iter().filter_map(waiting).sum()
    }

    /// Bytes of the region.
    pub(super) fn part(&self, range: Range<usize>) -> NonNull<[u8]> {
        debug_assert!(range.end <= self.pages.size());
        // SAFETY: inside the region.
        let start = unsafe { self.base().add(range.start) };
        NonNull::slice_from_raw_parts(start, range.len())
    }

    /// Makes pages of a slot accessible: they are zero.
    pub(super) fn open(&self, pages: &Range<usize>) -> Result<(), OsError> {
        // SAFETY: allowing access forbids nothing.
        unsafe {
            self.pages
                .protect(pages.start, pages.len(), Protection::ReadWrite)
        }
    }

    /// Takes access to pages of a slot away, and their memory.
    ///
    /// # Errors
    ///
    /// [`OsError`]: the system refuses one of the two.
    ///
    /// # Safety
    ///
    /// Nobody has the slot's block any more.
    pub(super) unsafe fn close(&self, pages: &Range<usize>) -> Result<(), OsError> {
        // SAFETY: the caller's promise.
        unsafe {
            self.pages
                .protect(pages.start, pages.len(), Protection::None)
        }?;
        // SAFETY: as above.
        unsafe { self.pages.release(pages.start, pages.len()) }
    }
}
