//! [`Segment`]: what is known of a segment, in a descriptor that lives as long as the slab.
//!
//! ```text
//!  descriptor
//! +---------+--------+--------+-----+-------------+------------------+
//! | Segment | Group  | Group  | ... | Cold<R, M>  | epochs, if any   |
//! +---------+--------+--------+-----+-------------+------------------+
//!      │
//!      └ base ──> the segment: slots and nothing else
//! ```
//!
//! A descriptor whose segment was given back is used for the next one. Other threads may read the
//! atomic fields of any descriptor at any time; the cells belong to the owner.

use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::{self, NonNull};

use drystone_sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use drystone_sync::cell::UnsafeCell;

use super::group::{Group, GroupRef};

/// No group.
pub(super) const NO_GROUP: u32 = u32::MAX;

/// The owner of a segment whose slots are all free and that no thread has.
pub(super) const OWNER_POOL: u32 = u32::MAX;

/// The part of a descriptor that does not depend on types; its groups follow it.
#[repr(C, align(64))]
pub(super) struct Segment {
    /// The first slot; null while the descriptor has no segment.
    base: AtomicPtr<u8>,
    /// The state that owns the segment. Changes only while every slot is free.
    owner: AtomicU32,
    /// How many groups have been opened, from the first on. Only the owner writes it.
    opened: AtomicU32,
    links: UnsafeCell<Links>,
    /// The descriptor made before this one. Written once, before others know this one.
    older: UnsafeCell<Option<NonNull<Segment>>>,
}

/// The owner's part.
#[derive(Clone, Copy)]
pub(super) struct Links {
    /// The list of groups with free slots, by their numbers, the last freed first.
    pub(super) free_groups: u32,
    /// How many groups have all their slots free.
    pub(super) full_groups: u32,
    /// Whether the segment is on a list.
    pub(super) listed: bool,
    pub(super) next: Option<NonNull<Segment>>,
    pub(super) previous: Option<NonNull<Segment>>,
}

impl Links {
    /// No group is open, and the segment is on no list.
    const NEW: Self = Self {
        free_groups: NO_GROUP,
        full_groups: 0,
        listed: false,
        next: None,
        previous: None,
    };
}

/// A descriptor that lives as long as the slab that is borrowed for `'a`.
#[derive(Clone, Copy)]
pub(super) struct SegmentRef<'a> {
    // I1: points to a descriptor that outlives `'a`, with provenance for all of it.
    ptr: NonNull<Segment>,
    slab: PhantomData<&'a Segment>,
}

impl Deref for SegmentRef<'_> {
    type Target = Segment;

    #[inline]
    fn deref(&self) -> &Segment {
        // SAFETY: by I1 the descriptor lives, and it is only ever shared.
        unsafe { self.ptr.as_ref() }
    }
}

impl PartialEq for SegmentRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.ptr == other.ptr
    }
}

impl<'a> SegmentRef<'a> {
    /// The descriptor at `ptr`.
    ///
    /// # Safety
    ///
    /// The descriptor outlives `'a`, and `ptr` has provenance for all of it.
    #[inline]
    pub(super) unsafe fn from_raw(ptr: NonNull<Segment>) -> Self {
        Self {
            ptr,
            slab: PhantomData,
        }
    }

    /// The pointer that [`from_raw`](Self::from_raw) takes.
    #[inline]
    pub(super) fn as_raw(self) -> NonNull<Segment> {
        self.ptr
    }

    /// A pointer to where the group number `index` is or will be.
    #[inline]
    pub(super) fn group_ptr(self, index: u32) -> NonNull<Group> {
        // SAFETY: the groups follow the segment in its descriptor.
        let first = unsafe { self.ptr.add(1) }.cast::<Group>();
        // SAFETY: the callers name groups of the segment, which lie one after the other.
        unsafe { first.add(index as usize) }
    }

    /// The group number `index`, which is below the number of groups.
    #[inline]
    pub(super) fn group(self, index: u32) -> GroupRef<'a> {
        // SAFETY: every group of a descriptor is initialised when the descriptor is made, and by
        // I1 lives as long.
        unsafe { GroupRef::from_raw(self.group_ptr(index)) }
    }

    /// The descriptor made before this one.
    pub(super) fn older(self) -> Option<SegmentRef<'a>> {
        let older = self.older.with(|older| {
            // SAFETY: the cell was written before any other thread knew the descriptor.
            unsafe { *older }
        })?;
        // SAFETY: descriptors live as long as the slab.
        Some(unsafe { SegmentRef::from_raw(older) })
    }

    /// Says which descriptor was made before this one.
    ///
    /// # Safety
    ///
    /// No other thread knows the descriptor yet.
    pub(super) unsafe fn set_older(self, older: Option<SegmentRef<'a>>) {
        self.older.with_mut(|cell| {
            // SAFETY: the caller is alone with the descriptor.
            unsafe { *cell = older.map(Self::as_raw) };
        });
    }
}

impl Segment {
    /// A descriptor without a segment.
    pub(super) fn new() -> Self {
        Self {
            base: AtomicPtr::new(ptr::null_mut()),
            owner: AtomicU32::new(OWNER_POOL),
            opened: AtomicU32::new(0),
            links: UnsafeCell::new(Links::NEW),
            older: UnsafeCell::new(None),
        }
    }

    /// The first slot, or null.
    ///
    /// Relaxed: whoever rightly frees a slot of the segment is ordered after the mapping of it, by
    /// way of the allocation; for everybody else the answer is only compared.
    #[inline]
    pub(super) fn base(&self) -> *mut u8 {
        self.base.load(Ordering::Relaxed)
    }

    /// Where the slots are from now on.
    pub(super) fn set_base(&self, base: *mut u8) {
        self.base.store(base, Ordering::Relaxed);
    }

    /// The state that owns the segment. Relaxed for the reason of [`base`](Self::base).
    #[inline]
    pub(super) fn owner(&self) -> u32 {
        self.owner.load(Ordering::Relaxed)
    }

    /// Gives the segment, all of whose slots are free, to another state.
    pub(super) fn set_owner(&self, owner: u32) {
        self.owner.store(owner, Ordering::Relaxed);
    }

    /// How many groups have been opened.
    #[inline]
    pub(super) fn opened(&self) -> u32 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Says how many groups are open. Called by the owner only.
    #[inline]
    pub(super) fn set_opened(&self, groups: u32) {
        self.opened.store(groups, Ordering::Relaxed);
    }

    /// Reads or changes the owner's part.
    ///
    /// # Safety
    ///
    /// The calling thread owns the segment: it holds the state that `owner` names, or the growth
    /// lock while that is [`OWNER_POOL`]. `f` reaches no other descriptor's part through this
    /// method in the meantime.
    #[inline]
    pub(super) unsafe fn links<R>(&self, f: impl FnOnce(&mut Links) -> R) -> R {
        self.links.with_mut(|links| {
            // SAFETY: the owner alone reaches the cell, and `f` does not reach it again.
            f(unsafe { &mut *links })
        })
    }

    /// Forgets everything about the slots.
    ///
    /// # Safety
    ///
    /// As [`links`](Self::links); the segment is on no list.
    pub(super) unsafe fn close_all(&self) {
        self.set_opened(0);
        // SAFETY: the caller owns the segment.
        unsafe { self.links(|links| *links = Links::NEW) };
    }
}

/// Segments of one owner, linked through their descriptors.
#[derive(Clone, Copy)]
pub(super) struct SegmentList {
    head: Option<NonNull<Segment>>,
}

impl SegmentList {
    /// An empty list.
    pub(super) const fn new() -> Self {
        Self { head: None }
    }

    /// The segment added last.
    ///
    /// # Safety
    ///
    /// The segments on the list outlive `'a`.
    #[inline]
    pub(super) unsafe fn first<'a>(&self) -> Option<SegmentRef<'a>> {
        // SAFETY: the caller's promise; what is on the list came from a `SegmentRef`.
        self.head.map(|head| unsafe { SegmentRef::from_raw(head) })
    }

    /// Adds a segment in front.
    ///
    /// # Safety
    ///
    /// The calling thread owns `segment` and every segment on the list, and `segment` is on none.
    pub(super) unsafe fn push(&mut self, segment: SegmentRef<'_>) {
        let next = self.head;
        let link = |links: &mut Links| {
            debug_assert!(!links.listed);
            links.listed = true;
            links.next = next;
            links.previous = None;
        };
        // SAFETY: the caller owns the segment.
        unsafe { segment.links(link) };
        if let Some(next) = next {
            // SAFETY: the caller owns the segment, which is in use and so lives.
            unsafe { relink(next, |links| links.previous = Some(segment.as_raw())) };
        }
        self.head = Some(segment.as_raw());
    }

    /// Takes a segment off.
    ///
    /// # Safety
    ///
    /// The calling thread owns every segment on the list, and `segment` is on it.
    pub(super) unsafe fn remove(&mut self, segment: SegmentRef<'_>) {
        let unlink = |links: &mut Links| {
            debug_assert!(links.listed);
            links.listed = false;
            (links.next, links.previous)
        };
        // SAFETY: the caller owns the segment.
        let (next, previous) = unsafe { segment.links(unlink) };
        match previous {
            // SAFETY: the caller owns the neighbour.
            Some(previous) => unsafe { relink(previous, |links| links.next = next) },
            None => self.head = next,
        }
        if let Some(next) = next {
            // SAFETY: the caller owns the neighbour.
            unsafe { relink(next, |links| links.previous = previous) };
        }
    }

    /// The segments from the one added last on.
    ///
    /// # Safety
    ///
    /// The calling thread owns every segment on the list and changes none of them meanwhile; they
    /// outlive `'a`.
    pub(super) unsafe fn iter<'a>(self) -> impl Iterator<Item = SegmentRef<'a>> {
        // SAFETY: the caller's promise.
        let first: Option<SegmentRef<'a>> = unsafe { self.first() };
        core::iter::successors(first, |segment| {
            // SAFETY: the caller owns the segment.
            let next = unsafe { segment.links(|links| links.next) };
            // SAFETY: what is on the list outlives `'a`.
            next.map(|next| unsafe { SegmentRef::from_raw(next) })
        })
    }
}

/// Segments of one owner, the last added first, that are taken in that order only. Adding and taking
/// touch no other segment than the one.
pub(super) struct SegmentStack {
    top: Option<NonNull<Segment>>,
}

impl SegmentStack {
    /// An empty stack.
    pub(super) const fn new() -> Self {
        Self { top: None }
    }

    /// Adds a segment.
    ///
    /// # Safety
    ///
    /// The calling thread owns `segment` and every segment on the stack, and `segment` is on no
    /// list.
    pub(super) unsafe fn push(&mut self, segment: SegmentRef<'_>) {
        let next = self.top.replace(segment.as_raw());
        // SAFETY: the caller owns the segment.
        unsafe { segment.links(|links| links.next = next) };
    }

    /// Takes the segment added last.
    ///
    /// # Safety
    ///
    /// The calling thread owns every segment on the stack; they outlive `'a`.
    pub(super) unsafe fn pop<'a>(&mut self) -> Option<SegmentRef<'a>> {
        // SAFETY: the caller's promise.
        let segment = unsafe { SegmentRef::from_raw(self.top?) };
        // SAFETY: the caller owns the segment.
        self.top = unsafe { segment.links(|links| links.next.take()) };
        Some(segment)
    }

    /// The segments from the one added last on.
    ///
    /// # Safety
    ///
    /// As [`pop`](Self::pop), and none is added or taken meanwhile.
    pub(super) unsafe fn iter<'a>(&self) -> impl Iterator<Item = SegmentRef<'a>> {
        let list = SegmentList { head: self.top };
        // SAFETY: the caller's promise.
        unsafe { list.iter() }
    }
}

/// Changes the owner's part of the descriptor at `segment`.
///
/// # Safety
///
/// As [`Segment::links`], and the descriptor lives.
unsafe fn relink(segment: NonNull<Segment>, f: impl FnOnce(&mut Links)) {
    // SAFETY: the caller says that the descriptor lives.
    let segment = unsafe { segment.as_ref() };
    // SAFETY: the caller owns the segment.
    unsafe { segment.links(f) };
}
