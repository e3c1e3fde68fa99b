//! [`Ring`]: the blocks in quarantine, the oldest first, and an index of their addresses.

use core::cell::Cell;
use core::ptr::NonNull;

use drystone_core::NonZeroLayout;

/// A block in quarantine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// The inner allocator's own pointer to the block.
    pub(super) block: NonNull<u8>,
    pub(super) layout: NonZeroLayout,
    /// How many bytes of the block carry the pattern: all it has.
    pub(super) bytes: usize,
}

/// A place in the ring.
#[derive(Clone, Copy, Debug)]
struct Place {
    held: Held,
    /// The next older block of the same bucket.
    next: Link,
}

/// The number of a place, plus one; 0 is none.
type Link = u32;

/// Up to `N` blocks.
///
/// - R1: the places `oldest .. oldest + len`, modulo `N`, hold a block each, and no others do.
/// - R2: each block is on the chain of its address's bucket once, and the chains hold nothing else;
///   newer blocks come before older ones.
/// - R3: `bytes` is the sum of the bytes of all blocks held.
#[derive(Debug)]
pub(super) struct Ring<const N: usize> {
    places: [Cell<Option<Place>>; N],
    buckets: [Cell<Link>; N],
    oldest: Cell<usize>,
    len: Cell<usize>,
    bytes: Cell<usize>,
}

// SAFETY: a block in quarantine belongs to the ring, like a `Box<[u8]>` of the inner allocator, and
// is reached by whoever has the ring.
unsafe impl<const N: usize> Send for Ring<N> {}

impl<const N: usize> Ring<N> {
    /// Holds nothing.
    pub(super) const fn new() -> Self {
        const {
            assert!(N > 0, "a quarantine holds at least one block");
            assert!(N < Link::MAX as usize, "a link names a place or none");
        }
        Self {
            places: [const { Cell::new(None) }; N],
            buckets: [const { Cell::new(0) }; N],
            oldest: Cell::new(0),
            len: Cell::new(0),
            bytes: Cell::new(0),
        }
    }

    /// How many blocks are held.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len.get()
    }

    /// How many bytes are held.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// Whether the block at `address` is held.
    #[inline]
    pub(super) fn holds(&self, address: usize) -> bool {
        let mut link = self.bucket(address).get();
        while let Some(place) = self.place(link) {
            if place.held.block.addr().get() == address {
                return true;
            }
            link = place.next;
        }
        false
    }

    /// Takes a block in. Only while fewer than `N` are held.
    #[inline]
    pub(super) fn push(&self, held: Held) {
        debug_assert!(self.len() < N, "R1");
        let at = Self::wrap(self.oldest.get() + self.len());
        let bucket = self.bucket(held.block.addr().get());
        let next = bucket.replace(link_to(at));
        self.places[at].set(Some(Place { held, next }));
        self.len.set(self.len() + 1);
        self.bytes.set(self.bytes() + held.bytes);
        self.debug_assert_invariants();
    }

    /// Gives the oldest block out.
    #[inline]
    pub(super) fn pop(&self) -> Option<Held> {
        if self.len() == 0 {
            return None;
        }
        let at = self.oldest.get();
        let Place { held, next } = self.places[at].take()?;
        self.unlink(held.block.addr().get(), link_to(at), next);
        self.oldest.set(Self::wrap(at + 1));
        self.len.set(self.len() - 1);
        self.bytes.set(self.bytes() - held.bytes);
        self.debug_assert_invariants();
        Some(held)
    }

    /// Takes the oldest block, which is the last of its chain, off the chain.
    #[inline]
    fn unlink(&self, address: usize, link: Link, next: Link) {
        debug_assert_eq!(next, 0, "R2: nothing is older than the oldest");
        let bucket = self.bucket(address);
        if bucket.get() == link {
            bucket.set(next);
            return;
        }
        let mut before = bucket.get();
        while let Some(mut place) = self.place(before) {
            if place.next == link {
                place.next = next;
                self.places[before as usize - 1].set(Some(place));
                return;
            }
            before = place.next;
        }
    }

    #[inline]
    fn place(&self, link: Link) -> Option<Place> {
        let at = (link as usize).checked_sub(1)?;
        self.places[at].get()
    }

    /// The bucket of an address: its Fibonacci hash (Knuth, TAOCP volume 3, section 6.4), scaled to
    /// the number of buckets.
    #[inline]
    fn bucket(&self, address: usize) -> &Cell<Link> {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let hash = (address as u64).wrapping_mul(GOLDEN) >> 32;
        #[allow(clippy::cast_possible_truncation, reason = "below N, which is a usize")]
        let bucket = ((hash * N as u64) >> 32) as usize;
        &self.buckets[bucket]
    }

    /// The number of a place that may be past the end, by less than `N`.
    #[inline]
    const fn wrap(at: usize) -> usize {
        if at >= N { at - N } else { at }
    }

    /// Checks every invariant by number, in builds with debug assertions.
    pub(super) fn debug_assert_invariants(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        let held = |at: usize| self.places[Self::wrap(at)].get();
        let oldest = self.oldest.get();
        assert!(oldest < N && self.len() <= N, "R1");
        let live = (0..self.len()).filter_map(|i| held(oldest + i));
        assert_eq!(live.clone().count(), self.len(), "R1");
        assert!((self.len()..N).all(|i| held(oldest + i).is_none()), "R1");
        let bytes = live.clone().map(|place| place.held.bytes).sum::<usize>();
        assert_eq!(bytes, self.bytes(), "R3");
        assert!(
            live.clone()
                .all(|place| self.holds(place.held.block.addr().get())),
            "R2"
        );
    }
}

/// The link to a place.
#[inline]
#[allow(
    clippy::cast_possible_truncation,
    reason = "N fits, and the place is below"
)]
const fn link_to(at: usize) -> Link {
    at as Link + 1
}
