//! [`Index`]: finds the segment of an address. Reading takes no lock; writing is under the growth
//! lock, through [`IndexWriter`].
//!
//! # What
//!
//! A hash table of the segments' bases (addresses without the bits below the segments' alignment).
//! Four entries share a cache line and are compared without a branch: which of them it is cannot be
//! predicted, and a wrong prediction costs as much as a cache miss, because it waits for one. A
//! full line overflows into the next. [`Grid`] spreads neighbours, which is what segments mostly are,
//! so evenly that lines seldom overflow.
//!
//! # Memory picture
//!
//! ```text
//!  Index.table ──> header │ 4 keys, 4 descriptors │ 4 keys, 4 descriptors │ ...    2^log2 lines
//!    (how far a hash  └ next: tables that were current before
//!     is shifted in
//!     the low bits)
//! ```
//!
//! # Invariants
//!
//! - X1: a key is EMPTY, GONE or the base of a segment. No base is twice in a table.
//! - X2: no line from the one that a base hashes to, to the one before the base's own, has an
//!   EMPTY key.
//! - X3: at most half of the keys are not EMPTY, so few lines are full.
//! - X4: tables live as long as the slab. One that is written while a reader may still be in it is
//!   announced by `rewrites` first.
//!
//! # Threads
//!
//! A reader may be in a table that is no longer current, even in one that is being filled anew. It
//! trusts an entry only if the descriptor says that its segment is at the address asked for, which
//! no other descriptor can say while the segment is in use; and it believes that a base is
//! missing only if no table was rewritten meanwhile.
//!
//! The fences order atomic keys among themselves; what a descriptor holds is ordered by the Acquire
//! load of its pointer. So ThreadSanitizer, which sees no fences, has nothing to misjudge here.
//!
//! # Cost
//!
//! 16 bytes an entry, and between two and six entries a segment. Tables that were
//! outgrown add at most as much again, and one spare of the current size, once entries were
//! removed, as much again.

use core::hint::select_unpredictable;
use core::ptr::{self, NonNull};

use drystone_core::{AllocError, FixedRange as _, HeapSegment, NonZeroLayout};
use drystone_sync::atomic::{AtomicPtr, AtomicUsize, Ordering, fence};

use super::grid::Grid;
use super::segment::{Segment, SegmentRef};

/// The key of an entry that was never used since its table was filled.
const EMPTY: usize = 0;
/// The key of an entry whose segment was given back. No segment begins here: that would take the
/// last address.
const GONE: usize = usize::MAX;

/// The lines of the first table, as a power of two.
const FIRST_LOG2: u32 = 1;

/// The entries of a line. One under loom, so that the models reach what a full line does.
const WAYS: usize = if cfg!(loom) { 1 } else { 4 };

/// As many entries as fit a cache line of 64 bytes.
#[repr(C, align(64))]
struct Line {
    keys: [AtomicUsize; WAYS],
    segments: [AtomicPtr<Segment>; WAYS],
}

impl Line {
    fn new() -> Self {
        Self {
            keys: core::array::from_fn(|_| AtomicUsize::new(EMPTY)),
            segments: core::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
        }
    }

    /// Where `base` is if it is in this line; somewhere if it is not. No branch.
    #[inline]
    fn guess(&self, base: usize) -> usize {
        let mut way = 0;
        for (index, key) in self.keys.iter().enumerate().skip(1) {
            // Relaxed: the descriptor has the last word.
            let equal = key.load(Ordering::Relaxed) == base;
            way = select_unpredictable(equal, index, way);
        }
        way
    }

    /// Where this key is, first.
    fn position(&self, key: usize) -> Option<usize> {
        // Relaxed: as above.
        self.keys
            .iter()
            .position(|k| k.load(Ordering::Relaxed) == key)
    }

    /// The segment in this place if it lies at `base`.
    #[inline]
    fn segment<'a>(&self, way: usize, base: usize) -> Option<SegmentRef<'a>> {
        // Acquire: pairs with the Release in `enter`, for the descriptor.
        let segment = NonNull::new(self.segments[way].load(Ordering::Acquire))?;
        // SAFETY: only descriptors are entered, and they live as long as the slab, which the
        // callers have borrowed for `'a`.
        let segment = unsafe { SegmentRef::from_raw(segment) };
        // The descriptor of a segment that was given back says 0, where no segment can be.
        (base != 0 && segment.base().addr() == base).then_some(segment)
    }
}

/// Before the lines of a table.
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
    // I1: `2^log2` initialised lines that outlive `'a`.
    lines: &'a [Line],
    // I2: `usize::BITS - log2`, which is from 1 to `usize::BITS - 1`.
    down: u32,
}

impl<'a> Table<'a> {
    /// The line that a base with this spread hashes to.
    #[inline]
    fn first(self, spread: usize) -> &'a Line {
        // SAFETY: what is left of the word has `log2` bits (I2), so it is below the length (I1).
        unsafe { self.lines.get_unchecked(spread.wrapping_shr(self.down)) }
    }

    /// The lines in the order of probing for a base with this spread.
    fn probe(self, spread: usize) -> impl Iterator<Item = &'a Line> {
        let mask = self.lines.len() - 1;
        let start = spread.wrapping_shr(self.down);
        (0..self.lines.len()).map(move |step| {
            // SAFETY: the mask keeps the index below the length, a power of two (I1).
            unsafe { self.lines.get_unchecked((start + step) & mask) }
        })
    }

    /// The segment at `base`, whose spread this is, if its line did not overflow.
    #[inline]
    fn find_at_once(self, base: usize, spread: usize) -> Option<SegmentRef<'a>> {
        let line = self.first(spread);
        // The descriptor tells whether the guess was right: for a base that is in the line there
        // is nothing to predict.
        line.segment(line.guess(base), base)
    }

    /// The segment at `base`, whose spread this is.
    fn find(self, base: usize, spread: usize) -> Option<SegmentRef<'a>> {
        for line in self.probe(spread) {
            if let Some(way) = line.position(base) {
                return line.segment(way, base);
            }
            if line.position(EMPTY).is_some() {
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
    /// An empty table of `2^log2` lines.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if the heap has no memory for it.
    pub(super) fn new(log2: u32) -> Result<Self, AllocError> {
        let lines = 1usize.checked_shl(log2).ok_or(AllocError)?;
        let bytes = lines
            .checked_mul(size_of::<Line>())
            .and_then(|bytes| bytes.checked_add(size_of::<Header>()))
            .ok_or(AllocError)?;
        let layout = NonZeroLayout::from_size_align(bytes, align_of::<Header>());
        let memory = HeapSegment::new(layout.map_err(|_| AllocError)?)?;
        let header = memory.base().cast::<Header>();
        let value = Header {
            memory,
            log2,
            next: ptr::null_mut(),
        };
        // SAFETY: the block begins with room for a header, aligned.
        unsafe { header.write(value) };
        let table = Self { header };
        for index in 0..lines {
            // SAFETY: the lines follow the header in the block, and this is one of them.
            let place = unsafe { table.first_line().add(index) };
            // SAFETY: as above; the block is new.
            unsafe { place.write(Line::new()) };
        }
        Ok(table)
    }

    fn first_line(&self) -> NonNull<Line> {
        // SAFETY: the block is longer than its header.
        unsafe { self.header.add(1) }.cast()
    }

    fn log2(&self) -> u32 {
        // SAFETY: the header is initialised, and `log2` never changes.
        unsafe { (*self.header.as_ptr()).log2 }
    }

    /// The header's address with `down` of the table in its low bits, of which the alignment leaves
    /// six.
    fn tagged(&self) -> *mut Header {
        let down = (usize::BITS - self.log2()) as usize;
        self.header.as_ptr().map_addr(|addr| addr | down)
    }
}

impl Drop for OwnTable {
    fn drop(&mut self) {
        // SAFETY: whoever has an `OwnTable` is the only one who knows the table.
        let header = unsafe { self.header.read() };
        drop(header.memory);
    }
}

/// A table's address without its tag.
fn untagged(table: *mut Header) -> *mut Header {
    table.map_addr(|addr| addr & !(align_of::<Header>() - 1))
}

/// The readers' side.
pub(super) struct Index {
    /// The current table, tagged with how far hashes are shifted in it; null before the first
    /// segment.
    table: AtomicPtr<Header>,
    /// Where segments may begin.
    grid: Grid,
    /// How often a table that had been current before was filled anew.
    rewrites: AtomicUsize,
}

impl Index {
    /// An index without a segment.
    pub(super) fn new(grid: Grid) -> Self {
        Self {
            table: AtomicPtr::new(ptr::null_mut()),
            grid,
            rewrites: AtomicUsize::new(0),
        }
    }

    /// Where segments may begin.
    #[inline]
    pub(super) fn grid(&self) -> Grid {
        self.grid
    }

    /// The segment that `address` lies in.
    ///
    /// For a segment that is in use, and was before the call began, the answer is right. For any
    /// other address it is the segment that was there at some moment during the call, if any.
    #[inline]
    pub(super) fn find(&self, address: usize) -> Option<SegmentRef<'_>> {
        self.find_at_once(address)
            .or_else(|| self.find_again(address))
    }

    /// As [`find`](Self::find), but looks at one line, and may miss a segment that is there.
    #[inline]
    pub(super) fn find_at_once(&self, address: usize) -> Option<SegmentRef<'_>> {
        let base = self.grid.base(address);
        self.table()?.find_at_once(base, self.grid.spread(base))
    }

    /// As [`find`](Self::find), where the first look did not find it: goes on to further lines, and
    /// makes sure that the table was not filled anew under it.
    #[cold]
    #[inline(never)]
    pub(super) fn find_again(&self, address: usize) -> Option<SegmentRef<'_>> {
        let base = self.grid.base(address);
        let spread = self.grid.spread(base);
        loop {
            // Acquire: pairs with the Release of `announce`: a table whose rewriting is counted
            // here is not the one that `table` finds, until it is current again.
            let before = self.rewrites.load(Ordering::Acquire);
            let table = self.table()?;
            if let Some(segment) = table.find(base, spread) {
                return Some(segment);
            }
            // With the loads of the keys in front it pairs with the fence in `announce`: if one of
            // them saw a key of the new filling, the next load sees the announcement.
            fence(Ordering::Acquire);
            if self.rewrites.load(Ordering::Relaxed) == before {
                return None;
            }
        }
    }

    #[inline]
    fn table(&self) -> Option<Table<'_>> {
        // Acquire: pairs with the Release in `IndexWriter::publish`, for the lines.
        let tagged = self.table.load(Ordering::Acquire);
        let header = NonNull::new(untagged(tagged))?;
        // The shift takes its lowest bits only.
        let down = tagged.addr() as u32 % usize::BITS;
        // SAFETY: the block is longer than its header.
        let first = unsafe { header.add(1) }.cast::<Line>();
        Some(Table {
            // SAFETY: the block holds `2^log2` initialised lines, shared from when it was
            // published, and lives as long as the slab.
            lines: unsafe {
                core::slice::from_raw_parts(first.as_ptr(), 1 << (usize::BITS - down))
            },
            down,
        })
    }

    /// How often a table was filled anew, for the models.
    #[cfg(all(test, loom))]
    pub(super) fn rewrites(&self) -> usize {
        self.rewrites.load(Ordering::Relaxed)
    }

    fn announce(&self) {
        // Release: pairs with the Acquire of `rewrites` in `find_again`.
        self.rewrites.fetch_add(1, Ordering::Release);
        // With the Relaxed stores of the keys that follow it pairs with the fence there.
        fence(Ordering::Release);
    }
}

/// The writers' side; lives under the growth lock.
pub(super) struct IndexWriter {
    /// Segments in the current table.
    segments: usize,
    /// GONE keys in the current table.
    gone: usize,
    /// Tables that were current before. One of the current size, if there is one, comes first, and
    /// is used again.
    old: *mut Header,
    /// The current table's size; 0 before the first.
    log2: u32,
}

/// What an index needs before the next segment can be entered: a table of this size.
pub(super) struct NeedsTable {
    /// The lines as a power of two.
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
        let entries = if self.log2 == 0 { 0 } else { WAYS << self.log2 };
        if (self.segments + self.gone + 1) * 2 <= entries {
            return Ok(());
        }
        // Three eighths at most after the change, so that the next one is far.
        let mut log2 = self.log2.max(FIRST_LOG2);
        while (self.segments + 1) * 8 > (WAYS << log2) * 3 {
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
        // SAFETY: the header is initialised, and `log2` never changes.
        let log2 = unsafe { (*header.as_ptr()).log2 };
        if log2 != self.log2 {
            return None;
        }
        // SAFETY: the header is initialised, and its link is reached under the lock only.
        self.old = unsafe { (*header.as_ptr()).next };
        Some(OwnTable { header })
    }

    /// Fills `table` with what the current one has, and makes it current.
    fn change(&mut self, index: &Index, table: OwnTable) {
        let log2 = table.log2();
        let fresh = Table {
            // SAFETY: the block holds that many initialised lines and outlives the call. A reader
            // may still be in it; its fields are atomic.
            lines: unsafe { core::slice::from_raw_parts(table.first_line().as_ptr(), 1 << log2) },
            down: usize::BITS - log2,
        };
        for key in fresh.lines.iter().flat_map(|line| &line.keys) {
            // Relaxed: ordered by the announcement before, or nobody else knows the table.
            key.store(EMPTY, Ordering::Relaxed);
        }
        let current = index.table();
        let lines = current.iter().flat_map(|table| table.lines);
        for (key, segment) in lines.flat_map(|line| line.keys.iter().zip(&line.segments)) {
            // Relaxed: only this thread writes the table, under the lock.
            let base = key.load(Ordering::Relaxed);
            if base != EMPTY && base != GONE {
                let spread = index.grid.spread(base);
                enter(fresh, base, spread, segment.load(Ordering::Relaxed));
            }
        }
        self.gone = 0;
        self.log2 = log2;
        self.publish(index, table);
    }

    fn publish(&mut self, index: &Index, table: OwnTable) {
        let tagged = table.tagged();
        // From now on the index has the table.
        core::mem::forget(table);
        // Release: pairs with the Acquire in `Index::table`, for the lines. The lock orders the
        // writers.
        let before = untagged(index.table.swap(tagged, Ordering::Release));
        if !before.is_null() {
            // SAFETY: the header of a table that lives; its link is reached under the lock only.
            unsafe { (*before).next = self.old };
            self.old = before;
        }
    }

    /// Enters a segment. [`make_room`](Self::make_room) has made room for it.
    pub(super) fn insert(&mut self, index: &Index, segment: SegmentRef<'_>) {
        let base = segment.base().addr();
        let spread = index.grid.spread(base);
        if let Some(table) = index.table() {
            if enter(table, base, spread, segment.as_raw().as_ptr()) {
                self.gone -= 1;
            }
            self.segments += 1;
        }
    }

    /// Removes a segment. Its address is not found from then on.
    pub(super) fn remove(&mut self, index: &Index, segment: SegmentRef<'_>) {
        let base = segment.base().addr();
        let Some(table) = index.table() else { return };
        let found = table
            .probe(index.grid.spread(base))
            .find_map(|line| Some((line, line.position(base)?)));
        if let Some((line, way)) = found {
            // Relaxed: who rightly frees a slot of the segment is done with it, and others may
            // read what was there before.
            line.keys[way].store(GONE, Ordering::Relaxed);
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
        let current = NonNull::new(untagged(index.table.load(Ordering::Relaxed)));
        if let Some(current) = current {
            // SAFETY: the header of a table that lives.
            unsafe { (*current.as_ptr()).next = self.old };
        }
        let mut next = current;
        while let Some(header) = next {
            // SAFETY: as above.
            next = NonNull::new(unsafe { (*header.as_ptr()).next });
            drop(OwnTable { header });
        }
        *index = Index::new(index.grid);
        *self = Self::new();
    }
}

/// Enters a base that is not in the table, which has an entry free; says whether a GONE entry was
/// used for it.
fn enter(table: Table<'_>, base: usize, spread: usize, segment: *mut Segment) -> bool {
    for line in table.probe(spread) {
        for free in [GONE, EMPTY] {
            if let Some(way) = line.position(free) {
                // Release: pairs with the Acquire in `Line::segment`: a reader may look at any
                // descriptor in a line.
                line.segments[way].store(segment, Ordering::Release);
                // Relaxed: whoever has a block of the segment is ordered after this, and nobody
                // else has to find it.
                line.keys[way].store(base, Ordering::Relaxed);
                return free == GONE;
            }
        }
    }
    debug_assert!(false, "X3: the table is full");
    false
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;

    use std::collections::BTreeMap;
    use std::vec::Vec;

    use drystone_core::NoProtection;

    use super::super::descriptor;
    use super::super::shape::Shape;
    use super::*;

    const SHIFT: u32 = 6;
    const GRID: Grid = Grid::new(1 << SHIFT);

    /// An index, and what should be in it.
    struct Model {
        index: Index,
        writer: IndexWriter,
        shape: Shape,
        /// Descriptors by number.
        entered: BTreeMap<usize, SegmentRef<'static>>,
        unused: Vec<SegmentRef<'static>>,
        tables: usize,
    }

    impl Model {
        fn new() -> Self {
            Self {
                index: Index::new(GRID),
                writer: IndexWriter::new(),
                shape: Shape::new(1, 64, 64).expect("small"),
                entered: BTreeMap::new(),
                unused: Vec::new(),
                tables: 0,
            }
        }

        fn insert(&mut self, number: usize) {
            let segment = self.unused.pop().unwrap_or_else(|| {
                let made = descriptor::create::<HeapSegment, NoProtection>(&self.shape, 1);
                made.expect("memory").next().expect("one")
            });
            segment.set_base(ptr::without_provenance_mut(number << SHIFT));
            let mut table = None;
            while let Err(needed) = self.writer.make_room(&self.index, &mut table) {
                assert!(
                    table.is_none(),
                    "a table of the size asked for was not taken"
                );
                table = Some(OwnTable::new(needed.log2).expect("memory"));
                self.tables += 1;
            }
            self.writer.insert(&self.index, segment);
            assert!(self.entered.insert(number, segment).is_none());
        }

        fn remove(&mut self, number: usize) {
            let segment = self.entered.remove(&number).expect("entered");
            self.writer.remove(&self.index, segment);
            segment.set_base(ptr::null_mut());
            self.unused.push(segment);
        }

        fn check(&self, numbers: impl Iterator<Item = usize>) {
            assert_eq!(self.writer.segments(), self.entered.len());
            for number in numbers {
                for offset in [0, 1, 63] {
                    let found = self.index.find((number << SHIFT) + offset);
                    assert!(found == self.entered.get(&number).copied(), "{number:#x}");
                }
            }
        }
    }

    impl Drop for Model {
        fn drop(&mut self) {
            let segments = core::mem::take(&mut self.entered).into_values();
            for segment in segments.chain(self.unused.drain(..)) {
                // SAFETY: created with these types and this shape, and not used again.
                unsafe { descriptor::destroy::<HeapSegment, NoProtection>(segment, &self.shape) };
            }
            // SAFETY: nobody reads the index any more.
            unsafe { self.writer.destroy(&mut self.index) };
        }
    }

    /// Neighbours, numbers that collide, the smallest and the largest.
    fn numbers() -> Vec<usize> {
        let top = usize::MAX >> SHIFT;
        let neighbours = (0..150).map(|n| 0x7f_0000 + n);
        let far = (1..50).map(|n| n << (usize::BITS - SHIFT - 7));
        neighbours.chain(far).chain([1, 2, top, top - 1]).collect()
    }

    #[test]
    fn an_empty_index_finds_nothing() {
        Model::new().check(numbers().into_iter());
        assert!(Index::new(GRID).find(0).is_none());
        assert!(Index::new(Grid::new(1)).find(usize::MAX).is_none());
    }

    #[test]
    fn every_number_is_found_and_no_other() {
        let mut model = Model::new();
        let numbers = numbers();
        let step = if cfg!(miri) { 499 } else { 1 };
        for (count, &number) in numbers.iter().enumerate() {
            model.insert(number);
            if count % step == 0 {
                model.check(numbers.iter().copied());
            }
        }
        model.check(numbers.iter().copied().chain([0, 3, 0x7f_0000 + 150]));
        for (count, &number) in numbers.iter().enumerate() {
            model.remove(number);
            if count % step == 0 {
                model.check(numbers.iter().copied());
            }
        }
    }

    /// The lowest addresses lie in a segment at 0, which is what a descriptor without one says.
    #[test]
    fn a_segment_that_was_given_back_is_not_found_at_address_0() {
        let mut model = Model::new();
        (1..=20).for_each(|number| model.insert(number));
        // Tables are filled anew, over what was in them.
        for number in (21..400).step_by(10) {
            (number - 20..number - 10).for_each(|number| model.remove(number));
            for address in [0, 1, 63] {
                assert!(model.index.find(address).is_none(), "{address}");
            }
            (number..number + 10).for_each(|number| model.insert(number));
        }
    }

    /// Numbers that come and go for ever, none a second time: the tables are used again.
    #[test]
    fn memory_is_bounded_however_often_segments_change() {
        let mut model = Model::new();
        (1..=20).for_each(|number| model.insert(number));
        let tables = model.tables;
        for number in 21..if cfg!(miri) { 150 } else { 20_000 } {
            model.remove(number - 20);
            model.insert(number);
        }
        model.check(1..40);
        assert!(model.tables <= tables + 2, "{} tables", model.tables);
    }
}
