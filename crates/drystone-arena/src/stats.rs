//! [`ArenaStats`]: what an arena holds, and for whom.

use core::fmt;

use crate::core_state::Core;
use crate::geometry::{SLICE_BYTES, block_bytes};
use crate::segment::Segment;

/// What an arena holds, in bytes.
///
/// Each block counts with the size of its class, slice run or mapping, which may be more than was
/// asked for. The figures are exact while no thread allocates or frees; otherwise each part was
/// right at some moment of the call.
///
/// ```text
///  mapped = in pages (live + cached + room) + retained + headers + address space without memory
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArenaStats {
    /// The most bytes that pages and large blocks may have; `usize::MAX` without a limit.
    pub limit_bytes: usize,
    /// What the limit leaves.
    pub remaining_bytes: usize,
    /// Pages of blocks, and blocks that are too large for pages.
    pub in_pages_bytes: usize,
    /// Blocks that the application has.
    pub live_bytes: usize,
    /// Blocks that were freed and wait in a cache, or on their way back to one.
    pub cached_bytes: usize,
    /// Memory that nothing is in and that was not given back to the system: free slices, and large
    /// blocks that are kept for the next of their size.
    pub retained_bytes: usize,
    /// Memory that the system may have given pages to, headers included. More than that is not
    /// resident.
    pub resident_bytes: usize,
    /// Address space taken from the source.
    pub mapped_bytes: usize,
    /// Mappings for which the system refused huge pages, after they were asked for.
    pub huge_pages_refused: usize,
    /// Guards, and stretches of memory that nothing is in, that the system left accessible under
    /// [`Hardened`](drystone_core::Hardened): each could split a mapping in two, and their number is
    /// limited.
    pub guards_refused: usize,
}

/// What the segments of an arena add up to.
#[derive(Default)]
pub(crate) struct Sums {
    /// Blocks that are not at home in their page, in bytes.
    out: usize,
    /// Of those, the ones in bins, remote caches and inboxes.
    cached: usize,
    retained: usize,
    resident: usize,
}

impl Sums {
    /// Adds a segment of slices.
    pub(crate) fn add_segment(&mut self, segment: &Segment, header_slices: usize) {
        let (free, fresh) = segment.free_slices();
        self.retained += (free & !fresh).count_ones() as usize * SLICE_BYTES;
        // Free slices, and guards.
        let untouched = fresh.count_ones() as usize;
        self.resident += (crate::geometry::SLICES - untouched) * SLICE_BYTES;
        for first in header_slices..crate::geometry::SLICES {
            let inbox = segment.inbox(first);
            let content = inbox.content();
            let waiting = inbox.len() as usize;
            if let Some(class) = content.class() {
                self.out += segment.page(first).used.get() as usize * block_bytes(class);
                self.cached += waiting * block_bytes(class);
            } else if content.is_block() {
                let bytes = inbox.slices() * SLICE_BYTES;
                self.out += bytes;
                self.cached += waiting * bytes;
            }
        }
    }

    /// Adds a block with a mapping of its own, whose header takes a slice.
    pub(crate) fn add_huge(&mut self, bytes: usize, capacity: usize, is_live: bool) {
        self.resident += capacity + SLICE_BYTES;
        if is_live {
            self.out += bytes;
        } else {
            self.retained += capacity;
        }
    }

    /// Adds what a heap keeps.
    pub(crate) fn add_cached(&mut self, bytes: usize) {
        self.cached += bytes;
    }
}

impl ArenaStats {
    pub(crate) fn of(core: &Core) -> Self {
        let sums = core.sums();
        Self {
            limit_bytes: core.limit(),
            remaining_bytes: core.remaining(),
            in_pages_bytes: core.charged_bytes(),
            live_bytes: sums.out.saturating_sub(sums.cached),
            cached_bytes: sums.cached,
            retained_bytes: sums.retained,
            resident_bytes: sums.resident,
            mapped_bytes: core.mapped_bytes(),
            huge_pages_refused: core.advice_refused(),
            guards_refused: core.guards_refused(),
        }
    }
}

impl fmt::Display for ArenaStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("live", self.live_bytes),
            ("cached", self.cached_bytes),
            ("in pages", self.in_pages_bytes),
            ("retained", self.retained_bytes),
            ("resident", self.resident_bytes),
            ("mapped", self.mapped_bytes),
        ];
        for (name, bytes) in rows {
            writeln!(f, "{name:<10}{bytes:>20} B")?;
        }
        match self.limit_bytes {
            usize::MAX => writeln!(f, "{:<10}{:>20}", "limit", "none"),
            limit => writeln!(f, "{:<10}{limit:>20} B", "limit"),
        }
    }
}
