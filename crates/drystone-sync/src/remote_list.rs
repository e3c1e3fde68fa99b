//! [`RemoteList`]: many threads put chains of blocks on it, one takes all of them.
//!
//! # What
//!
//! The way home of a block that is freed away from its owner. The list is one word: the name of
//! the first block, its address or its offset from somewhere. Whoever frees links its blocks into a chain of its own, as long as it likes,
//! and puts the chain on the list by one compare-and-swap; the owner takes everything by one swap.
//! Where the links are stored is the caller's business, so the list serves slabs, pools and arenas
//! alike, and holds no `unsafe` code.
//!
//! # Memory picture
//!
//! ```text
//!  head                     a chain                  an earlier chain
//! +--------+      +--------+      +--------+      +--------+
//! | name   | ---> | link   | ---> | link   | ---> | NONE   |
//! +--------+      +--------+      +--------+      +--------+
//!                   first           last: written by `push`
//! ```
//!
//! # Invariants
//!
//! - I1: `head` is [`NONE`](RemoteList::NONE), a name up to
//!   [`NAME_MAX`](RemoteList::NAME_MAX), or, from the close on, a mark that is neither.
//! - I2: following the links from `head` visits every block pushed since the last take once, and
//!   ends with `NONE`. A pusher writes links into its own chain only, and before the chain is on
//!   the list.
//! - I3: once closed, the list stays closed, and nothing is put on it.
//!
//! # Threads
//!
//! Any thread pushes; one at a time takes or closes. The head that a pusher read is compared and
//! stored as a link, never followed, so it does not matter if the owner has meanwhile taken that
//! block, used it and got it back (the ABA of other lists). A push is lock-free: a failed attempt
//! means that another thread got on. Taking and closing are wait-free. A thread that dies between
//! two calls leaves the list whole.
//!
//! # Cost
//!
//! One word. A push is one load and one compare-and-swap when it meets nobody; a take of an empty
//! list is one load, of any other one swap.

use core::fmt;

use crate::atomic::{AtomicUsize, Ordering};

/// The head of a list that takes no more chains. Next to `NONE`, so that one comparison tells a block
/// from both.
const CLOSED: usize = usize::MAX - 1;

/// A list that any thread puts chains of blocks on, and one thread takes whole.
///
/// Blocks are named by numbers up to [`NAME_MAX`](Self::NAME_MAX) that the callers agree on: their
/// addresses, or offsets from a base.
///
/// ```
/// # #[cfg(not(loom))] {
/// use drystone_sync::RemoteList;
///
/// let mut links = [0; 4];
/// let list = RemoteList::new();
/// list.push(2, |next| links[2] = next).unwrap();
/// // Blocks 0 and 1 as one chain.
/// links[0] = 1;
/// list.push(0, |next| links[1] = next).unwrap();
///
/// let first = list.take_all();
/// assert_eq!((first, links[0], links[1], links[2]), (0, 1, 2, RemoteList::NONE));
/// assert_eq!(list.take_all(), RemoteList::NONE);
/// # }
/// ```
#[derive(Debug)]
pub struct RemoteList {
    head: AtomicUsize,
}

/// The list takes no more chains: its owner has closed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the list is closed")
    }
}

impl core::error::Error for Closed {}

impl RemoteList {
    /// No block: what the last link of a chain that was taken says.
    pub const NONE: usize = usize::MAX;

    /// The largest name that a block may have. No block of two bytes or more lies above it.
    pub const NAME_MAX: usize = CLOSED - 1;

    /// An empty, open list.
    #[cfg(not(loom))]
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            head: AtomicUsize::new(Self::NONE),
        }
    }

    /// An empty, open list.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self {
            head: AtomicUsize::new(Self::NONE),
        }
    }

    /// Whether there is nothing to take. A chain whose push happened before this call is seen.
    #[inline]
    pub fn is_empty(&self) -> bool {
        // Relaxed: says whether a take is worth it; the take orders.
        is_no_block(self.head.load(Ordering::Relaxed))
    }

    /// Whether [`close`](Self::close) has been called.
    #[inline]
    pub fn is_closed(&self) -> bool {
        // Relaxed: the answer orders nothing.
        self.head.load(Ordering::Relaxed) == CLOSED
    }

    /// Puts a chain on the list whose first block is `first`.
    ///
    /// `link_last` stores its argument, a name or [`NONE`](Self::NONE), as the link of the
    /// chain's last block. It is called again if another thread was faster.
    ///
    /// What the caller did before, and what `link_last` wrote, happens before the take that finds
    /// the chain.
    ///
    /// # Errors
    ///
    /// [`Closed`] if the list is closed: the chain is still the caller's.
    ///
    /// # Panics
    ///
    /// In debug builds, if `first` is above [`NAME_MAX`](Self::NAME_MAX).
    #[inline]
    pub fn push(&self, first: usize, mut link_last: impl FnMut(usize)) -> Result<(), Closed> {
        debug_assert!(first <= Self::NAME_MAX, "not a name");
        // Relaxed: the head is not followed.
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head == CLOSED {
                return Err(Closed);
            }
            link_last(head);
            // Release: pairs with the Acquire in `take_all` and `close`. Later pushes are
            // read-modify-writes, so they carry this one on to the take.
            let put =
                self.head
                    .compare_exchange_weak(head, first, Ordering::Release, Ordering::Relaxed);
            match put {
                Ok(_) => return Ok(()),
                Err(now) => head = now,
            }
        }
    }

    /// Takes every chain: the name of the first block, from which the links lead to all of them,
    /// the last pushed chain first; [`NONE`](Self::NONE) if there is none.
    ///
    /// One thread at a time takes or closes; two that do so at once may reopen a closed list.
    #[inline]
    pub fn take_all(&self) -> usize {
        if self.is_empty() {
            return Self::NONE;
        }
        // Acquire: pairs with the Release in `push`.
        self.head.swap(Self::NONE, Ordering::Acquire)
    }

    /// Takes every chain like [`take_all`](Self::take_all), and refuses chains from now on.
    #[inline]
    pub fn close(&self) -> usize {
        // Acquire: pairs with the Release in `push`.
        let head = self.head.swap(CLOSED, Ordering::Acquire);
        if head == CLOSED { Self::NONE } else { head }
    }
}

impl Default for RemoteList {
    #[inline]
    fn default() -> Self {
        Self::new()
    }
}

/// Whether `head` stands for no block.
#[inline]
fn is_no_block(head: usize) -> bool {
    head > RemoteList::NAME_MAX
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::cell::Cell;
    use std::vec::Vec;

    use super::*;

    const NONE: usize = RemoteList::NONE;

    struct Links([Cell<usize>; 8]);

    impl Links {
        fn new() -> Self {
            Self(core::array::from_fn(|_| Cell::new(99)))
        }

        fn push(&self, list: &RemoteList, chain: &[usize]) -> Result<(), Closed> {
            for pair in chain.windows(2) {
                self.0[pair[0]].set(pair[1]);
            }
            let last = chain[chain.len() - 1];
            list.push(chain[0], |next| self.0[last].set(next))
        }

        fn walk(&self, mut offset: usize) -> Vec<usize> {
            let mut blocks = Vec::new();
            while offset != NONE {
                blocks.push(offset);
                offset = self.0[offset].get();
            }
            blocks
        }
    }

    #[test]
    fn the_last_chain_comes_first_and_each_block_once() {
        let (list, links) = (RemoteList::default(), Links::new());
        assert!(list.is_empty());
        assert_eq!(list.take_all(), NONE);
        for chain in [&[3][..], &[1, 2], &[0, 7, 5]] {
            assert_eq!(links.push(&list, chain), Ok(()));
            assert!(!list.is_empty());
        }
        assert_eq!(links.walk(list.take_all()), [0, 7, 5, 1, 2, 3]);
        assert!(list.is_empty());
        assert_eq!(links.push(&list, &[4]), Ok(()));
        assert_eq!(links.walk(list.take_all()), [4]);
    }

    #[test]
    fn a_closed_list_gives_up_what_it_had_and_takes_nothing() {
        let (list, links) = (RemoteList::new(), Links::new());
        assert_eq!(links.push(&list, &[6, 1]), Ok(()));
        assert!(!list.is_closed());
        assert_eq!(links.walk(list.close()), [6, 1]);
        assert!(list.is_closed() && list.is_empty());
        assert_eq!(links.push(&list, &[2]), Err(Closed));
        assert_eq!(
            links.0[2].get(),
            99,
            "the link of a refused chain is written"
        );
        assert_eq!((list.take_all(), list.close()), (NONE, NONE));
        assert!(list.is_closed());
    }

    #[test]
    fn offsets_reach_from_zero_to_the_limit() {
        let list = RemoteList::new();
        let mut link = 1;
        for first in [0, RemoteList::NAME_MAX] {
            assert_eq!(list.push(first, |next| link = next), Ok(()));
            assert_eq!((list.take_all(), link), (first, NONE));
        }
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::sync::Arc;
    use loom::thread;
    use std::vec::Vec;

    use super::*;
    use crate::cell::UnsafeCell;

    const NONE: usize = RemoteList::NONE;

    /// A list and the links of its blocks, which stand for the blocks' memory: loom reports two
    /// accesses to one that overlap or are not ordered.
    struct World {
        list: RemoteList,
        links: Vec<UnsafeCell<usize>>,
    }

    // SAFETY: a link is touched by whoever has its block, which is what the models check.
    unsafe impl Sync for World {}
    // SAFETY: as above.
    unsafe impl Send for World {}

    impl World {
        fn new(blocks: usize) -> Arc<Self> {
            Arc::new(Self {
                list: RemoteList::new(),
                links: (0..blocks).map(|_| UnsafeCell::new(0)).collect(),
            })
        }

        fn set(&self, block: usize, next: usize) {
            self.links[block].with_mut(|link| {
                // SAFETY: the caller has the block.
                unsafe { *link = next };
            });
        }

        fn push(&self, chain: &[usize]) -> Result<(), Closed> {
            for pair in chain.windows(2) {
                self.set(pair[0], pair[1]);
            }
            let last = chain[chain.len() - 1];
            self.list.push(chain[0], |next| self.set(last, next))
        }

        /// The blocks of a chain that was taken; writes to each, as its next user would.
        fn use_chain(&self, mut block: usize) -> Vec<usize> {
            let mut blocks = Vec::new();
            while block != NONE {
                blocks.push(block);
                let next = self.links[block].with(|link| {
                    // SAFETY: the chain was taken, so its blocks are the caller's.
                    unsafe { *link }
                });
                self.set(block, 1000);
                block = next;
            }
            blocks
        }
    }

    fn sorted(mut blocks: Vec<usize>) -> Vec<usize> {
        blocks.sort_unstable();
        blocks
    }

    #[test]
    fn loom2_a_chain_arrives_whole_or_not_yet() {
        loom::model(|| {
            let world = World::new(3);
            let pusher = {
                let world = Arc::clone(&world);
                thread::spawn(move || {
                    world.push(&[0, 1]).expect("open");
                    world.push(&[2]).expect("open");
                })
            };
            let mut blocks = world.use_chain(world.list.take_all());
            assert!(matches!(blocks[..], [] | [0, 1] | [2, 0, 1]));
            pusher.join().expect("joins");
            blocks.extend(world.use_chain(world.list.take_all()));
            assert_eq!(sorted(blocks), [0, 1, 2]);
        });
    }

    #[test]
    fn loom3_two_pushers_lose_nothing() {
        loom::model(|| {
            let world = World::new(3);
            let pushers = [&[0, 1][..], &[2]].map(|chain| {
                let world = Arc::clone(&world);
                thread::spawn(move || world.push(chain).expect("open"))
            });
            let mut blocks = world.use_chain(world.list.take_all());
            for pusher in pushers {
                pusher.join().expect("joins");
            }
            blocks.extend(world.use_chain(world.list.take_all()));
            assert_eq!(sorted(blocks), [0, 1, 2]);
        });
    }

    /// The head that a pusher has read is taken, used and pushed again before its
    /// compare-and-swap, which then succeeds.
    #[test]
    fn loom2_a_head_that_comes_back_does_no_harm() {
        loom::model(|| {
            let world = World::new(2);
            world.push(&[0]).expect("open");
            let pusher = {
                let world = Arc::clone(&world);
                thread::spawn(move || world.push(&[1]).expect("open"))
            };
            let mut blocks = world.use_chain(world.list.take_all());
            let again = blocks.contains(&0);
            if again {
                blocks.retain(|&block| block != 0);
                world.push(&[0]).expect("open");
            }
            pusher.join().expect("joins");
            blocks.extend(world.use_chain(world.list.take_all()));
            assert_eq!(sorted(blocks), [0, 1]);
        });
    }

    #[test]
    fn loom2_a_push_beside_the_close_is_either_in_or_refused() {
        loom::model(|| {
            let world = World::new(2);
            world.push(&[1]).expect("open");
            let pusher = {
                let world = Arc::clone(&world);
                thread::spawn(move || world.push(&[0]).is_ok())
            };
            let blocks = world.use_chain(world.list.close());
            let pushed = pusher.join().expect("joins");
            assert_eq!(blocks.contains(&0), pushed);
            assert!(blocks.contains(&1));
            assert!(world.list.is_empty());
        });
    }
}
