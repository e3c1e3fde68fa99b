//! [`Inbox`]: what other threads write of a page; [`Pending`]: the inboxes that a heap has to look
//! into.
//!
//! # What
//!
//! A thread that frees blocks of another heap's page puts a chain of them into the page's inbox by
//! one compare-and-swap. If it finds the inbox empty, it puts the inbox on the pending list of the
//! page's heap. The heap takes that list by one swap, and then each chain by one.
//!
//! # Memory picture
//!
//! ```text
//!  heap: pending -> inbox -> inbox -> null
//!                    │         └ first, last, count
//!                    └ first, last, count        block -> block -> null
//! ```
//!
//! # Invariants
//!
//! - P4: an inbox is on its owner's pending list, or about to be put there by the thread that found
//!   it empty, exactly while it is not empty. It is emptied only after it was taken off that list.
//!
//! # Threads
//!
//! Lock-free: a thread repeats its step only when another one has made its own. The owner waits for
//! nobody.

use core::ptr;

use drystone_sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, Ordering};

use crate::geometry::{RUN_SLICES_MAX, SEGMENT_BYTES, SLICE_BYTES};
use crate::page_use::Use;

/// What other threads may write of a page: blocks that they freed.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Inbox {
    /// Where the first and the last block are in the segment, and how many there are, as
    /// [`Blocks`] packs it. 0 while there are none.
    chain: AtomicU64,
    /// The next inbox of the pending list. Written by the thread that found the chain empty, and read by
    /// the owner, which has taken the list then.
    next: AtomicPtr<Inbox>,
    /// What the run is, and of how many slices, for threads that may not read the page.
    content: AtomicU8,
    slices: AtomicU8,
}

impl Inbox {
    #[cfg(all(test, loom))]
    pub(crate) fn for_model() -> Self {
        Self {
            chain: AtomicU64::new(0),
            next: AtomicPtr::new(ptr::null_mut()),
            content: AtomicU8::new(0),
            slices: AtomicU8::new(0),
        }
    }

    #[inline(always)]
    pub(crate) fn content(&self) -> Use {
        // Relaxed: who has a block of the run got it after this was stored.
        Use::from_byte(self.content.load(Ordering::Relaxed))
    }

    pub(crate) fn set_content(&self, content: Use, slices: usize) {
        #[expect(clippy::cast_possible_truncation, reason = "at most 32")]
        self.slices.store(slices as u8, Ordering::Relaxed);
        self.content.store(content.to_byte(), Ordering::Relaxed);
    }

    pub(crate) fn slices(&self) -> usize {
        // Relaxed: as `content`.
        usize::from(self.slices.load(Ordering::Relaxed))
    }

    /// How many blocks wait in it.
    pub(crate) fn len(&self) -> u32 {
        Blocks::unpack(self.chain.load(Ordering::Relaxed)).count
    }

    /// Puts in a chain of blocks. `link` makes the last of them point at the block at the offset it
    /// is given, or at none.
    ///
    /// The answer is whether the inbox was empty: then the caller, and nobody else, has to put it on
    /// the pending list of its owner.
    #[must_use]
    pub(crate) fn put(&self, blocks: Blocks, link: impl Fn(Option<usize>)) -> bool {
        // Relaxed: what is behind the head is not read, only linked to.
        let mut seen = self.chain.load(Ordering::Relaxed);
        loop {
            let there = Blocks::unpack(seen);
            link((there.count > 0).then_some(there.first));
            // Release: the links, and all that was done with the blocks, happen before the owner
            // takes the chain. Acquire: pairs with the Release in `take`.
            match self.chain.compare_exchange_weak(
                seen,
                blocks.before(there).pack(),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return there.count == 0,
                Err(now) => seen = now,
            }
        }
    }

    /// Takes the chain out. Only for the owner, which has taken the inbox off its pending list.
    pub(crate) fn take(&self) -> Blocks {
        // Acquire: pairs with the Release in `put`, for the links of the chain. Release: the read of
        // `next` comes before whoever finds the inbox empty writes it.
        let blocks = Blocks::unpack(self.chain.swap(0, Ordering::AcqRel));
        debug_assert!(blocks.count > 0, "P4");
        blocks
    }
}

/// The inboxes of a heap's pages that are not empty.
#[derive(Debug)]
pub(crate) struct Pending {
    head: AtomicPtr<Inbox>,
}

impl Pending {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Self {
            head: AtomicPtr::new(ptr::null_mut()),
        }
    }

    #[cfg(all(test, loom))]
    pub(crate) fn for_model() -> Self {
        Self {
            head: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Puts an inbox on, which the calling thread has found empty.
    pub(crate) fn push(&self, inbox: &Inbox) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            inbox.next.store(head, Ordering::Relaxed);
            // Release: pairs with the Acquire in `take_all`, for `next`.
            match self.head.compare_exchange_weak(
                head,
                ptr::from_ref(inbox).cast_mut(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes the list and shows each inbox, which `each` has to empty.
    ///
    /// # Safety
    ///
    /// Every inbox that was put on lives as long as `'a` until it is emptied.
    pub(crate) unsafe fn take_all<'a>(&self, mut each: impl FnMut(&'a Inbox)) {
        // Relaxed: a late answer costs a later look. Not under loom: it leaves out orders in which a
        // thread that only looked comes after one that looked and then wrote.
        if !cfg!(loom) && self.head.load(Ordering::Relaxed).is_null() {
            return;
        }
        // Acquire: pairs with the Release in `push`, for the inboxes' `next`.
        let mut at: *const Inbox = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        // SAFETY: the inbox is on the list, hence not empty (P4), hence live.
        while let Some(inbox) = unsafe { at.as_ref() } {
            // Before the chain is taken: afterwards the inbox may be put on the list again.
            at = inbox.next.load(Ordering::Relaxed);
            each(inbox);
        }
    }
}

/// A chain of blocks of one page, by their offsets in the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blocks {
    pub(crate) first: usize,
    /// So that who takes the chain can put it before another one without walking along it.
    pub(crate) last: usize,
    pub(crate) count: u32,
}

impl Blocks {
    const OFFSET_BITS: u32 = SEGMENT_BYTES.ilog2();
    const OFFSET_MASK: u64 = (1 << Self::OFFSET_BITS) - 1;

    /// This chain, whose last block was linked to the first of `others`, if there are any.
    const fn before(self, others: Self) -> Self {
        if others.count == 0 {
            return self;
        }
        Self {
            first: self.first,
            last: others.last,
            count: self.count + others.count,
        }
    }

    const fn pack(self) -> u64 {
        self.first as u64
            | (self.last as u64) << Self::OFFSET_BITS
            | (self.count as u64) << (2 * Self::OFFSET_BITS)
    }

    const fn unpack(word: u64) -> Self {
        Self {
            first: (word & Self::OFFSET_MASK) as usize,
            last: (word >> Self::OFFSET_BITS & Self::OFFSET_MASK) as usize,
            count: (word >> (2 * Self::OFFSET_BITS)) as u32,
        }
    }
}

// A page has as many blocks as slices have words of a link, at most.
const _: () = assert!(
    2 * Blocks::OFFSET_BITS + (RUN_SLICES_MAX * SLICE_BYTES / 8).ilog2() < u64::BITS,
    "a chain of all blocks of a page fits a word"
);

#[cfg(all(test, loom))]
mod models {
    //! The way of freed blocks back to their heap, on the real types. Blocks are cells, so that a
    //! link that is read without being ordered after its write is a race.

    use std::sync::Arc;
    use std::vec::Vec;

    use drystone_sync::cell::UnsafeCell;

    use super::*;

    /// The blocks of every page of the model: a link each, as an index plus one.
    const BLOCKS: usize = 3;

    struct Page {
        inbox: Inbox,
        links: [UnsafeCell<usize>; BLOCKS],
    }

    struct Model {
        pages: [Page; 2],
        pending: Pending,
    }

    // SAFETY: a link is written by who frees the block and read by the owner, in turns that the
    // inbox orders, which is what loom checks.
    unsafe impl Send for Model {}
    // SAFETY: as above.
    unsafe impl Sync for Model {}

    impl Model {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                pages: [(); 2].map(|()| Page {
                    inbox: Inbox::for_model(),
                    links: [(); BLOCKS].map(|()| UnsafeCell::new(0)),
                }),
                pending: Pending::for_model(),
            })
        }

        /// Frees one block of a page.
        fn free(&self, page: usize, block: usize) {
            let own = &self.pages[page];
            let link = |next: Option<usize>| {
                own.links[block].with_mut(|link| {
                    let value = next.map_or(0, |next| next + 1);
                    // SAFETY: the block is this thread's until it is put in.
                    unsafe { link.write(value) };
                });
            };
            let blocks = Blocks {
                first: block,
                last: block,
                count: 1,
            };
            if own.inbox.put(blocks, link) {
                self.pending.push(&own.inbox);
            }
        }

        /// What the owner finds: pages and blocks.
        fn collect(&self, found: &mut Vec<(usize, usize)>) {
            // SAFETY: the inboxes live as long as the model.
            unsafe {
                self.pending.take_all(|inbox| {
                    let page = usize::from(!ptr::eq(inbox, &self.pages[0].inbox));
                    let blocks = self.pages[page].inbox.take();
                    let (mut next, mut last) = (blocks.first + 1, 0);
                    for _ in 0..blocks.count {
                        last = next - 1;
                        found.push((page, last));
                        // SAFETY: the block is the owner's now.
                        next = self.pages[page].links[last].with(|link| unsafe { link.read() });
                    }
                    assert_eq!(next, 0, "the chain is as long as its count");
                    assert_eq!(last, blocks.last, "the chain ends where it says");
                });
            }
        }
    }

    fn expect(model: &Model, mut found: Vec<(usize, usize)>, mut all: Vec<(usize, usize)>) {
        model.collect(&mut found);
        found.sort_unstable();
        all.sort_unstable();
        assert_eq!(found, all, "each block arrives once");
    }

    /// One thread frees two blocks of a page while the owner collects.
    #[test]
    fn loom2_one_page() {
        loom::model(|| {
            let model = Model::new();
            let other = Arc::clone(&model);
            let freeing = loom::thread::spawn(move || {
                other.free(0, 0);
                other.free(0, 1);
            });
            let mut found = Vec::new();
            model.collect(&mut found);
            freeing.join().unwrap();
            expect(&model, found, vec![(0, 0), (0, 1)]);
        });
    }

    /// One thread frees blocks of two pages while the owner collects: the list is walked while
    /// an inbox of it may be put on it again.
    #[test]
    fn loom2_two_pages() {
        loom::model(|| {
            let model = Model::new();
            let other = Arc::clone(&model);
            let freeing = loom::thread::spawn(move || {
                other.free(0, 0);
                other.free(1, 0);
                other.free(0, 1);
            });
            let mut found = Vec::new();
            model.collect(&mut found);
            model.collect(&mut found);
            freeing.join().unwrap();
            expect(&model, found, vec![(0, 0), (0, 1), (1, 0)]);
        });
    }

    /// Two threads free into one inbox: exactly one of them puts it on the list.
    #[test]
    fn loom3_two_threads_free_into_one_page() {
        loom::model(|| {
            let model = Model::new();
            let threads = [0, 1].map(|block| {
                let other = Arc::clone(&model);
                loom::thread::spawn(move || other.free(0, block))
            });
            let mut found = Vec::new();
            model.collect(&mut found);
            for thread in threads {
                thread.join().unwrap();
            }
            expect(&model, found, vec![(0, 0), (0, 1)]);
        });
    }

    /// Two threads free into two pages of one heap.
    #[test]
    fn loom3_two_threads_free_into_two_pages() {
        loom::model(|| {
            let model = Model::new();
            let threads = [0, 1].map(|page| {
                let other = Arc::clone(&model);
                loom::thread::spawn(move || other.free(page, 0))
            });
            let mut found = Vec::new();
            model.collect(&mut found);
            for thread in threads {
                thread.join().unwrap();
            }
            expect(&model, found, vec![(0, 0), (1, 0)]);
        });
    }
}
