//! [`RemoteCache`]: blocks that this thread freed and that other heaps own, gathered by page.
//!
//! A block is linked into the chain of its page without an atomic operation. A chain goes to its
//! owner by one compare-and-swap when it is long, when another page needs its place, and whenever
//! the heap takes a slow path.

use core::cell::{Cell, UnsafeCell};
use core::ptr;

use crate::block_list::{Block, BlockList, node_room};
use crate::inbox::Inbox;
use crate::published::PublishedUsize;

/// Chains for each hash.
const WAYS: usize = 2;
const SETS: usize = 8;

/// A chain of this length is sent.
const CHAIN_MAX: u32 = 64;

/// Chains are sent when this many bytes are waiting in all.
pub(crate) const STAGED_BYTES_MAX: usize = 16 << 10;

/// Blocks of one page. Those of a hardened arena are only counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    pub(crate) inbox: *const Inbox,
    pub(crate) blocks: BlockList,
    /// The last node of the list.
    pub(crate) last: *mut Block,
    pub(crate) count: u32,
    bytes: usize,
}

impl Chain {
    pub(crate) const NONE: Self = Self {
        inbox: ptr::null(),
        blocks: BlockList::EMPTY,
        last: ptr::null_mut(),
        count: 0,
        bytes: 0,
    };

    pub(crate) fn is_none(&self) -> bool {
        self.count == 0
    }
}

/// Chains that were not sent yet.
#[derive(Debug)]
pub(crate) struct RemoteCache {
    /// By hash, the newest chain of each first. Each is reached by a reference to it alone: whoever
    /// checks references would look at all the others too.
    chains: UnsafeCell<[Cell<Chain>; SETS * WAYS]>,
    bytes: PublishedUsize,
}

impl RemoteCache {
    pub(crate) const fn new() -> Self {
        Self {
            chains: UnsafeCell::new([const { Cell::new(Chain::NONE) }; SETS * WAYS]),
            bytes: PublishedUsize::new(0),
        }
    }

    #[inline]
    fn chain(&self, place: usize) -> &Cell<Chain> {
        debug_assert!(place < SETS * WAYS);
        let first = self.chains.get().cast::<Cell<Chain>>();
        // SAFETY: inside the array.
        let chain = unsafe { first.add(place) };
        // SAFETY: chains change in their cells only.
        unsafe { &*chain }
    }

    /// Adds a block to the chain of its page, or without `LINKED` only to its count. The chain that has
    /// to be sent now, if any.
    ///
    /// # Safety
    ///
    /// The block is one that the inbox's page handed out, and the caller's to give up.
    #[inline]
    pub(crate) unsafe fn stage<const LINKED: bool>(
        &self,
        inbox: &Inbox,
        block: *mut Block,
        bytes: usize,
    ) -> Chain {
        let inbox = ptr::from_ref(inbox);
        let set = inbox.addr() / size_of::<Inbox>() % SETS * WAYS;
        let ways = || (set..set + WAYS).map(|place| self.chain(place));
        self.bytes.set(self.bytes.get() + bytes);
        for way in ways() {
            let mut chain = way.get();
            if chain.inbox == inbox {
                if LINKED {
                    // SAFETY: the block is the caller's to give up, and so were those of the chain.
                    unsafe { chain.blocks.push(block, node_room(bytes)) };
                }
                chain.count += 1;
                chain.bytes += bytes;
                if chain.count >= CHAIN_MAX {
                    way.set(Chain::NONE);
                    return self.leaving(chain);
                }
                way.set(chain);
                return Chain::NONE;
            }
        }
        let mut blocks = BlockList::EMPTY;
        if LINKED {
            // SAFETY: the block is the caller's to give up.
            unsafe { blocks.push(block, 0) };
        }
        let chain = Chain {
            inbox,
            blocks,
            last: blocks.head(),
            count: 1,
            bytes,
        };
        // The first way has the newest page, the last one makes room.
        self.leaving(ways().fold(chain, |chain, way| way.replace(chain)))
    }

    #[inline]
    fn leaving(&self, chain: Chain) -> Chain {
        self.bytes.set(self.bytes.get() - chain.bytes);
        chain
    }

    /// Whether so much is waiting that all of it should go.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.get() > STAGED_BYTES_MAX
    }

    /// Takes out every chain.
    pub(crate) fn take_all(&self, mut send: impl FnMut(Chain)) {
        if self.bytes.get() == 0 {
            return;
        }
        self.bytes.set(0);
        for place in 0..SETS * WAYS {
            let chain = self.chain(place).replace(Chain::NONE);
            if !chain.is_none() {
                send(chain);
            }
        }
    }

    /// The bytes of all chains.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.get()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.get() == 0
    }
}
