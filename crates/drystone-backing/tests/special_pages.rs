//! Huge, locked and guarded pages: what they are, and what is refused.
#![cfg(all(feature = "mmap", any(unix, windows)))]

use drystone_backing::{
    BackingError, GuardedMmapBacked, HugePageBacked, LockedMmapBacked, page_size,
};
#[cfg(not(miri))]
use drystone_core::Protection;
use drystone_core::{Advice, FixedRange, OsBacked, OsError};

const HUGE: usize = 2 << 20;

/// Writes all of a range and reads its ends back.
fn use_all(range: &impl FixedRange) {
    // SAFETY: the range is exclusive and writable.
    unsafe { range.base().write_bytes(0xA5, range.size()) };
    for offset in [0, range.size() / 2, range.size() - 1] {
        // SAFETY: the offset lies in the range.
        let byte = unsafe { range.base().add(offset) };
        // SAFETY: written above.
        assert_eq!(unsafe { byte.read() }, 0xA5);
    }
}

#[cfg(not(miri))]
#[test]
fn guarded_pages_are_whole_and_leave_the_guards_out() {
    let page = page_size();
    for (bytes, pages) in [(1, 1), (page, 1), (page + 1, 2), (5 * page, 5)] {
        let backing = GuardedMmapBacked::new(bytes).expect("small");
        assert_eq!(backing.size(), pages * page);
        assert_eq!(backing.base().addr().get() % page, 0);
        use_all(&backing);
        // The last page of the range may be named, the guard behind it may not.
        let last = backing.size() - page;
        // SAFETY: allowing access forbids nothing.
        unsafe { backing.protect(last, page, Protection::ReadWrite) }.expect("in the range");
        // SAFETY: refused.
        let behind = unsafe { backing.protect(backing.size(), page, Protection::ReadWrite) };
        assert_eq!(
            behind,
            Err(OsError::OutOfRange {
                offset: backing.size(),
                len: page,
                size: backing.size(),
                page
            })
        );
        // SAFETY: nothing lies in the pages.
        unsafe { backing.release(0, backing.size()) }.expect("in the range");
        backing.advise(0, page, Advice::Normal).expect("known");
    }
}

/// Pages cannot fault here, so there is no guarded mapping.
#[cfg(miri)]
#[test]
fn guarded_pages_are_refused_where_pages_cannot_be_protected() {
    let refused = GuardedMmapBacked::new(1).expect_err("no protection");
    assert!(matches!(
        refused,
        BackingError::Os(OsError::Unsupported { .. })
    ));
}

#[test]
fn sizes_are_judged_before_the_system_is_asked() {
    for made in [
        GuardedMmapBacked::new(0).map(drop),
        LockedMmapBacked::new(0).map(drop),
        HugePageBacked::new(0).map(drop),
    ] {
        assert_eq!(made, Err(BackingError::ZeroSize));
    }
    for made in [
        GuardedMmapBacked::new(isize::MAX as usize).map(drop),
        LockedMmapBacked::new(usize::MAX).map(drop),
        HugePageBacked::new(usize::MAX).map(drop),
    ] {
        assert!(
            matches!(made, Err(BackingError::TooLarge { .. })),
            "{made:?}"
        );
    }
    assert_eq!(
        HugePageBacked::with_page_bytes(1, 3).expect_err("no power of two"),
        BackingError::Alignment { align: 3 }
    );
}

#[test]
fn locked_pages_serve_and_are_not_released() {
    let secrets = LockedMmapBacked::new(page_size() + 1).expect("two pages may be locked");
    assert_eq!(secrets.size(), 2 * page_size());
    use_all(&secrets);
    // SAFETY: refused.
    let released = unsafe { secrets.release(0, page_size()) };
    assert!(matches!(released, Err(OsError::Unsupported { .. })));
    // The bytes are still there.
    // SAFETY: written above.
    assert_eq!(unsafe { secrets.base().read() }, 0xA5);
}

/// Either the pages are there and huge, or the error says why not.
#[test]
fn huge_pages_are_huge_or_refused() {
    match HugePageBacked::new(HUGE + 1) {
        Ok(pages) => {
            assert_eq!((pages.size(), pages.page_size()), (2 * HUGE, HUGE));
            assert_eq!(pages.base().addr().get() % HUGE, 0);
            use_all(&pages);
            let small = pages.advise(0, page_size(), Advice::Normal);
            assert!(matches!(small, Err(OsError::OutOfRange { .. })));
        }
        Err(BackingError::Os(refusal)) => {
            let words = BackingError::Os(refusal).to_string();
            if cfg!(target_os = "linux") && !cfg!(miri) {
                assert!(refusal.code().is_some(), "{refusal:?}");
                assert!(words.starts_with("mmap failed: "), "{words}");
            } else {
                assert_eq!(words, "this platform has no explicit huge pages");
            }
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// What only the kernel can tell.
#[cfg(all(target_os = "linux", not(miri)))]
mod on_linux {
    use std::fs;

    use super::*;

    /// The number behind `name` in a file of lines such as `HugePages_Free:     4`.
    fn figure(file: &str, name: &str) -> usize {
        let text = fs::read_to_string(file).expect("readable");
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let words = line.expect("the kernel tells it").trim_start_matches(':');
        let number = words.split_whitespace().next().expect("a number");
        number.parse().expect("a number")
    }

    #[test]
    fn the_pool_decides_whether_there_are_huge_pages() {
        let free = figure("/proc/meminfo", "HugePages_Free");
        let default_bytes = figure("/proc/meminfo", "Hugepagesize") * 1024;
        let surplus = fs::read_to_string("/proc/sys/vm/nr_overcommit_hugepages");
        if default_bytes != HUGE || surplus.is_ok_and(|pages| pages.trim() != "0") {
            return;
        }
        // One more than are free is out of memory, whatever the pool holds.
        let refused = HugePageBacked::new((free + 1) * HUGE).expect_err("too many");
        assert_eq!(
            refused,
            BackingError::Os(OsError::Call {
                call: "mmap",
                code: libc::ENOMEM
            })
        );
        if free > 0 {
            let pages = HugePageBacked::new(HUGE).expect("one is free");
            use_all(&pages);
            // SAFETY: nothing lies in the page.
            unsafe { pages.release(0, HUGE) }.expect("kernels since 5.18 can");
        }
    }

    #[test]
    fn a_size_that_no_page_has_is_refused_by_the_kernel() {
        let refused = HugePageBacked::with_page_bytes(1, 8192).expect_err("no such pages");
        assert_eq!(
            refused,
            BackingError::Os(OsError::Call {
                call: "mmap",
                code: libc::EINVAL
            })
        );
    }

    /// The flags of the kernel's area that holds the base of `range`.
    fn flags(range: &impl FixedRange) -> String {
        let areas = fs::read_to_string("/proc/self/smaps").expect("readable");
        let start = format!("{:x}-", range.base().addr());
        let area = areas.split(&start).nth(1).expect("an area of its own");
        let flags = area.lines().find_map(|line| line.strip_prefix("VmFlags:"));
        flags.expect("the kernel tells flags").to_owned()
    }

    #[test]
    fn locked_pages_are_locked_and_left_out_of_core_dumps() {
        let secrets = LockedMmapBacked::new(3 * page_size()).expect("three pages may be locked");
        assert!(secrets.is_dump_excluded());
        let flags = flags(&secrets);
        for flag in [" lo", " dd"] {
            assert!(flags.contains(flag), "{flag} in {flags}");
        }
    }
}
