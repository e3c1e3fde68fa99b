//! [`Window`]: a piece of the file, as memory.
//!
//! What is stored there is in the file at once: a program that is killed loses nothing of it. The order of
//! the stores is that of the program, since whoever reads the file does so after the process, or with its
//! consent; so a part is made visible by the last store that belongs to it.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use std::fs::File;
use std::io;

use drystone_sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use memmap2::{MmapOptions, MmapRaw};

/// The length of a piece of the file.
pub(super) const WINDOW_BYTES: usize = 64 << 10;
const EARLY_WORDS: usize = 4 << 10;

/// Bytes that one lane fills.
#[derive(Debug)]
pub(super) struct Window {
    // I1: `base` is aligned to 8, and `bytes` bytes from there can be read and written as long as this
    // value lives; nobody else reaches them meanwhile.
    base: NonNull<u8>,
    bytes: usize,
    /// Where it begins in the file; 0 for one that is not of the file.
    file_at: u64,
    /// Keeps `base` valid.
    _mapping: Option<MmapRaw>,
}

// SAFETY: by I1 the bytes belong to the value, on whatever thread it is.
unsafe impl Send for Window {}

/// Memory for what is recorded before there is a file.
struct Early(UnsafeCell<[u64; EARLY_WORDS]>);

// SAFETY: reached only through the one window that `Window::early` gives.
unsafe impl Sync for Early {}

static EARLY: Early = Early(UnsafeCell::new([0; EARLY_WORDS]));
static EARLY_IS_TAKEN: AtomicBool = AtomicBool::new(false);

impl Window {
    /// [`WINDOW_BYTES`] of `file` from `file_at` on, a multiple of 8, which the file has and nobody shortens.
    pub(super) fn map(file: &File, file_at: u64) -> io::Result<Self> {
        let mapping = MmapOptions::new()
            .offset(file_at)
            .len(WINDOW_BYTES)
            .map_raw(file)?;
        let base = NonNull::new(mapping.as_mut_ptr()).ok_or(io::ErrorKind::OutOfMemory)?;
        debug_assert!(base.addr().get().is_multiple_of(8), "I1");
        Ok(Self {
            base,
            bytes: WINDOW_BYTES,
            file_at,
            _mapping: Some(mapping),
        })
    }

    /// The window that is not of a file. There is one, once.
    pub(super) fn early() -> Option<Self> {
        // Relaxed: who takes it is the first to use it.
        if EARLY_IS_TAKEN.swap(true, Ordering::Relaxed) {
            return None;
        }
        Some(Self {
            base: NonNull::new(EARLY.0.get())?.cast(),
            bytes: EARLY_WORDS * size_of::<u64>(),
            file_at: 0,
            _mapping: None,
        })
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn file_at(&self) -> u64 {
        self.file_at
    }

    fn at(&self, offset: usize, bytes: usize) -> NonNull<u8> {
        let fits = offset
            .checked_add(bytes)
            .is_some_and(|end| end <= self.bytes);
        assert!(fits, "inside the window");
        // SAFETY: inside the window.
        unsafe { self.base.add(offset) }
    }

    /// The bytes from `offset` on.
    #[inline]
    pub(super) fn rest(&mut self, offset: usize) -> &mut [u8] {
        let bytes = self.bytes.saturating_sub(offset);
        let start = self.at(offset, bytes);
        // SAFETY: by I1 the bytes are valid, and this borrow of the window is the only one.
        unsafe { core::slice::from_raw_parts_mut(start.as_ptr(), bytes) }
    }

    /// Stores a number at a multiple of 4, after all that was stored before.
    #[inline]
    pub(super) fn put_u32(&mut self, offset: usize, number: u32) {
        let place = self.at(offset, 4).cast::<u32>();
        debug_assert!(place.is_aligned(), "a multiple of 4");
        // SAFETY: inside the window, aligned, and by I1 nobody else's.
        let place = unsafe { AtomicU32::from_ptr(place.as_ptr()) };
        // Release: keeps its place behind the earlier stores of this thread; nothing acquires it.
        place.store(number.to_le(), Ordering::Release);
    }

    /// Stores a number at a multiple of 8, after all that was stored before.
    pub(super) fn put_u64(&mut self, offset: usize, number: u64) {
        let place = self.at(offset, 8).cast::<u64>();
        debug_assert!(place.is_aligned(), "a multiple of 8");
        // SAFETY: inside the window, aligned, and by I1 nobody else's.
        let place = unsafe { AtomicU64::from_ptr(place.as_ptr()) };
        // Release: as in `put_u32`.
        place.store(number.to_le(), Ordering::Release);
    }
}
