//! [`Index`]: finds the segment of an address. Reading takes no lock; writing is under the growth
//! lock, through [`IndexWriter`].
//!
//! # What
//!
//! A hash table of segment numbers (addresses without the low bits of the segment's alignment),
//! open addressing, linear probing, Fibonacci hashing (Knuth, The Art of Computer Programming,
//! volume 3, section 6.4): neighbouring numbers, which is what segments mostly have, fall far apart.
//!
//! # Memory picture
//!
//! ```text
//!  Index.table ──> header │ key, descriptor │ key, descriptor │ ...    2^log2 entries
//!       (log2 in the low   next: tables that were current before
//!        bits)
//! ```
//!
//! # Invariants
//!
//! - X1: an entry's key is EMPTY, GONE or a segment number. No number is in two entries of a table.
//! - X2: the entry of a number is reached from its hash by entries that are not EMPTY.
//! - X3: at most five eighths of the entries are not EMPTY.
//! - X4: tables live as long as the slab. One that is written while a reader may still be in it is
//!   announced by `rewrites` first.
//!
//! # Threads
//!
//! A reader may be in a table that is no longer current, even in one that is being filled anew. It
//! trusts an entry only if the descriptor says that its segment is at the address asked for, which
//! no other descriptor can say while the segment is in use; and it believes that a number is
//! missing only if no table was rewritten meanwhile.
//!
//! # Cost
//!
//! 16 bytes an entry; between one and a half and five entries a segment. Tables that were outgrown
//! add at most as much again, and one spare of the current size, once entries were removed, as
//! much again.

use core::ptr::{self, NonNull};

use drystone_core::{AllocError, HeapSegment, NonZeroLayout};
use drystone_sync::atomic::{AtomicPtr, AtomicUsize, Ordering, fence};

use super::segment::{Segment, SegmentRef};

/// The key of an entry that was never used since its table was filled.
const EMPTY: usize = 0;
/// The key of an entry whose segment was given back. No segment has this number: that would take
/// the last address.
const GONE: usize = usize::MAX;

/// The size of the first table, as a power of two.
const FIRST_LOG2: u32 = if cfg!(loom) { 1 } else { 3 };

/// 2^BITS divided by the golden ratio, odd.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the upper half on targets with small words"
)]
const FIBONACCI: usize = (0x9E37_79B9_7F4A_7C15_u64 >> (64 - usize::BITS)) as usize | 1;

struct Entry {
    key: AtomicUsize,
    segment: AtomicPtr<Segment>,
}

/// Before the entries of a table.
#[repr(C, align(64))]
struct Header {
    memory: HeapSegment,
    log2: u32,
    /// Another table that is not current any more. Reached under the growth lock only.
    next: *mut Header,
}

/// A table of the index.
#[derive(Clone, Copy)]
struct Table<'a> {
    // I1: `2^log2` initialised entries that outlive `'a`.
    entries: &'a [Entry],
    log2: u32,
}

impl<'a> Table<'a> {
    /// The entries in the order of probing for `number`.
    #[inline]
    fn probe(self, number: usize) -> impl Iterator<Item = &'a Entry> {
        let mask = self.entries.len() - 1;
        let start = number.wrapping_mul(FIBONACCI) >> (usize::BITS - self.log2);
        (0..self.entries.len()).map(move |step| {
            // SAFETY: the mask keeps the index below the length, a power of two (I1).
            unsafe { self.entries.get_unchecked((start + step) & mask) }
        })
    }

    /// The segment with this number that lies at `base`.
    #[inline]
    fn find<'b>(self, number: usize, base: usize) -> Option<SegmentRef<'b>>
    where
        'a: 'b,
    {
        for entry in self.probe(number) {
            // Acquire: pairs with the Release in `IndexWriter::insert`, so that the descriptor is
            // at least the one that was entered with this number.
            let key = entry.key.load(Ordering::Acquire);
            if key == number {
                // Relaxed: ordered by the key.
                let segment = NonNull::new(entry.segment.load(Ordering::Relaxed))?;
                // SAFETY: only descriptors are entered, and they live as long as the slab, as
                // the table does.
                let segment = unsafe { SegmentRef::from_raw(segment) };
                // A table that is filled anew may show a number beside another's descriptor.
                return (segment.base().addr() == base).then_some(segment);
            }
            if key == EMPTY {
                return None;
            }
        }
        None
    }
}

/// A table that is not in use, or not any more.
pub(super) struct OwnTable {
    header: NonNull<Header>,
}

impl OwnTable {
    /// An empty table of `2^log2` entries.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if the heap has no memory for it.
    pub(super) fn new(log2: u32) -> Result<Self, AllocError> {
        let entries = 1usize.checked_shl(log2).ok_or(AllocError)?;
        let bytes = entries
            .checked_mul(size_of::<Entry>())
            .and_then(|bytes| bytes.checked_add(size_of::<Header>()))
            .ok_or(AllocError)?;
        let layout =
            NonZeroLayout::from_size_align(bytes, align_of::<Header>()).map_err(|_| AllocError)?;
        let memory = HeapSegment::new(layout)?;
        use drystone_core::FixedRange as _;
        let header = memory.base().cast::<Header>();
        let value = Header {
            memory,
            log2,
            next: ptr::null_mut(),
        };
        // SAFETY: the block begins with room for a header, aligned.
        unsafe { header.write(value) };
        let table = Self { header };
        for index in 0..entries {
            let entry = Entry {
                key: AtomicUsize::new(EMPTY),
                segment: AtomicPtr::new(ptr::null_mut()),
            };
            // SAFETY: the entries follow the header in the block, and this is one of them.
            let place = unsafe { table.first_entry().add(index) };
            // SAFETY: as above; the block is new.
            unsafe { place.write(entry) };
        }
        Ok(table)
    }

    fn first_entry(&self) -> NonNull<Entry> {
        // SAFETY: the block is longer than its header.
        unsafe { self.header.add(1) }.cast()
    }

    fn log2(&self) -> u32 {
        // SAFETY: the header is initialised, and `log2` never changes.
        unsafe { (*self.header.as_ptr()).log2 }
    }

    /// The header's address with `log2` in its low bits, of which the alignment leaves six.
    fn tagged(&self) -> *mut Header {
        let log2 = self.log2() as usize;
        self.header.as_ptr().map_addr(|addr| addr | log2)
    }
}

impl Drop for OwnTable {
    fn drop(&mut self) {
        // SAFETY: whoever has an `OwnTable` is the only one who knows the table.
        let header = unsafe { self.header.read() };
        drop(header.memory);
    }
}

/// The readers' side.
pub(super) struct Index {
    /// The current table, tagged with its size; null before the first segment.
    table: AtomicPtr<Header>,
    /// How often a table that had been current before was filled anew.
    rewrites: AtomicUsize,
}

impl Index {
    /// An index without a segment.
    pub(super) fn new() -> Self {
        Self {
            table: AtomicPtr::new(ptr::null_mut()),
            rewrites: AtomicUsize::new(0),
        }
    }

    /// The segment that `address` lies in.
    ///
    /// For a segment that is in use, and was before the call began, the answer is right. For any
    /// other address it is the segment that was there at some moment during the call, if any.
    #[inline]
    pub(super) fn find(&self, address: usize, shift: u32) -> Option<SegmentRef<'_>> {
        let number = address >> shift;
        let found = self
            .table()
            .and_then(|table| table.find(number, number << shift));
        if found.is_some() {
            return found;
        }
        self.find_again(number, number << shift)
    }

    #[cold]
    #[inline(never)]
    fn find_again(&self, number: usize, base: usize) -> Option<SegmentRef<'_>> {
        if number == EMPTY || number == GONE {
            return None;
        }
        loop {
            // Acquire: pairs with the Release of `announce`; a table that was current before the
            // announcement counted here is not the one that `table` then finds.
            let before = self.rewrites.load(Ordering::Acquire);
            let table = self.table()?;
            if let Some(segment) = table.find(number, base) {
                return Some(segment);
            }
            // With the loads of the entries in front it pairs with the fence in `announce`: if
            // one of them saw an entry of the new filling, the next load sees the announcement.
            fence(Ordering::Acquire);
            if self.rewrites.load(Ordering::Relaxed) == before {
                return None;
            }
        }
    }

    #[inline]
    fn table(&self) -> Option<Table<'_>> {
        // Acquire: pairs with the Release in `IndexWriter::publish`, for the entries.
        let tagged = self.table.load(Ordering::Acquire);
        let log2 = tagged.addr() & (align_of::<Header>() - 1);
        let header = NonNull::new(tagged.map_addr(|addr| addr - log2))?;
        // SAFETY: the block is longer than its header.
        let first = unsafe { header.add(1) }.cast::<Entry>();
        Some(Table {
            // SAFETY: the block holds `2^log2` initialised entries, shared from when it was
            // published, and lives as long as the slab.
            entries: unsafe { core::slice::from_raw_parts(first.as_ptr(), 1 << log2) },
            log2: log2 as u32,
        })
    }

    fn announce(&self) {
        // Release: pairs with the Acquire of `rewrites` in `find_again`.
        self.rewrites.fetch_add(1, Ordering::Release);
        // With the Relaxed stores of the entries that follow it pairs with the fence there.
        fence(Ordering::Release);
    }
}

/// The writers' side; lives under the growth lock.
pub(super) struct IndexWriter {
    /// Segments in the current table.
    segments: usize,
    /// GONE entries in the current table.
    gone: usize,
    /// Tables that were current before, smallest last. One of the current size, if there is one,
    /// comes first and is used again.
    old: *mut Header,
    /// The current table's size; 0 before the first.
    log2: u32,
}

/// What an index needs before the next segment can be entered: a table of this size.
pub(super) struct NeedsTable {
    /// The size as a power of two.
    pub(super) log2: u32,
}

impl IndexWriter {
    /// The writer of an index without a segment.
    pub(super) const fn new() -> Self {
        Self {
            segments: 0,
            gone: 0,
            old: ptr::null_mut(),
            log2: 0,
        }
    }

    /// Makes room for one more segment, with `table` if it is needed and large enough. What is
    /// left in `table` was not used.
    ///
    /// # Errors
    ///
    /// [`NeedsTable`] says how large a table to come back with.
    pub(super) fn make_room(
        &mut self,
        index: &Index,
        table: &mut Option<OwnTable>,
    ) -> Result<(), NeedsTable> {
        let entries = if self.log2 == 0 { 0 } else { 1 << self.log2 };
        if (self.segments + self.gone + 1) * 8 <= entries * 5 {
            return Ok(());
        }
        // Half full at most after the change, so that the next one is far.
        let mut log2 = self.log2.max(FIRST_LOG2);
        while (self.segments + 1) * 2 > 1 << log2 {
            log2 += 1;
        }
        if log2 == self.log2 {
            if let Some(spare) = self.take_spare() {
                index.announce();
                self.change(index, spare);
                return Ok(());
            }
        }
        match table.take_if(|table| table.log2() == log2) {
            Some(table) => {
                self.change(index, table);
                Ok(())
            }
            None => Err(NeedsTable { log2 }),
        }
    }

    /// A table of the current size that was current before.
    fn take_spare(&mut self) -> Option<OwnTable> {
        let header = NonNull::new(self.old)?;
        let spare = OwnTable { header };
        if spare.log2() != self.log2 {
            core::mem::forget(spare);
            return None;
        }
        // SAFETY: the header is initialised, and its link is reached under the lock only.
        self.old = unsafe { (*header.as_ptr()).next };
        Some(spare)
    }

    /// Fills `table` with what the current one has, and makes it current.
    fn change(&mut self, index: &Index, table: OwnTable) {
        let header = table.header;
        let fresh = Table {
            // SAFETY: the block holds that many initialised entries and outlives the call. A
            // reader may still be in it; the entries are atomic.
            entries: unsafe {
                core::slice::from_raw_parts(table.first_entry().as_ptr(), 1 << table.log2())
            },
            log2: table.log2(),
        };
        for entry in fresh.entries {
            // Relaxed: ordered by the announcement before, or nobody else knows the table.
            entry.key.store(EMPTY, Ordering::Relaxed);
        }
        if let Some(current) = index.table() {
            for entry in current.entries {
                // Relaxed: only this thread writes the table, under the lock.
                let number = entry.key.load(Ordering::Relaxed);
                if number != EMPTY && number != GONE {
                    enter(fresh, number, entry.segment.load(Ordering::Relaxed));
                }
            }
        }
        self.gone = 0;
        self.log2 = table.log2();
        let tagged = table.tagged();
        core::mem::forget(table);
        self.publish(index, tagged, header);
    }

    fn publish(&mut self, index: &Index, tagged: *mut Header, header: NonNull<Header>) {
        // Release: pairs with the Acquire in `Index::table`, for the entries. Acquire is not
        // needed: the lock orders the writers.
        let before = index.table.swap(tagged, Ordering::Release);
        let before = before.map_addr(|addr| addr & !(align_of::<Header>() - 1));
        debug_assert_ne!(before, header.as_ptr());
        if !before.is_null() {
            // SAFETY: the header of a table that lives; its link is reached under the lock only.
            unsafe { (*before).next = self.old };
            self.old = before;
        }
    }

    /// Enters a segment. [`make_room`](Self::make_room) has made room for it.
    pub(super) fn insert(&mut self, index: &Index, segment: SegmentRef<'_>, shift: u32) {
        let number = segment.base().addr() >> shift;
        if let Some(table) = index.table() {
            if enter(table, number, segment.as_raw().as_ptr()) {
                self.gone -= 1;
            }
            self.segments += 1;
        }
    }

    /// Removes a segment. Its address is not found from then on.
    pub(super) fn remove(&mut self, index: &Index, segment: SegmentRef<'_>, shift: u32) {
        let number = segment.base().addr() >> shift;
        let Some(table) = index.table() else { return };
        let found = table
            .probe(number)
            // Relaxed: only the writer changes keys.
            .find(|entry| entry.key.load(Ordering::Relaxed) == number);
        if let Some(entry) = found {
            // Relaxed: who rightly frees a slot of the segment is done with it, and others may
            // read what was there before.
            entry.key.store(GONE, Ordering::Relaxed);
            self.segments -= 1;
            self.gone += 1;
        }
    }

    /// How many segments the index has.
    pub(super) fn segments(&self) -> usize {
        self.segments
    }

    /// Frees every table.
    ///
    /// # Safety
    ///
    /// Nobody reads the index any more.
    pub(super) unsafe fn destroy(&mut self, index: &mut Index) {
        let current = index.table.load(Ordering::Relaxed);
        let mut next = NonNull::new(current.map_addr(|addr| addr & !(align_of::<Header>() - 1)));
        if let Some(current) = next {
            // SAFETY: the header of a table that lives.
            unsafe { (*current.as_ptr()).next = self.old };
        }
        while let Some(header) = next {
            // SAFETY: as above.
            next = NonNull::new(unsafe { (*header.as_ptr()).next });
            drop(OwnTable { header });
        }
        *index = Index::new();
        *self = Self::new();
    }
}

/// Enters a number that is not in the table, which has an entry free; says whether a GONE entry was
/// used for it.
fn enter(table: Table<'_>, number: usize, segment: *mut Segment) -> bool {
    for entry in table.probe(number) {
        // Relaxed: only the writer changes keys.
        let key = entry.key.load(Ordering::Relaxed);
        if key == EMPTY || key == GONE {
            // Relaxed: published by the key.
            entry.segment.store(segment, Ordering::Relaxed);
            // Release: pairs with the Acquire in `Table::find`.
            entry.key.store(number, Ordering::Release);
            return key == GONE;
        }
    }
    debug_assert!(false, "X3: the table is full");
    false
}
