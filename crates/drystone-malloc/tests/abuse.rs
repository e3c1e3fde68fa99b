//! Random calls over the whole family, against what a model says of each answer.
//!
//! `MALLOC_CALLS=10000000 cargo test --release -p drystone-malloc --test abuse` makes as many calls.
#![cfg(target_os = "linux")]

mod common;

use std::ffi::c_void;
use std::ptr;

use common::{count, errno, family, set_errno};

/// The most blocks that are live at once, and bytes.
const LIVE_MAX: usize = 500;
const LIVE_BYTES_MAX: usize = 256 << 20;

/// Requests of so much may be refused: the address space may have no room for them.
const REFUSED_MIN: usize = if usize::BITS == 64 { 1 << 30 } else { 1 << 24 };

/// A block that the model knows: which bytes it asked for, at what alignment, and what it filled
/// them with.
struct Live {
    block: *mut u8,
    size: usize,
    align: usize,
    seed: u8,
}

/// Bytes of a block that are looked at: its beginning and its end.
const EDGE: usize = 64;

impl Live {
    fn new(block: *mut c_void, size: usize, align: usize, seed: u8) -> Self {
        assert_eq!(block.addr() % align.max(16), 0, "aligned to {align}");
        // SAFETY: the block is live.
        let usable = unsafe { (family().malloc_usable_size)(block) };
        assert!(usable >= size, "{usable} usable bytes of {size}");
        let live = Self {
            block: block.cast(),
            size,
            align,
            seed,
        };
        live.fill();
        live
    }

    fn each_edge(&self, mut f: impl FnMut(*mut u8, u8)) {
        let edges = (0..self.size.min(EDGE)).chain(self.size.saturating_sub(EDGE)..self.size);
        for index in edges {
            // SAFETY: the block has the bytes.
            f(unsafe { self.block.add(index) }, self.byte(index));
        }
    }

    fn byte(&self, index: usize) -> u8 {
        self.seed ^ index.to_le_bytes()[0]
    }

    fn fill(&self) {
        // SAFETY: the block has the bytes.
        self.each_edge(|at, byte| unsafe { at.write(byte) });
    }

    fn assert_intact(&self) {
        // SAFETY: the block has the bytes, and they were written.
        self.each_edge(|at, byte| assert_eq!(unsafe { at.read() }, byte, "of {}", self.size));
    }

    /// The first bytes of a block that was resized.
    fn assert_kept(&self, moved: *mut u8, size: usize) {
        for index in 0..size.min(self.size).min(EDGE) {
            // SAFETY: both blocks had the bytes.
            let at = unsafe { moved.add(index) };
            // SAFETY: as above.
            assert_eq!(unsafe { at.read() }, self.byte(index));
        }
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "below a bound that is a usize"
    )]
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Mostly small, sometimes large, zero, or more than there is.
    fn size(&mut self) -> usize {
        match self.below(1000) {
            0..20 => 0,
            20..40 => usize::MAX - self.below(4096),
            40..50 => isize::MAX.unsigned_abs() - 64 + self.below(128),
            50..60 => self.below(16 << 20),
            60..150 => self.below(400_000),
            150..400 => self.below(9000),
            _ => self.below(512),
        }
    }

    /// Mostly a power of two.
    fn align(&mut self) -> usize {
        match self.below(20) {
            0 => 0,
            1 => self.below(10_000),
            2 => usize::MAX - self.below(100),
            3 => 1 << self.below(usize::BITS as usize),
            _ => 1 << self.below(16),
        }
    }
}

struct Driver {
    random: Random,
    live: Vec<Live>,
    bytes: usize,
    served: u64,
    refused: u64,
}

impl Driver {
    /// The answer of a call that may be refused for its size only.
    fn take(&mut self, block: *mut c_void, size: usize, align: usize) {
        if block.is_null() {
            assert!(
                size > REFUSED_MIN || align > REFUSED_MIN,
                "{size} at {align} refused"
            );
            assert_eq!(errno(), libc::ENOMEM);
            self.refused += 1;
            return;
        }
        self.bytes += size;
        self.served += 1;
        let seed = self.random.next().to_le_bytes()[0];
        self.live.push(Live::new(block, size, align, seed));
    }

    fn expect_alignment_refused(&mut self, block: *mut c_void) {
        assert!(block.is_null());
        assert_eq!(errno(), libc::EINVAL);
        self.refused += 1;
    }

    fn allocate(&mut self) {
        let (size, align) = (self.random.size(), self.random.align());
        let family = family();
        set_errno(0);
        match self.random.below(9) {
            // SAFETY: no requirements.
            0..3 => self.take(unsafe { (family.malloc)(size) }, size, 16),
            3 => {
                let count = 1 + self.random.below(5);
                // SAFETY: no requirements.
                let block = unsafe { (family.calloc)(count, size) };
                if !block.is_null() {
                    assert_zero(block.cast(), count * size);
                }
                self.take(block, count.saturating_mul(size), 16);
            }
            4 => self.posix_memalign(size, align),
            5 => {
                // SAFETY: no requirements.
                let block = unsafe { (family.aligned_alloc)(align, size) };
                if align.is_power_of_two() {
                    self.take(block, size, align);
                } else {
                    self.expect_alignment_refused(block);
                }
            }
            6 => {
                // SAFETY: no requirements.
                let block = unsafe { (family.memalign)(align, size) };
                if align <= 1 << (usize::BITS - 2) {
                    self.take(block, size, align.next_power_of_two());
                } else {
                    self.expect_alignment_refused(block);
                }
            }
            // SAFETY: no requirements.
            7 => self.take(unsafe { (family.valloc)(size) }, size, 4096),
            _ => {
                // SAFETY: no requirements.
                let block = unsafe { (family.pvalloc)(size) };
                let pages = size.max(1).checked_next_multiple_of(4096);
                self.take(block, pages.unwrap_or(usize::MAX), 4096);
            }
        }
    }

    fn posix_memalign(&mut self, size: usize, align: usize) {
        let mut place = ptr::dangling_mut();
        // SAFETY: the place is valid.
        let code = unsafe { (family().posix_memalign)(&raw mut place, align, size) };
        assert_eq!(errno(), 0, "untouched");
        if align.is_power_of_two() && align >= 8 {
            set_errno(code);
            self.take(if code == 0 { place } else { ptr::null_mut() }, size, align);
        } else {
            assert_eq!((code, place), (libc::EINVAL, ptr::dangling_mut()));
            self.refused += 1;
        }
    }

    fn remove(&mut self) -> Option<Live> {
        if self.live.is_empty() {
            return None;
        }
        let index = self.random.below(self.live.len());
        let live = self.live.swap_remove(index);
        self.bytes -= live.size;
        live.assert_intact();
        Some(live)
    }

    fn resize(&mut self) {
        let Some(live) = self.remove() else {
            return;
        };
        let size = self.random.size();
        set_errno(0);
        let moved = if self.random.below(2) == 0 {
            // SAFETY: the block is live; it is used below only as the answer allows.
            unsafe { (family().realloc)(live.block.cast(), size) }
        } else {
            // SAFETY: as above.
            unsafe { (family().reallocarray)(live.block.cast(), 1, size) }
        };
        if moved.is_null() && size > 0 {
            assert!(size > REFUSED_MIN);
            live.assert_intact();
            self.bytes += live.size;
            self.live.push(live);
            self.refused += 1;
        } else if size > 0 {
            live.assert_kept(moved.cast(), size);
            self.take(moved, size, 16);
        }
    }

    fn free(&mut self) {
        let Some(live) = self.remove() else {
            return;
        };
        let (family, block) = (family(), live.block.cast());
        set_errno(77);
        match self.random.below(4) {
            // SAFETY: the block is live, of this size, and not used any more.
            0 => unsafe { (family.free_sized)(block, live.size) },
            // SAFETY: as above, and of this alignment.
            1 => unsafe { (family.free_aligned_sized)(block, live.align, live.size) },
            // SAFETY: the block is live, and not used any more.
            _ => unsafe { (family.free)(block) },
        }
        assert_eq!(errno(), 77, "untouched");
    }

    fn step(&mut self) {
        if self.live.len() >= LIVE_MAX || self.bytes > LIVE_BYTES_MAX {
            return self.free();
        }
        match self.random.below(1000) {
            0 => {
                // SAFETY: no requirements.
                unsafe { (family().malloc_trim)(0) };
            }
            1..550 => self.allocate(),
            550..700 => self.resize(),
            _ => self.free(),
        }
    }
}

fn assert_zero(block: *const u8, bytes: usize) {
    // SAFETY: the block has the bytes, and they are zero.
    let bytes = unsafe { std::slice::from_raw_parts(block, bytes) };
    assert!(bytes.iter().all(|byte| *byte == 0));
}

#[test]
fn every_call_answers_as_the_model_does() {
    let calls = count("MALLOC_CALLS", 100_000);
    let mut driver = Driver {
        random: Random(0x5eed),
        live: Vec::new(),
        bytes: 0,
        served: 0,
        refused: 0,
    };
    for _ in 0..calls {
        driver.step();
    }
    while let Some(live) = driver.remove() {
        // SAFETY: the block is live, and not used any more.
        unsafe { (family().free)(live.block.cast()) };
    }
    assert!(driver.served > calls / 10, "{} served", driver.served);
    assert!(driver.refused > calls / 100, "{} refused", driver.refused);
}
