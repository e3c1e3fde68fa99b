//! Each thread's table from a pool to that thread's caches of it.
//!
//! # What
//!
//! A pool that is asked for a buffer must find the calling thread's cache in a few instructions.
//! A small table without destructor, [`PLACES`] entries picked by the pool's [`Place`], answers most
//! calls by one compare. Behind it stands a registry with all the caches of the thread, and a
//! destructor that gives them back.
//!
//! # Memory picture
//!
//! ```text
//!  thread    table     [ key | caches ] x 8        no destructor: readable until the thread is gone
//!                         |       |
//!            registry  [ home, caches ] ...        gives the caches back at the end of the thread
//!                         |       |
//!  pool      core <───────┘       └──> ThreadCaches  (also in the pool's list, for thieves)
//! ```
//!
//! # Invariants
//!
//! - I1: a table entry with a key is that of a registry entry of the same thread, and `caches` are
//!   its caches. The registry entry keeps the home, hence the key's address, and the caches alive.
//! - I2: an entry leaves the table before it leaves the registry.
//! - I3: after the registry's destructor the table is empty and stays so.
//! - I4: while the thread runs code of the user's in the midst of a pool's, no registry entry leaves. So what
//!   a pool's function found before keeps its home and caches until that function is over, even if the
//!   user's code drops the pool's last handle.
//!
//! # Threads
//!
//! Everything here is the calling thread's own. A thread that ends gives its caches back; in
//! destructors of thread-locals that run later every question is answered by `None`, and callers go on
//! without caches. A thread that is killed without running destructors leaves its caches, which others
//! can steal from.
//!
//! # Cost
//!
//! A hit: one thread-local read, one compare. 128 bytes for each thread, and 24 for each pool that it used
//! and that is not closed; entries of closed pools are swept whenever a thread opens caches, and by
//! the thread that closes the pool, unless it does so in a waker or a source (I4).

use core::cell::{Cell, RefCell};
use core::ptr::NonNull;
use std::sync::Arc;

use crate::class_cache::ClassCache;

/// The entries of a thread's table.
pub(crate) const PLACES: usize = 8;

/// The caches that one thread has of one pool: one for each class.
///
/// The thread that they were opened for is the owner of the rings; the pool keeps them in a list
/// too, for thieves and for statistics.
#[derive(Debug)]
pub(crate) struct ThreadCaches {
    classes: Box<[ClassCache]>,
}

impl ThreadCaches {
    pub(crate) fn new(classes: Box<[ClassCache]>) -> Self {
        Self { classes }
    }

    pub(crate) fn classes(&self) -> &[ClassCache] {
        &self.classes
    }
}

/// What a pool does for the threads that use it. Each call is made by the thread that the caches
/// belong to, which is then the owner of their rings and uses them nowhere else meanwhile.
pub(crate) trait Home: Send + Sync + 'static {
    /// Makes caches for the calling thread and lists them; `None` if there is no memory, or the pool
    /// wants none.
    fn open_caches(&self) -> Option<Arc<ThreadCaches>>;

    /// Empties the caches into the shared lists.
    fn flush_caches(&self, caches: &ThreadCaches);

    /// Empties the caches and takes them off the pool's list: the thread will not use them again.
    fn close_caches(&self, caches: &Arc<ThreadCaches>);

    /// Whether the pool's last handle is gone: its caches may be swept.
    fn is_closed(&self) -> bool;

    /// Where tables keep the pool's caches: always the same.
    fn spot(&self) -> Spot;
}

/// The calling thread's caches of the pool at `home`, in the order of their classes.
///
/// `None` if the table does not know them, which says nothing: ask [`find_or_open`].
///
/// The pointer is that of the first one, and good for all of them, until the calling thread opens
/// or closes caches of any pool; a caller uses it at once.
#[inline(always)]
pub(crate) fn find(home: NonNull<()>, spot: Spot) -> Option<NonNull<ClassCache>> {
    tls::with_table(|table| table.find(home, spot)).flatten()
}

/// As [`find`], but asks the registry, and opens caches if the thread has none of this pool.
///
/// `None` where there is nothing to find caches by: in destructors of thread-locals, and where the
/// pool opens none.
#[cold]
#[inline(never)]
pub(crate) fn find_or_open(home: &Arc<dyn Home>) -> Option<NonNull<ClassCache>> {
    if home.is_closed() {
        return None;
    }
    let key = key_of(home);
    let known = tls::with_registry(|registry| registry.find(key))?;
    let caches = match known {
        Some(caches) => caches,
        None => open(home)?,
    };
    let first = NonNull::from(caches.classes()).cast::<ClassCache>();
    // The registry entry that was found or made keeps the caches: I1.
    tls::with_table(|table| table.set(home.spot(), key, first))?;
    Some(first)
}

/// Opens caches of a pool of which this thread has none.
fn open(home: &Arc<dyn Home>) -> Option<Arc<ThreadCaches>> {
    sweep_closed();
    let caches = home.open_caches()?;
    let entry = Entry {
        home: Arc::clone(home),
        caches: Arc::clone(&caches),
    };
    let added = tls::with_registry(|registry| registry.add(entry));
    if added == Some(true) {
        return Some(caches);
    }
    home.close_caches(&caches);
    None
}

/// Empties the calling thread's caches of every pool into the shared lists.
pub(crate) fn flush() {
    let mut at = 0;
    while let Some(Some(entry)) = tls::with_registry(|registry| registry.get(at)) {
        entry.home.flush_caches(&entry.caches);
        at += 1;
    }
}

/// Runs code of the user's that a pool calls while it works: a waker, or a source (I4).
pub(crate) fn in_user_code<R>(run: impl FnOnce() -> R) -> R {
    /// Comes back, also by a panic.
    struct Back;

    impl Drop for Back {
        fn drop(&mut self) {
            tls::with_table(|table| table.user_code.set(table.user_code.get() - 1));
        }
    }

    tls::with_table(|table| table.user_code.set(table.user_code.get() + 1));
    let _back = Back;
    run()
}

/// Closes the calling thread's caches of pools that have been closed, unless it is in user code (I4).
pub(crate) fn sweep_closed() {
    if tls::with_table(|table| table.user_code.get()) != Some(0) {
        return;
    }
    while let Some(Some(entry)) = tls::with_registry(Registry::take_closed) {
        entry.home.close_caches(&entry.caches);
    }
}

/// The address that tells a pool from every other that lives.
fn key_of(home: &Arc<dyn Home>) -> NonNull<()> {
    let address = Arc::as_ptr(home).cast::<()>().cast_mut();
    // SAFETY: a counted reference points to something.
    unsafe { NonNull::new_unchecked(address) }
}

/// What the hit path reads.
struct Table {
    entries: [Cell<TableEntry>; PLACES],
    /// How many calls of the user's code the thread is in.
    user_code: Cell<u32>,
}

#[derive(Clone, Copy)]
struct TableEntry {
    /// `None` in an empty entry.
    home: Option<NonNull<()>>,
    caches: NonNull<ClassCache>,
}

impl Table {
    const EMPTY: TableEntry = TableEntry {
        home: None,
        caches: NonNull::dangling(),
    };

    const fn new() -> Self {
        Self {
            entries: [const { Cell::new(Self::EMPTY) }; PLACES],
            user_code: Cell::new(0),
        }
    }

    #[inline(always)]
    fn find(&self, home: NonNull<()>, spot: Spot) -> Option<NonNull<ClassCache>> {
        let entry = self.entry(spot).as_ptr();
        // SAFETY: the cell is this thread's, and holds an entry.
        let caches = unsafe { &raw const (*entry).caches };
        // SAFETY: as above. Volatile, so that it is loaded here, by the same address as the key, and not
        // behind the branch, by an address that has to be made anew: three instructions of the hit path.
        let caches = unsafe { caches.read_volatile() };
        // SAFETY: as above.
        let key = unsafe { (*entry).home };
        (key == Some(home)).then_some(caches)
    }

    fn set(&self, spot: Spot, home: NonNull<()>, caches: NonNull<ClassCache>) {
        let home = Some(home);
        self.entry(spot).set(TableEntry { home, caches });
    }

    #[inline(always)]
    fn entry(&self, spot: Spot) -> &Cell<TableEntry> {
        let first = &raw const self.entries;
        // SAFETY: a spot is the offset of an entry of this array.
        let entry = unsafe { first.byte_add(usize::from(spot.offset_bytes)) };
        // SAFETY: as above.
        unsafe { &*entry.cast::<Cell<TableEntry>>() }
    }

    /// Forgets a pool, or every one.
    fn forget(&self, which: Option<NonNull<()>>) {
        for entry in &self.entries {
            if which.is_none() || entry.get().home == which {
                entry.set(Self::EMPTY);
            }
        }
    }
}

/// The caches of a thread, and the homes that they belong to.
struct Registry {
    entries: RefCell<Vec<Entry>>,
}

#[derive(Clone)]
struct Entry {
    home: Arc<dyn Home>,
    caches: Arc<ThreadCaches>,
}

/// The borrows end before anything of a pool is called, which may come back here.
impl Registry {
    const fn new() -> Self {
        Self {
            entries: RefCell::new(Vec::new()),
        }
    }

    fn find(&self, key: NonNull<()>) -> Option<Arc<ThreadCaches>> {
        let entries = self.entries.borrow();
        let entry = entries.iter().find(|entry| key_of(&entry.home) == key)?;
        Some(Arc::clone(&entry.caches))
    }

    fn get(&self, at: usize) -> Option<Entry> {
        self.entries.borrow().get(at).cloned()
    }

    /// Whether there was memory for the entry.
    fn add(&self, entry: Entry) -> bool {
        let mut entries = self.entries.borrow_mut();
        let room = entries.try_reserve(1).is_ok();
        if room {
            entries.push(entry);
        }
        room
    }

    /// Takes out the entry of a closed pool.
    fn take_closed(&self) -> Option<Entry> {
        let mut entries = self.entries.borrow_mut();
        let at = entries.iter().position(|entry| entry.home.is_closed())?;
        // I2: the table first.
        let key = key_of(&entries[at].home);
        tls::with_table(|table| table.forget(Some(key)));
        let entry = entries.swap_remove(at);
        if entries.len() < entries.capacity() / 4 {
            entries.shrink_to_fit();
        }
        Some(entry)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // I2: the table first.
        tls::with_table(|table| table.forget(None));
        for entry in self.entries.take() {
            entry.home.close_caches(&entry.caches);
        }
    }
}

#[cfg(not(loom))]
mod tls {
    use super::{Registry, Table};

    std::thread_local! {
        /// Without destructor: readable until the thread is gone.
        static TABLE: Table = const { Table::new() };
        static REGISTRY: Registry = const { Registry::new() };
    }

    /// `None` never, in this build.
    #[inline(always)]
    pub(super) fn with_table<R>(f: impl FnOnce(&Table) -> R) -> Option<R> {
        Some(TABLE.with(f))
    }

    /// `None` once the registry has been destroyed.
    pub(super) fn with_registry<R>(f: impl FnOnce(&Registry) -> R) -> Option<R> {
        REGISTRY.try_with(f).ok()
    }
}

/// loom's thread-locals have no phase in which they can be read but not destroyed.
#[cfg(loom)]
mod tls {
    use super::{Registry, Table};

    loom::thread_local! {
        static TABLE: Table = Table::new();
        static REGISTRY: Registry = Registry::new();
    }

    /// `None` once the table has been destroyed, and with it what there was to find.
    pub(super) fn with_table<R>(f: impl FnOnce(&Table) -> R) -> Option<R> {
        TABLE.try_with(f).ok()
    }

    /// `None` once the registry has been destroyed.
    pub(super) fn with_registry<R>(f: impl FnOnce(&Registry) -> R) -> Option<R> {
        REGISTRY.try_with(f).ok()
    }
}

/// Where in every table the entry of one pool is.
///
/// An offset and not an index: the hit path adds it to the table's address, and does nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    // I1: a multiple of an entry's size, below the table's.
    offset_bytes: u8,
}

const _: () = assert!(PLACES * size_of::<TableEntry>() <= 1 << u8::BITS);

impl Spot {
    /// The spot of the entry `index`, below [`PLACES`].
    pub(crate) fn of(index: usize) -> Self {
        // Less than the table's size, which is at most 256.
        let offset_bytes = (index % PLACES * size_of::<TableEntry>()) as u8;
        Self { offset_bytes }
    }
}

/// The place of one pool in every table: the one that the fewest living pools have.
#[derive(Debug)]
pub(crate) struct Place {
    index: usize,
}

impl Place {
    pub(crate) fn take() -> Self {
        Self {
            index: places::take(),
        }
    }

    pub(crate) fn spot(&self) -> Spot {
        Spot::of(self.index)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        places::give_back(self.index);
    }
}

#[cfg(not(loom))]
mod places {
    use drystone_sync::atomic::{AtomicUsize, Ordering};

    use super::PLACES;

    /// How many pools have each place. Relaxed throughout: two pools in one place are slower, not
    /// wrong.
    static POOLS: [AtomicUsize; PLACES] = [const { AtomicUsize::new(0) }; PLACES];

    pub(super) fn take() -> usize {
        let fewest = (0..PLACES).min_by_key(|&place| POOLS[place].load(Ordering::Relaxed));
        let place = fewest.unwrap_or(0);
        POOLS[place].fetch_add(1, Ordering::Relaxed);
        place
    }

    pub(super) fn give_back(place: usize) {
        POOLS[place].fetch_sub(1, Ordering::Relaxed);
    }
}

/// A static would carry its count from one execution of a model to the next.
#[cfg(loom)]
mod places {
    pub(super) fn take() -> usize {
        0
    }

    pub(super) fn give_back(_: usize) {}
}

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;
