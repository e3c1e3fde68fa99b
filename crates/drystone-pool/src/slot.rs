//! [`Slot`]: the table entry of a pooled buffer.
//!
//! # What
//!
//! A buffer's record, and what brings it home: the pool's core, the class, the region. Slots lie in
//! a table that is made with their region, apart from the bytes.
//!
//! # Memory picture
//!
//! ```text
//!  0      8      16         24     32     40     48       56      57     58     59     60      64
//!  +------+------+----------+------+------+------+--------+-------+------+------+------+-------+
//!  | refs | base | capacity | kind | next | core | region | class | care | lane | spot | index |
//!  +------+------+----------+------+------+------+--------+-------+------+------+------+-------+
//!  `------------ Record ---------'
//! ```
//!
//! # Invariants
//!
//! - I1: a slot that was made is in exactly one place: with a view, in a thread's cache, in a shared
//!   list, on its way between two of them, or retired.
//! - I2: `record`'s base and capacity, `core`, `region`, `class` and `spot` never change while a slot exists;
//!   `refs` is 1 while no view has it.
//! - I3: `next`, `care`, `lane` and `index` belong to whoever has the slot; `index` differs from that of all
//!   other slots of the class that are not retired, and is below the class's limit.
//! - I4: the core lives while a slot is with a view.
//!
//! # Threads
//!
//! One thread has a slot at a time; the places that slots move through order the hand-over.
//!
//! # Cost
//!
//! 64 bytes for each slot. Giving one back reads its own line, and then what the cache needs.

use core::ptr::NonNull;

use crate::chain::Link;
use crate::core::Core;
use crate::local::Spot;
use crate::origin::LaneNumber;
use crate::record::{Kind, Record};
use crate::region::Region;

/// A slot's record, and what brings it home.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Slot {
    pub(crate) record: Record,
    /// The next slot of a chain of free ones; only who has the chain uses it.
    pub(crate) next: Option<NonNull<Slot>>,
    pub(crate) core: NonNull<Core>,
    pub(crate) region: NonNull<Region>,
    pub(crate) class: u8,
    /// What has to be done before the slot is free; 0 for most.
    pub(crate) care: u8,
    /// The lane of the thread that had the slot in its cache last; 0 for none.
    pub(crate) lane: LaneNumber,
    /// Where threads look their caches up, as in the core: a load less on the way there.
    pub(crate) spot: Spot,
    pub(crate) index: u32,
}

/// The bytes are set to zero when the slot comes back.
pub(crate) const CARE_ZERO: u8 = 1;
/// The slot goes to the thread that had it in its cache last.
pub(crate) const CARE_ORIGIN: u8 = 2;
/// The leak report has noted the slot.
pub(crate) const CARE_NOTED: u8 = 4;

#[cfg(not(loom))]
const _: () = assert!(size_of::<Slot>() == 64 || size_of::<usize>() < 8);

impl Slot {
    /// A slot of `region` that nobody has.
    pub(crate) fn new(
        base: NonNull<u8>,
        capacity: usize,
        core: NonNull<Core>,
        region: NonNull<Region>,
        class: u8,
        spot: Spot,
        care: u8,
    ) -> Self {
        Self {
            record: Record::new(base, capacity, Kind::Pooled),
            next: None,
            core,
            region,
            class,
            care,
            lane: 0,
            spot,
            index: 0,
        }
    }

    /// Gives the slot back to its pool.
    ///
    /// # Safety
    ///
    /// The last view of the slot gives it up: its count rests at 1, and all use of the bytes
    /// happened before.
    #[inline]
    pub(crate) unsafe fn release(slot: NonNull<Self>) {
        // SAFETY: the caller has the slot, so nobody else uses it.
        let Self {
            core,
            class,
            spot,
            care,
            ..
        } = *unsafe { slot.as_ref() };
        // SAFETY: the caller gives the slot up; all the rest is its own.
        unsafe { Core::take_back(core, slot, usize::from(class), spot, care) };
    }
}

// SAFETY: the index is written when the slot is made and stays until it is retired; it is unique
// and below the limit (I3), which is the capacity of the class's list. The link is a plain field.
unsafe impl Link for Slot {
    #[inline]
    unsafe fn index(slot: NonNull<Self>) -> u32 {
        // SAFETY: the caller has the slot.
        unsafe { slot.as_ref() }.index
    }

    #[inline]
    unsafe fn next(slot: NonNull<Self>) -> Option<NonNull<Self>> {
        // SAFETY: the caller has the slot.
        unsafe { slot.as_ref() }.next
    }

    #[inline]
    unsafe fn set_next(mut slot: NonNull<Self>, next: Option<NonNull<Self>>) {
        // SAFETY: the caller has the slot.
        unsafe { slot.as_mut() }.next = next;
    }
}
