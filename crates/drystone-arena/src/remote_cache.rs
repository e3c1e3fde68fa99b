//! [`RemoteCache`]: blocks that this thread freed and that other heaps own, gathered by page.
//!
//! # What
//!
//! A block is listed in the chain of its page without an atomic operation. A chain goes to its
//! owner by one compare-and-swap when it is long, when another page needs its place, and whenever
//! the heap takes a slow path.
//!
//! # Memory picture
//!
//! ```text
//!  sets [hash of the page] -> newest chain, older chain
//!  chain: page | place, room ──> behind the last block that the first node lists
//! ```
//!
//! # Invariants
//!
//! - R1: a chain of `count` blocks has `count - room` so far; the first node has room for `room` others at
//!   `place`, and says how many it lists only when the chain or the node ends.
//! - R2: the bit of each place with a chain is set in `used`.
//!
//! # Threads
//!
//! Only the heap's thread. How much is waiting may be read by any, for statistics.

use core::cell::{Cell, UnsafeCell};
use core::ptr;

use crate::block_list::{self, Block, BlockList, node_room};
use crate::geometry::{SEGMENT_BYTES, SLICE_BYTES};
use crate::inbox::Inbox;
use crate::published::PublishedU32;

/// Chains for each hash.
const WAYS: usize = 2;
const SETS: usize = 8;

/// The most blocks of a chain, and the bytes of them, unless it is one block.
const CHAIN_MAX: usize = 64;
const CHAIN_BYTES: usize = 4 << 10;

/// How many blocks of so many bytes a chain may have.
#[inline]
const fn chain_limit(bytes: usize) -> usize {
    let blocks = CHAIN_BYTES / bytes;
    if blocks > CHAIN_MAX {
        CHAIN_MAX
    } else if blocks == 0 {
        1
    } else {
        blocks
    }
}

/// Blocks of one page. Those of a hardened arena are only counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    pub(crate) inbox: *const Inbox,
    pub(crate) blocks: BlockList,
    /// The last node of the list.
    pub(crate) last: *mut Block,
    /// Where the page begins.
    pub(crate) page: usize,
    pub(crate) count: u32,
}

/// A block that is freed, and what it is of.
#[derive(Clone, Copy)]
pub(crate) struct Freed<'a> {
    pub(crate) block: *mut Block,
    /// Of the block.
    pub(crate) bytes: usize,
    pub(crate) inbox: &'a Inbox,
    /// Where the page of the inbox begins.
    pub(crate) page: usize,
}

/// A place for a chain that grows.
#[derive(Debug)]
#[repr(align(64))]
struct Staged {
    /// Where the page begins; 0 without a chain.
    page: Cell<usize>,
    place: Cell<*mut u16>,
    room: PublishedU32,
    count: PublishedU32,
    bytes: PublishedU32,
    /// Its first and last node; null if the blocks are only counted.
    first: Cell<*mut Block>,
    last: Cell<*mut Block>,
    inbox: Cell<*const Inbox>,
}

impl Staged {
    const fn new() -> Self {
        Self {
            page: Cell::new(0),
            place: Cell::new(ptr::null_mut()),
            room: PublishedU32::new(0),
            count: PublishedU32::new(0),
            bytes: PublishedU32::new(0),
            first: Cell::new(ptr::null_mut()),
            last: Cell::new(ptr::null_mut()),
            inbox: Cell::new(ptr::null()),
        }
    }

    /// How many blocks the chain has.
    fn len(&self) -> u32 {
        // Others may see one changed before the other.
        self.count.get().saturating_sub(self.room.get())
    }

    /// Adds a block of this page, if the first node has room. Whether it has.
    ///
    /// # Safety
    ///
    /// The block is the caller's to give up, and of the page at this address.
    #[inline(always)]
    unsafe fn add(&self, page: usize, block: *mut Block) -> bool {
        let room = self.room.get();
        if self.page.get() != page || room == 0 {
            return false;
        }
        self.room.set(room - 1);
        let place = self.place.get();
        // SAFETY: the node has room (R1).
        unsafe { place.write(block_list::number_of(block, page)) };
        // SAFETY: as above: in the node, or just behind it.
        self.place.set(unsafe { place.add(1) });
        true
    }

    /// Begins a chain.
    ///
    /// # Safety
    ///
    /// The block is the caller's to give up.
    unsafe fn begin<const LINKED: bool>(&self, freed: Freed<'_>) {
        self.page.set(freed.page);
        self.inbox.set(freed.inbox);
        #[expect(clippy::cast_possible_truncation, reason = "at most 2 MiB")]
        self.bytes.set(freed.bytes as u32);
        self.count.set(1);
        self.room.set(0);
        self.first.set(ptr::null_mut());
        self.last.set(ptr::null_mut());
        if LINKED {
            // SAFETY: the caller's promise.
            unsafe { BlockList::of(freed.block) };
            self.last.set(freed.block);
            self.open(freed.block, chain_limit(freed.bytes) - 1);
        }
    }

    /// A block becomes the first node, for up to `most` others.
    fn open(&self, node: *mut Block, most: usize) {
        #[expect(clippy::cast_possible_truncation, reason = "at most 63")]
        let room = node_room(self.bytes.get() as usize).min(most) as u32;
        self.first.set(node);
        self.place.set(block_list::first_place(node));
        self.count.set(self.count.get() + room);
        self.room.set(room);
    }

    /// Writes down what the first node lists.
    fn close(&self) {
        // SAFETY: the numbers up to the place were written (R1).
        unsafe { block_list::close(self.first.get(), self.place.get()) };
        self.count.set(self.len());
        self.room.set(0);
    }

    /// Adds a block of this page where the first node has no room. Whether the chain may be so long.
    ///
    /// # Safety
    ///
    /// As [`add`](Self::add).
    unsafe fn add_node<const LINKED: bool>(&self, freed: Freed<'_>) -> bool {
        let (count, limit) = (self.count.get(), chain_limit(freed.bytes));
        if !LINKED {
            if count as usize == limit {
                return false;
            }
            self.count.set(count + 1);
            return true;
        }
        let left = limit.saturating_sub(count as usize);
        // A last node of a few blocks would be read for those alone.
        if left <= node_room(freed.bytes) {
            return false;
        }
        self.close();
        // SAFETY: the caller's promise.
        unsafe { block_list::push_node(self.first.get(), freed.page, freed.block) };
        self.count.set(count + 1);
        self.open(freed.block, left - 1);
        true
    }

    /// Takes the chain out.
    fn take(&self) -> Chain {
        if !self.first.get().is_null() {
            self.close();
        }
        let count = self.count.get();
        self.count.set(0);
        Chain {
            inbox: self.inbox.get(),
            blocks: BlockList::from_head(self.first.get()),
            last: self.last.get(),
            page: self.page.replace(0),
            count,
        }
    }

    fn exchange(&self, other: &Self) {
        self.page.swap(&other.page);
        self.place.swap(&other.place);
        self.first.swap(&other.first);
        self.last.swap(&other.last);
        self.inbox.swap(&other.inbox);
        for (one, another) in [
            (&self.room, &other.room),
            (&self.count, &other.count),
            (&self.bytes, &other.bytes),
        ] {
            let number = one.get();
            one.set(another.get());
            another.set(number);
        }
    }
}

/// Chains that were not sent yet.
#[derive(Debug)]
pub(crate) struct RemoteCache {
    /// By hash, the newest chain of each first. Each is reached by a reference to it alone: whoever
    /// checks references would look at all the others too.
    chains: UnsafeCell<[Staged; SETS * WAYS]>,
    used: Cell<u32>,
}

/// The newest chain of the page's hash.
#[inline(always)]
const fn place_of(page: usize) -> usize {
    ((page / SLICE_BYTES) ^ (page / SEGMENT_BYTES)) % SETS * WAYS
}

impl RemoteCache {
    pub(crate) const fn new() -> Self {
        Self {
            chains: UnsafeCell::new([const { Staged::new() }; SETS * WAYS]),
            used: Cell::new(0),
        }
    }

    #[inline(always)]
    fn staged(&self, place: usize) -> &Staged {
        debug_assert!(place < SETS * WAYS);
        let first = self.chains.get().cast::<Staged>();
        // SAFETY: inside the array.
        let chain = unsafe { first.add(place) };
        // SAFETY: chains change in their cells only.
        unsafe { &*chain }
    }

    /// Adds a block to the chain of its page, if there is one with room at hand. Whether it did.
    ///
    /// # Safety
    ///
    /// The block is one that the page at this address handed out, and the caller's to give up.
    #[inline(always)]
    pub(crate) unsafe fn stage_at_once(&self, page: usize, block: *mut Block) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.staged(place_of(page)).add(page, block) }
    }

    /// Adds a block to the chain of its page, or without `LINKED` only to its count. `send` is shown the chain
    /// that has to be sent now, if any.
    ///
    /// # Safety
    ///
    /// The block is one that the page handed out, and the caller's to give up.
    pub(crate) unsafe fn stage<const LINKED: bool>(
        &self,
        freed: Freed<'_>,
        mut send: impl FnMut(Chain),
    ) {
        let place = place_of(freed.page);
        let newest = self.staged(place);
        let found =
            (place..place + WAYS).find(|place| self.staged(*place).page.get() == freed.page);
        // It is the newest one from now on. Without one the oldest makes room.
        self.staged(found.unwrap_or(place + WAYS - 1))
            .exchange(newest);
        if found.is_some() {
            // SAFETY: the caller's promise.
            if unsafe { newest.add(freed.page, freed.block) } {
                return;
            }
            // SAFETY: as above.
            if unsafe { newest.add_node::<LINKED>(freed) } {
                return;
            }
        }
        if newest.page.get() != 0 {
            send(newest.take());
        }
        // SAFETY: the caller's promise.
        unsafe { newest.begin::<LINKED>(freed) };
        self.used.set(self.used.get() | 0b11 << place);
        if chain_limit(freed.bytes) == 1 {
            send(newest.take());
        }
    }

    /// Takes out every chain.
    pub(crate) fn take_all(&self, mut send: impl FnMut(Chain)) {
        let mut used = self.used.replace(0);
        while used != 0 {
            let staged = self.staged(used.trailing_zeros() as usize);
            used &= used - 1;
            if staged.page.get() != 0 {
                send(staged.take());
            }
        }
    }

    /// The bytes of all chains.
    pub(crate) fn bytes(&self) -> usize {
        (0..SETS * WAYS)
            .map(|place| self.staged(place))
            .map(|staged| staged.len() as usize * staged.bytes.get() as usize)
            .sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        (0..SETS * WAYS).all(|place| self.staged(place).page.get() == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::vec::Vec;

    /// Pages in memory of their own, each with an inbox.
    struct Pages {
        first: *mut [u64; PAGE_WORDS],
        inboxes: Vec<Inbox>,
        _memory: Vec<[u64; PAGE_WORDS]>,
    }

    const PAGE_WORDS: usize = 128 * 8;

    impl Pages {
        fn new(count: usize) -> Self {
            let mut memory = std::vec![[0; PAGE_WORDS]; count];
            Self {
                first: memory.as_mut_ptr(),
                _memory: memory,
                // SAFETY: zero bytes are an empty inbox.
                inboxes: (0..count).map(|_| unsafe { core::mem::zeroed() }).collect(),
            }
        }

        fn start(&self, page: usize) -> *mut u8 {
            self.first.wrapping_add(page).cast()
        }

        /// A block of so many bytes, by its number in the page.
        fn freed(&self, page: usize, index: usize, bytes: usize) -> Freed<'_> {
            Freed {
                block: self.start(page).wrapping_add(index * bytes).cast(),
                bytes,
                inbox: &self.inboxes[page],
                page: self.start(page).addr(),
            }
        }

        /// The page of a chain, and the numbers of its blocks.
        fn open(&self, chain: Chain, bytes: usize) -> (usize, Vec<usize>) {
            let page = (0..self.inboxes.len())
                .find(|page| ptr::eq(&raw const self.inboxes[*page], chain.inbox))
                .expect("one of these");
            let start = self.start(page);
            assert_eq!(chain.page, start.addr());
            let (mut list, mut blocks) = (chain.blocks, Vec::new());
            let show = |block: *mut Block| blocks.push((block.addr() - start.addr()) / bytes);
            // SAFETY: the blocks are this test's, and so many.
            unsafe { list.pop_each(start, chain.count, show) };
            assert!(list.is_empty(), "a chain has more blocks than it says");
            (page, blocks)
        }
    }

    fn stage(cache: &RemoteCache, freed: Freed<'_>, sent: &mut Vec<Chain>) {
        // SAFETY: the block is the test's.
        if !unsafe { cache.stage_at_once(freed.page, freed.block) } {
            // SAFETY: as above.
            unsafe { cache.stage::<true>(freed, |chain| sent.push(chain)) };
        }
    }

    #[test]
    fn each_block_is_sent_once_in_chains_that_are_not_too_long() {
        let sizes: &[usize] = if cfg!(miri) {
            &[128]
        } else {
            &[8, 24, 64, 128]
        };
        for &bytes in sizes {
            let count = size_of::<[u64; PAGE_WORDS]>() / bytes;
            let (pages, cache) = (Pages::new(5), RemoteCache::new());
            let mut sent = Vec::new();
            for index in 0..count {
                for page in 0..5 {
                    // Some pages get theirs in a row, others in turn with those.
                    if page != index % 3 {
                        stage(&cache, pages.freed(page, index, bytes), &mut sent);
                    }
                }
            }
            let waiting = cache.bytes();
            cache.take_all(|chain| sent.push(chain));
            assert!(cache.is_empty());
            assert_eq!(cache.bytes(), 0);
            let mut found = Vec::new();
            let mut total = 0;
            for chain in sent {
                assert!(chain.count as usize <= chain_limit(bytes), "{bytes}");
                total += chain.count;
                let (page, blocks) = pages.open(chain, bytes);
                found.extend(blocks.into_iter().map(|index| (page, index)));
            }
            assert!(0 < waiting && waiting <= total as usize * bytes);
            found.sort_unstable();
            let freed = (0..5).flat_map(|page| (0..count).map(move |index| (page, index)));
            let expected: Vec<_> = freed.filter(|(page, index)| *page != index % 3).collect();
            assert_eq!(found, expected, "{bytes}");
        }
    }

    #[test]
    fn blocks_of_one_page_go_together() {
        let (pages, cache) = (Pages::new(1), RemoteCache::new());
        let mut sent = Vec::new();
        for index in 0..128 {
            stage(&cache, pages.freed(0, index, 64), &mut sent);
        }
        // A node and 30 others, twice; then the next chain.
        assert_eq!(
            sent.iter().map(|chain| chain.count).collect::<Vec<_>>(),
            [62, 62]
        );
        assert_eq!(cache.bytes(), 4 * 64);
    }

    #[test]
    fn a_large_block_does_not_wait() {
        let (pages, cache) = (Pages::new(1), RemoteCache::new());
        let mut sent = Vec::new();
        stage(&cache, pages.freed(0, 1, CHAIN_BYTES), &mut sent);
        assert_eq!(sent.len(), 1);
        assert!(cache.is_empty());
        assert_eq!(pages.open(sent[0], CHAIN_BYTES), (0, std::vec![1]));
    }
}
