//! [`Heap`]: what one thread allocates from and frees into.
//!
//! # What
//!
//! A heap has a bin of free blocks for each class, pages of blocks in segments of its own, and a
//! cache of blocks that it freed for other heaps. One thread uses a heap at a time; when the thread
//! ends, the heap waits with everything it has for the next thread.
//!
//! # Memory picture
//!
//! ```text
//!  bins     [class] -> [ block | block | ... ]       handed out from here, newest first
//!  queues   [class] -> page <-> page                 pages with blocks at home or room to cut
//!  open     segment <-> segment                      segments with free slices
//!  remote   chains of blocks of other heaps' pages
//!  pending  inbox -> inbox                           pages of this heap that others freed into
//! ```
//!
//! # Invariants
//!
//! - H1: only the thread that has the heap uses anything of it but `pending`.
//! - H2: a block is in exactly one of: the application, a bin, at home in its page, a remote cache, an
//!   inbox; or it is the array of a bin.
//! - H3: heaps are never unmapped while their arena lives: a heap lies in a segment that stays.
//!
//! # Threads
//!
//! See H1. Any thread puts inboxes on `pending`.

use core::cell::Cell;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use core::time::Duration;

use std::time::Instant;

use drystone_core::{CachePadded, SizeClass};

use crate::bin::{Bin, Bins, FirstSlots};
use crate::block_list::{self, Block, BlockList};
use crate::config::ArenaConfig;
use crate::core_state::Core;
use crate::geometry::{SEGMENT_BYTES, SLICE_BYTES, block_bytes, page_slices, segment_address};
use crate::inbox::{Blocks, Inbox, Pending};
use crate::level::Level;
use crate::orphans::Orphan;
use crate::page::Page;
use crate::page_use::Use;
use crate::per_class::PerClass;
use crate::published::PublishedUsize;
use crate::remote_cache::{Chain, Freed, RemoteCache};
use crate::segment::Segment;

mod hardened;
mod home;
mod refill;

/// The clock is read once in so many slow paths.
const TICKS: u32 = 64;

/// Everything that one thread allocates from.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Heap {
    bins: Bins,
    queues: PerClass<Cell<*const Page>>,
    /// A bin was too full since its last refill.
    flushed: PerClass<Cell<bool>>,
    first_slots: FirstSlots,
    /// The longer arrays of bins: how many, and their bytes.
    array_blocks: PublishedUsize,
    array_bytes: PublishedUsize,
    open: Cell<*const Segment>,
    /// A segment of this heap of which nothing is in use.
    spare: Cell<*const Segment>,
    remote: RemoteCache,
    core: Cell<*const Core>,
    /// What a refill cuts from a page at once, in bytes; at least one block.
    carve_bytes: Cell<usize>,
    /// What a bin may come to hold, in bytes.
    cache_bytes: Cell<usize>,
    /// Slow paths since the clock was read.
    ticks: Cell<u32>,
    /// When the free slices were looked through last; set when the heap begins.
    purged_at: Cell<MaybeUninit<Instant>>,
    next_orphan: Cell<*const Heap>,
    /// The next of all heaps of the arena. Under the lock of the core.
    pub(crate) next_heap: Cell<*const Heap>,
    /// What other threads write.
    pending: CachePadded<Pending>,
}

/// The heap of a thread that has none: every bin is empty, and no segment is its own.
#[repr(transparent)]
pub(crate) struct NoHeap(Heap);

// SAFETY: nothing in it is ever written: its bins are empty, so no block is popped, and no segment
// has it as its owner, so none is pushed.
unsafe impl Sync for NoHeap {}

pub(crate) static NO_HEAP: NoHeap = NoHeap(Heap::new());

impl NoHeap {
    pub(crate) const fn get(&self) -> &Heap {
        &self.0
    }
}

impl Heap {
    pub(crate) const fn new() -> Self {
        Self {
            bins: Bins::new(),
            queues: PerClass::new([const { Cell::new(ptr::null()) }; SizeClass::COUNT]),
            flushed: PerClass::new([const { Cell::new(false) }; SizeClass::COUNT]),
            first_slots: FirstSlots::new(),
            array_blocks: PublishedUsize::new(0),
            array_bytes: PublishedUsize::new(0),
            open: Cell::new(ptr::null()),
            spare: Cell::new(ptr::null()),
            remote: RemoteCache::new(),
            core: Cell::new(ptr::null()),
            carve_bytes: Cell::new(0),
            cache_bytes: Cell::new(0),
            ticks: Cell::new(0),
            purged_at: Cell::new(MaybeUninit::uninit()),
            next_orphan: Cell::new(ptr::null()),
            next_heap: Cell::new(ptr::null()),
            pending: CachePadded::new(Pending::new()),
        }
    }

    /// Makes a zeroed heap one of the arena's.
    pub(crate) fn begin(&self, core: &Core) {
        self.core.set(core);
        self.begin_delay();
        for class in 0..SizeClass::COUNT {
            self.bin(class).use_first(class, &self.first_slots);
        }
        self.configure(core.config());
        if core.level().is_hardened() {
            self.begin_hardened();
        }
    }

    #[inline(always)]
    pub(crate) fn as_mut_ptr(&self) -> *mut Self {
        ptr::from_ref(self).cast_mut()
    }

    fn core(&self) -> &Core {
        debug_assert!(!self.core.get().is_null());
        // SAFETY: a heap that is in use belongs to an arena, whose core outlives it.
        unsafe { &*self.core.get() }
    }

    #[inline(always)]
    fn bin(&self, class: usize) -> Bin<'_> {
        self.bins.of(class)
    }

    /// The newest block of the bin.
    #[inline(always)]
    pub(crate) fn pop(&self, class: usize) -> Option<NonNull<Block>> {
        self.bin(class).pop()
    }

    /// A block of this class; `None` if there is no memory.
    ///
    /// # Safety
    ///
    /// The calling thread has the heap (H1).
    #[inline(always)]
    pub(crate) unsafe fn allocate(&self, class: usize) -> Option<NonNull<Block>> {
        self.pop(class).or_else(|| self.refill(class))
    }

    /// Whether a block of this class can be taken back without passing others on.
    #[inline(always)]
    pub(crate) fn has_room(&self, class: usize) -> bool {
        self.bin(class).has_room()
    }

    /// Takes back a block of this class, of one of this heap's pages.
    ///
    /// # Safety
    ///
    /// The calling thread has the heap (H1). The block is the caller's to give up, with the
    /// provenance of its segment.
    #[inline(always)]
    pub(crate) unsafe fn free(&self, block: *mut Block, class: usize) {
        if !self.bin(class).push(block) {
            self.free_into_full(block, class);
        }
    }

    /// As [`free`](Self::free), where there is room.
    ///
    /// # Safety
    ///
    /// As [`free`](Self::free), and [`has_room`](Self::has_room) says so.
    #[inline(always)]
    pub(crate) unsafe fn free_into_room(&self, block: *mut Block, class: usize) {
        self.bin(class).push_into_room(block);
    }

    /// Takes back a block that another heap owns, if it can be listed at once. Whether it did.
    ///
    /// # Safety
    ///
    /// As [`free`](Self::free), for a block of the page that begins with slice `first` of `segment`, which
    /// is not this heap's.
    #[inline(always)]
    pub(crate) unsafe fn free_remote_at_once(
        &self,
        segment: &Segment,
        first: usize,
        block: *mut Block,
    ) -> bool {
        let page = segment.address() + first * SLICE_BYTES;
        // SAFETY: the caller's promise.
        unsafe { self.remote.stage_at_once(page, block) }
    }

    /// Takes back a block that another heap owns. Without `LINKED` it is only counted.
    ///
    /// # Safety
    ///
    /// As [`free_remote_at_once`](Self::free_remote_at_once), for a block of so many bytes.
    pub(crate) unsafe fn free_remote<const LINKED: bool>(
        &self,
        segment: &Segment,
        first: usize,
        block: *mut Block,
        bytes: usize,
    ) {
        let freed = Freed {
            block,
            bytes,
            inbox: segment.inbox(first),
            page: segment.address() + first * SLICE_BYTES,
        };
        // SAFETY: the caller's promise.
        unsafe { self.remote.stage::<LINKED>(freed, send) };
    }

    /// A block that is a run of slices, and whether it has only zero bytes.
    pub(crate) fn allocate_run(
        &self,
        slices: usize,
        align_slices: usize,
    ) -> Option<(*mut u8, bool)> {
        self.tick();
        self.send_all();
        self.collect(None);
        let (segment, first, fresh) = self.take_run(slices, align_slices)?;
        segment.page(first).begin_run();
        segment.inbox(first).set_content(Use::BLOCK, slices);
        Some((segment.at(first * SLICE_BYTES), fresh))
    }

    /// Takes back a run that is one block of this heap.
    pub(crate) fn free_run(&self, segment: &Segment, first: usize) {
        debug_assert_eq!(segment.inbox(first).content(), Use::BLOCK);
        self.give_back_run(segment, first, segment.run_slices(first));
    }

    /// Makes a run of this heap longer or shorter where it is. Whether it could.
    pub(crate) fn resize_run(&self, segment: &Segment, first: usize, slices: usize) -> bool {
        let have = segment.run_slices(first);
        if self.core().level().is_hardened() {
            // The guard stays where it is.
            return slices == have;
        }
        if slices > have && !self.lengthen_run(segment, first, have, slices - have) {
            return false;
        }
        if slices < have {
            segment.shorten_run(first, have, slices);
            self.core().uncharge((have - slices) * SLICE_BYTES);
            if !segment.listed().get() {
                self.open(segment);
            }
        }
        segment.inbox(first).set_content(Use::BLOCK, slices);
        true
    }

    fn lengthen_run(&self, segment: &Segment, first: usize, have: usize, more: usize) -> bool {
        if self.core().charge(more * SLICE_BYTES).is_none() {
            return false;
        }
        if !segment.extend_run(first, have, more) {
            self.core().uncharge(more * SLICE_BYTES);
            return false;
        }
        if !segment.has_free_slices() {
            self.close(segment);
        }
        true
    }

    /// Whether no thread has it yet.
    pub(crate) fn is_none(&self) -> bool {
        self.core.get().is_null()
    }

    /// Sends every block home that this heap freed for others.
    pub(crate) fn send_all(&self) {
        self.remote.take_all(send);
    }

    fn new_page(&self, class: usize) -> Option<*const Page> {
        let run = self.take_run(page_slices(class), 1)?;
        Some(self.begin_page(run, class))
    }

    /// A new page, if that needs nothing of what is cached.
    fn new_page_if_room(&self, class: usize) -> Option<*const Page> {
        let run = self.charged_run(page_slices(class), 1)?;
        Some(self.begin_page(run, class))
    }

    fn begin_page(
        &self,
        (segment, first, _): (&Segment, usize, bool),
        class: usize,
    ) -> *const Page {
        let page = segment.page(first);
        segment.begin_page(first, page_slices(class), class);
        if self.core().level().is_hardened() {
            self.shuffle(page);
        }
        self.enter_queue(page);
        page
    }

    /// Takes a run of slices from a segment of this heap, or from a new one. The answer says
    /// whether the run has only zero bytes.
    pub(crate) fn take_run(
        &self,
        slices: usize,
        align_slices: usize,
    ) -> Option<(&Segment, usize, bool)> {
        self.charged_run(slices, align_slices).or_else(|| {
            // What is cached may be all that the limit, or the source, leaves.
            self.drain();
            self.core().make_room();
            self.charged_run(slices, align_slices)
        })
    }

    fn charged_run(&self, slices: usize, align_slices: usize) -> Option<(&Segment, usize, bool)> {
        self.core().charge(slices * SLICE_BYTES)?;
        let run = self
            .find_run(slices, align_slices)
            .filter(|(segment, first, _)| self.admit(segment, *first, slices));
        if run.is_none() {
            self.core().uncharge(slices * SLICE_BYTES);
        }
        run
    }

    /// Lets a run of a hardened arena be used, with a guard behind it. Whether the system allows it.
    fn admit(&self, segment: &Segment, first: usize, slices: usize) -> bool {
        if !self.core().level().is_hardened() {
            return true;
        }
        let admitted = segment.admit(first, slices, || self.core().count_refused_guard());
        if !admitted {
            self.return_slices(segment, first, slices);
        }
        admitted
    }

    fn find_run(&self, slices: usize, align_slices: usize) -> Option<(&Segment, usize, bool)> {
        let guards = self.core().level().is_hardened();
        let mut at = self.open.get();
        while !at.is_null() {
            // SAFETY: segments in the list are this heap's, and live.
            let segment = unsafe { &*at };
            if let Some((first, fresh)) = segment.take_run(slices, align_slices, guards) {
                if !segment.has_free_slices() {
                    self.close(segment);
                }
                return Some((segment, first, fresh));
            }
            at = segment.next().get();
        }
        let spare = self.spare.replace(ptr::null());
        let segment = if spare.is_null() {
            let segment = self.core().segment()?;
            segment.set_owner(self.as_mut_ptr());
            segment
        } else {
            // SAFETY: the spare segment is this heap's, and live.
            unsafe { &*spare }
        };
        self.open(segment);
        let (first, fresh) = segment.take_run(slices, align_slices, guards)?;
        Some((segment, first, fresh))
    }

    /// Gives the slices of a run back. A segment of which nothing is in use becomes the spare one,
    /// or goes back to the arena if there is a spare one already.
    pub(crate) fn give_back_run(&self, segment: &Segment, first: usize, slices: usize) {
        let page = segment.page(first);
        let mut cut = page.carved.get();
        if self.core().level().is_hardened() {
            // Such a page does not cut its blocks one behind the other.
            cut = page.capacity.get();
            segment.bar_run(first, slices, || self.core().count_refused_guard());
        }
        segment.home_bits(first).clear(cut);
        self.return_slices(segment, first, slices);
        self.core().uncharge(slices * SLICE_BYTES);
    }

    fn return_slices(&self, segment: &Segment, first: usize, slices: usize) {
        segment.give_back_run(first, slices, self.core().level().is_hardened());
        if !segment.listed().get() {
            self.open(segment);
        }
        if segment.is_idle() && !segment.reservation().is_home() {
            self.close(segment);
            if self.spare.get().is_null() {
                self.spare.set(segment);
            } else {
                self.give_up(segment);
            }
        }
    }

    fn give_up(&self, segment: &Segment) {
        segment.set_owner(ptr::null_mut());
        self.core().put_idle(segment);
    }

    /// Puts a segment at the front of the list of those with free slices.
    pub(crate) fn open(&self, segment: &Segment) {
        debug_assert!(!segment.listed().replace(true));
        segment.listed().set(true);
        let next = self.open.replace(segment);
        segment.next().set(next);
        segment.previous().set(ptr::null());
        if !next.is_null() {
            // SAFETY: segments in the list are this heap's, and live.
            unsafe { &*next }.previous().set(segment);
        }
    }

    fn close(&self, segment: &Segment) {
        debug_assert!(segment.listed().get());
        segment.listed().set(false);
        let (previous, next) = (segment.previous().get(), segment.next().get());
        if previous.is_null() {
            self.open.set(next);
        } else {
            // SAFETY: segments in the list are this heap's, and live.
            unsafe { &*previous }.next().set(next);
        }
        if !next.is_null() {
            // SAFETY: as above.
            unsafe { &*next }.previous().set(previous);
        }
    }

    /// Puts a page at the front of its class's queue.
    fn enter_queue(&self, page: &Page) {
        debug_assert!(!page.queued.get(), "P3");
        page.queued.set(true);
        let next = self.queues.of(page.class()).replace(page);
        page.next.set(next);
        page.previous.set(ptr::null());
        if !next.is_null() {
            // SAFETY: pages in a queue are this heap's.
            unsafe { &*next }.previous.set(page);
        }
    }

    fn leave_queue(&self, page: &Page) {
        debug_assert!(page.queued.get(), "P3");
        page.queued.set(false);
        let (previous, next) = (page.previous.get(), page.next.get());
        if previous.is_null() {
            self.queues.of(page.class()).set(next);
        } else {
            // SAFETY: pages in a queue are this heap's.
            unsafe { &*previous }.next.set(next);
        }
        if !next.is_null() {
            // SAFETY: as above.
            unsafe { &*next }.previous.set(previous);
        }
    }

    /// The segment of a block, and the first slice of its run.
    fn place_of(&self, block: *mut Block) -> (&Segment, usize) {
        let address = block.addr();
        // SAFETY: blocks that a heap has are of live segments.
        let segment = unsafe { Segment::of(segment_address(address)) };
        (segment, segment.run_of(address))
    }

    /// What follows when a page has got blocks back: it can be taken from again, or it is empty.
    #[inline]
    fn after_taking_back(&self, segment: &Segment, first: usize) {
        let page = segment.page(first);
        page.debug_assert_invariants();
        if !page.queued.get() {
            self.enter_queue(page);
        }
        if page.used.get() == 0 {
            self.retire(segment, first);
        }
    }

    /// Gives an empty page back, unless it is the only one that its class can take from.
    fn retire(&self, segment: &Segment, first: usize) {
        let page = segment.page(first);
        let only = page.previous.get().is_null() && page.next.get().is_null();
        if only {
            return;
        }
        self.leave_queue(page);
        self.give_back_run(segment, first, segment.run_slices(first));
    }

    /// Takes in what other threads freed. The first chain of `wanted` goes into its bin, if that
    /// is empty.
    pub(crate) fn collect(&self, wanted: Option<usize>) {
        let collect = |inbox: &Inbox| self.collect_inbox(inbox, wanted);
        // SAFETY: an inbox that is not empty is that of a page with blocks out (P1), so it lives.
        unsafe { self.pending.take_all(collect) };
    }

    fn collect_inbox(&self, inbox: &Inbox, wanted: Option<usize>) {
        let segment = segment_of_header(ptr::from_ref(inbox).addr());
        let first = segment.first_of_inbox(inbox);
        let page = segment.page(first);
        let blocks = inbox.take();
        let count = blocks.count;
        let mut list = BlockList::from_head(segment.at(blocks.first).cast());
        match self.core().level() {
            Level::Fast => {}
            Level::Checked => return self.collect_doubted(segment, first, list, count),
            Level::Hardened => return self.collect_counted(segment, inbox, count),
        }
        let Some(class) = inbox.content().class() else {
            debug_assert_eq!(count, 1);
            self.free_run(segment, first);
            return;
        };
        let start = segment.at(first * SLICE_BYTES);
        let mut left = count;
        let bin = self.bin(class);
        if wanted == Some(class) && bin.is_empty() {
            left -= count.min(bin.limit());
            // The page has counted them as used all the time.
            // SAFETY: the list has so many blocks, which who freed them has given up.
            unsafe { list.pop_each(start, count - left, bin.fill(count - left)) };
            if left == 0 {
                return;
            }
        }
        let last = segment.at(blocks.last).cast();
        // SAFETY: the blocks are the page's, in no other place (H2), and `last` is their last node.
        unsafe { page.take_back_list(start, list, last, left) };
        self.after_taking_back(segment, first);
    }

    /// Counts a slow path. From time to time gives back the memory of slices that have been free for
    /// long enough.
    #[inline]
    fn tick(&self) {
        let ticks = self.ticks.get() + 1;
        self.ticks.set(ticks % TICKS);
        if ticks == TICKS {
            self.purge_when_due();
        }
    }

    #[cold]
    #[inline(never)]
    fn purge_when_due(&self) {
        let delay = self.core().config().purge_delay;
        // SAFETY: set when the heap began.
        let purged_at = unsafe { self.purged_at.get().assume_init() };
        let now = Instant::now();
        if delay == Duration::MAX || now.saturating_duration_since(purged_at) < delay {
            return;
        }
        // What was free at the last look, and since, has been free for the delay.
        self.purged_at.set(MaybeUninit::new(now));
        self.release_aged();
        self.core().purge(now);
    }

    /// Gives back the memory of slices that have been free since the last call.
    pub(crate) fn release_aged(&self) {
        self.each_with_free_slices(Segment::release_aged);
    }

    /// Counts the delay of its free slices from now on.
    pub(crate) fn begin_delay(&self) {
        self.purged_at.set(MaybeUninit::new(Instant::now()));
    }

    /// Gives back the memory of every free slice.
    pub(crate) fn release_all(&self) {
        self.each_with_free_slices(|segment| segment.release_slices());
    }

    fn each_with_free_slices(&self, mut f: impl FnMut(&Segment)) {
        let mut at = self.open.get();
        while !at.is_null() {
            // SAFETY: segments in the list are this heap's, and live.
            let segment = unsafe { &*at };
            at = segment.next().get();
            f(segment);
        }
        // SAFETY: as above.
        if let Some(spare) = unsafe { self.spare.get().as_ref() } {
            f(spare);
        }
    }

    /// Gives everything that is not in use back to the pages, and empty pages to the segments.
    pub(crate) fn drain(&self) {
        self.send_all();
        self.collect(None);
        let hardened = self.core().level().is_hardened();
        for class in 0..SizeClass::COUNT {
            let bin = self.bin(class);
            self.give_oldest_home(class, 0);
            if hardened {
                self.shrink_stash(class, 0);
            }
            bin.narrow(class, self.cache_bytes.get());
            self.give_array_home(class);
        }
        (0..SizeClass::COUNT).for_each(|class| self.retire_last(class));
        let spare = self.spare.replace(ptr::null());
        if !spare.is_null() {
            // SAFETY: the spare segment is this heap's, and live.
            self.give_up(unsafe { &*spare });
        }
    }

    /// Gives back the empty pages that a class keeps.
    fn retire_last(&self, class: usize) {
        let mut at = self.queues.of(class).get();
        // SAFETY: pages in a queue are this heap's, whose segments live while they are in use.
        while let Some(page) = unsafe { at.as_ref() } {
            at = page.next.get();
            if page.used.get() == 0 {
                let segment = segment_of_page(page);
                let first = segment.first_of_page(page);
                self.leave_queue(page);
                self.give_back_run(segment, first, segment.run_slices(first));
            }
        }
    }

    /// The blocks in the bins or stashes and those that are arrays of bins, and their bytes.
    pub(crate) fn cached(&self) -> (usize, usize) {
        let binned = self.bins.iter().map(|bin| bin.len() as usize).enumerate();
        let arrays = (self.array_blocks.get(), self.array_bytes.get());
        let cached = binned.chain(self.stashed().enumerate());
        cached.fold(arrays, |(blocks, bytes), (class, len)| {
            (blocks + len, bytes + len * block_bytes(class))
        })
    }

    /// The bytes of blocks that were freed for others and not sent yet.
    pub(crate) fn staged_bytes(&self) -> usize {
        self.remote.bytes()
    }

    /// Sets what the bins may come to hold, and how much a refill cuts.
    pub(crate) fn configure(&self, config: &ArenaConfig) {
        self.carve_bytes.set(config.refill_target_bytes);
        self.cache_bytes.set(config.local_cache_target_bytes);
        for class in 0..SizeClass::COUNT {
            self.bin(class)
                .narrow(class, config.local_cache_target_bytes);
        }
    }

    /// Whether every cache of the heap is empty.
    pub(crate) fn is_drained(&self) -> bool {
        self.remote.is_empty()
            && self.bins.iter().all(|bin| bin.is_empty())
            && self.stashed().all(|len| len == 0)
    }
}

impl Orphan for Heap {
    fn next_orphan(&self) -> &Cell<*const Self> {
        &self.next_orphan
    }
}

fn segment_of_page<'a>(page: &Page) -> &'a Segment {
    segment_of_header(ptr::from_ref(page).addr())
}

/// The segment in whose header something lies that is in use.
fn segment_of_header<'a>(address: usize) -> &'a Segment {
    // SAFETY: headers are those of live segments.
    unsafe { Segment::of(segment_address(address)) }
}

/// Sends one block to the owner of its page, where there is no heap to gather more.
///
/// # Safety
///
/// The block is one that the page handed out that begins with slice `first`, and the caller's to give up.
pub(crate) unsafe fn send_one<const LINKED: bool>(
    segment: &Segment,
    first: usize,
    block: *mut Block,
) {
    let blocks = if LINKED {
        // SAFETY: the caller's promise.
        unsafe { BlockList::of(block) }
    } else {
        BlockList::EMPTY
    };
    send(Chain {
        inbox: segment.inbox(first),
        blocks,
        last: blocks.head(),
        page: segment.address() + first * SLICE_BYTES,
        count: 1,
    });
}

/// Sends a chain to the owner of its page. One without blocks only counts them.
fn send(chain: Chain) {
    // SAFETY: blocks of the chain are out, so the segment of their page lives.
    let inbox = unsafe { &*chain.inbox };
    let segment = segment_of_header(chain.inbox.addr());
    let link = |next: Option<usize>| {
        if chain.last.is_null() {
            return;
        }
        let next = next.map_or(ptr::null_mut(), |offset| segment.at(offset).cast());
        // SAFETY: the chain is this thread's own until it is put in; both nodes are of one page.
        unsafe { block_list::append(chain.last, chain.page, next) };
    };
    let blocks = Blocks {
        first: chain.blocks.head().addr() % SEGMENT_BYTES,
        last: chain.last.addr() % SEGMENT_BYTES,
        count: chain.count,
    };
    if inbox.put(blocks, link) {
        // SAFETY: the blocks that were just sent keep the page, hence the owner, until the inbox
        // has been taken off the list.
        unsafe { &*segment.owner() }.pending.push(inbox);
    }
}
