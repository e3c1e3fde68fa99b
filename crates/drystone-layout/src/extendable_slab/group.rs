//! [`Group`]: the bookkeeping of as many slots as a word has bits, and [`Pending`], the list of
//! groups that other threads freed into.
//!
//! A slot is in exactly one of: the application, `free`, `remote`, or the word that a thread has
//! taken out of `free` to allocate from ([`Local::word`](super::shard::Local)).

use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::{self, NonNull};

use drystone_sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use drystone_sync::cell::UnsafeCell;

use super::segment::{Segment, SegmentRef};

/// A word of slots, one bit each.
#[repr(C)]
pub(super) struct Group {
    /// The slots that are free and that the owner may hand out. Only the owner writes it.
    free: AtomicUsize,
    /// The slots that other threads freed and the owner has not collected.
    remote: AtomicUsize,
    /// The next group on a pending list. Belongs to the thread that put the first bit into
    /// `remote` until the group is on the list, and then to the thread that takes the list.
    pending_next: UnsafeCell<*mut Group>,
    /// The next group on the segment's list of groups with free slots. The owner's.
    free_next: UnsafeCell<u32>,
    /// The number of the group in its segment.
    index: u32,
}

/// A group that lives as long as the slab that is borrowed for `'a`.
///
/// Reaches the group through a pointer that may also reach the segment around it.
#[derive(Clone, Copy)]
pub(super) struct GroupRef<'a> {
    // I1: points to a group inside a descriptor that outlives `'a`, with provenance for all of it.
    ptr: NonNull<Group>,
    slab: PhantomData<&'a Group>,
}

impl Deref for GroupRef<'_> {
    type Target = Group;

    #[inline]
    fn deref(&self) -> &Group {
        // SAFETY: by I1 the group lives, and it is only ever shared.
        unsafe { self.ptr.as_ref() }
    }
}

impl PartialEq for GroupRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.ptr == other.ptr
    }
}

impl<'a> GroupRef<'a> {
    /// The group at `ptr`.
    ///
    /// # Safety
    ///
    /// The group is part of a descriptor that outlives `'a`, and `ptr` has provenance for all of
    /// the descriptor.
    #[inline]
    pub(super) unsafe fn from_raw(ptr: NonNull<Group>) -> Self {
        Self {
            ptr,
            slab: PhantomData,
        }
    }

    /// The pointer that [`from_raw`](Self::from_raw) takes.
    #[inline]
    pub(super) fn as_raw(self) -> NonNull<Group> {
        self.ptr
    }

    /// The segment that the group is part of.
    #[inline]
    pub(super) fn segment(self) -> SegmentRef<'a> {
        // SAFETY: the groups before this one are in the same descriptor.
        let first = unsafe { self.ptr.sub(self.index as usize) };
        // SAFETY: the segment lies right before its first group, in the same descriptor.
        let segment = unsafe { first.cast::<Segment>().sub(1) };
        // SAFETY: by I1 the descriptor outlives `'a`, and the pointer reaches all of it.
        unsafe { SegmentRef::from_raw(segment) }
    }
}

impl Group {
    /// The bookkeeping of the group number `index`, of which no slot is free yet.
    pub(super) fn new(index: u32) -> Self {
        Self {
            free: AtomicUsize::new(0),
            remote: AtomicUsize::new(0),
            pending_next: UnsafeCell::new(ptr::null_mut()),
            free_next: UnsafeCell::new(0),
            index,
        }
    }

    /// The number of the group in its segment.
    #[inline]
    pub(super) fn index(&self) -> u32 {
        self.index
    }

    /// The slots that are free and with the owner.
    #[inline]
    pub(super) fn free(&self) -> usize {
        // Relaxed: the owner reads what it wrote; others only examine.
        self.free.load(Ordering::Relaxed)
    }

    /// Says which slots are free and with the owner. Called by the owner only.
    #[inline]
    pub(super) fn set_free(&self, slots: usize) {
        // Relaxed: the next owner is ordered by the slot registry, the growth lock or the shared
        // state's lock.
        self.free.store(slots, Ordering::Relaxed);
    }

    /// The slots that other threads freed and the owner has not collected.
    #[inline]
    pub(super) fn remote(&self) -> usize {
        // Relaxed: for examining only; the owner collects with `take_remote`.
        self.remote.load(Ordering::Relaxed)
    }

    /// The slots that are free, but for those in a word.
    #[inline]
    pub(super) fn free_anywhere(&self) -> usize {
        self.free() | self.remote()
    }

    /// Adds slots that another thread than the owner gives up; returns what was there before.
    /// Whoever is told 0 puts the group on the owner's pending list.
    #[inline]
    pub(super) fn give_remote(&self, slots: usize) -> usize {
        // Release: pairs with the Acquire in `take_remote`, so that the last use of a slot happens
        // before it is handed out again. Acquire: pairs with the Release there, so that the owner
        // has read the group's link before whoever finds 0 here writes it.
        self.remote.fetch_or(slots, Ordering::AcqRel)
    }

    /// Collects the slots that others freed. Only for a group that has just been taken off a
    /// pending list: that it was there proves that nobody is about to put it there.
    #[inline]
    pub(super) fn take_remote(&self) -> usize {
        // Acquire and Release: pair with those in `give_remote`; with every one of them, since
        // each is a read-modify-write.
        self.remote.swap(0, Ordering::AcqRel)
    }

    /// Makes no slot free: the group is not open. For whoever is alone with the segment's slots.
    pub(super) fn clear(&self) {
        // Relaxed: the next owner is ordered by the growth lock.
        self.free.store(0, Ordering::Relaxed);
        self.remote.store(0, Ordering::Relaxed);
    }

    /// The group after this one on the segment's list of groups with free slots.
    ///
    /// # Safety
    ///
    /// The calling thread owns the segment.
    #[inline]
    pub(super) unsafe fn free_next(&self) -> u32 {
        self.free_next.with(|next| {
            // SAFETY: the owner alone reaches the cell, and the pointer is the cell's.
            unsafe { *next }
        })
    }

    /// Says which group comes after this one.
    ///
    /// # Safety
    ///
    /// As [`free_next`](Self::free_next).
    #[inline]
    pub(super) unsafe fn set_free_next(&self, index: u32) {
        self.free_next.with_mut(|next| {
            // SAFETY: the owner alone reaches the cell, and the pointer is the cell's.
            unsafe { *next = index };
        });
    }
}

/// Groups with slots that other threads freed. Any thread adds, the owner takes all.
pub(super) struct Pending {
    head: AtomicPtr<Group>,
}

impl Pending {
    /// An empty list.
    pub(super) fn new() -> Self {
        Self {
            head: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Whether there is nothing on the list.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        // Relaxed: only says whether taking is worth it.
        self.head.load(Ordering::Relaxed).is_null()
    }

    /// Adds a group. For the thread that put the first bit into its `remote` only.
    pub(super) fn push(&self, group: GroupRef<'_>) {
        // Mostly the list is empty. What is found instead is compared and stored, not followed.
        let mut head = ptr::null_mut();
        loop {
            group.pending_next.with_mut(|next| {
                // SAFETY: the link belongs to this thread until the group is on the list.
                unsafe { *next = head };
            });
            // Release: pairs with the Acquire in `take_all`, for the link.
            match self.head.compare_exchange_weak(
                head,
                group.as_raw().as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes every group off the list.
    ///
    /// # Safety
    ///
    /// The groups pushed outlive `'a`.
    #[inline]
    pub(super) unsafe fn take_all<'a>(&self) -> Taken<'a> {
        if self.is_empty() {
            return Taken {
                next: ptr::null_mut(),
                slab: PhantomData,
            };
        }
        Taken {
            // Acquire: pairs with the Release in `push`; every push is a read-modify-write, so
            // this one sees the links of all.
            next: self.head.swap(ptr::null_mut(), Ordering::Acquire),
            slab: PhantomData,
        }
    }
}

/// Groups taken off a pending list. Those not yet visited stay unlisted for good, so it is always
/// run to its end.
pub(super) struct Taken<'a> {
    next: *mut Group,
    slab: PhantomData<&'a Group>,
}

impl<'a> Iterator for Taken<'a> {
    type Item = GroupRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<GroupRef<'a>> {
        let group = NonNull::new(self.next)?;
        // SAFETY: what is on a pending list is a group of a descriptor that outlives `'a`.
        let group = unsafe { GroupRef::from_raw(group) };
        // The link is read before the caller collects the slots: from then on another thread may
        // put the group on the list again and write it.
        self.next = group.pending_next.with(|next| {
            // SAFETY: the link belongs to the thread that took the list.
            unsafe { *next }
        });
        Some(group)
    }
}
