//! What the kernel did, as the kernel itself tells it.
#![cfg(all(feature = "mmap", target_os = "linux", not(miri)))]

use std::fs;
use std::ptr;

use drystone_backing::{BackingError, MmapBacked, MmapFlags, page_size};
use drystone_core::{Advice, FixedRange, OsBacked, OsError, Protection};

/// The pages of `range` that have memory.
fn resident_pages(range: &MmapBacked) -> usize {
    let mut pages = vec![0u8; range.size() / page_size()];
    let start = range.base().as_ptr().cast();
    // SAFETY: the range is mapped, and the vector has one byte for each of its pages.
    let answer = unsafe { libc::mincore(start, range.size(), pages.as_mut_ptr()) };
    assert_eq!(answer, 0);
    pages.iter().filter(|page| *page & 1 == 1).count()
}

/// The lines about the kernel's area that holds `address`.
fn area(address: usize) -> Vec<String> {
    let areas = fs::read_to_string("/proc/self/smaps").expect("readable");
    let mut lines = areas.lines();
    let holds = |line: &str| {
        let (range, _) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let start = usize::from_str_radix(start, 16).ok()?;
        let end = usize::from_str_radix(end, 16).ok()?;
        Some((start..end).contains(&address))
    };
    let head = lines
        .by_ref()
        .find(|line| holds(line) == Some(true))
        .expect("mapped");
    let body = lines.take_while(|line| holds(line).is_none());
    [head].into_iter().chain(body).map(String::from).collect()
}

/// Whether the kernel's area of `range` has this two-letter flag.
fn has_flag(range: &MmapBacked, flag: &str) -> bool {
    area(range.base().addr().get())
        .iter()
        .find_map(|line| line.strip_prefix("VmFlags:"))
        .expect("the kernel tells flags")
        .split_whitespace()
        .any(|word| word == flag)
}

/// The node that the first page of `range` is bound to, if it is bound.
fn bound_node(range: &MmapBacked) -> Option<u32> {
    /// Asks about the policy of an address.
    const MPOL_F_ADDR: libc::c_ulong = 2;

    let (mut mode, mut mask): (libc::c_int, [libc::c_ulong; 16]) = (0, [0; 16]);
    // SAFETY: the pointers are to live values of the sizes that the call writes; the address is
    // mapped.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_get_mempolicy,
            &raw mut mode,
            mask.as_mut_ptr(),
            size_of_val(&mask) * 8,
            range.base().as_ptr(),
            MPOL_F_ADDR,
        )
    };
    assert_eq!(answer, 0);
    (mode == libc::MPOL_BIND).then(|| mask[0].trailing_zeros())
}

/// The address space of this process in bytes.
fn mapped_bytes() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").expect("readable");
    let total = pages.split(' ').next().expect("the first number");
    total.parse::<usize>().expect("a number") * page_size()
}

#[test]
fn pages_have_no_memory_until_touched_unless_populated() {
    let lazy = MmapBacked::new(64 * page_size()).expect("small");
    assert_eq!(resident_pages(&lazy), 0);
    let eager =
        MmapBacked::with_flags(64 * page_size(), MmapFlags::new().populate()).expect("small");
    assert_eq!(resident_pages(&eager), 64);
}

#[test]
fn release_gives_exactly_these_pages_back() {
    let page = page_size();
    let backing = MmapBacked::with_flags(64 * page, MmapFlags::new().populate()).expect("small");
    // SAFETY: nothing lives in the pages.
    unsafe { backing.release(8 * page, 40 * page) }.expect("released");
    assert_eq!(resident_pages(&backing), 24);
}

#[test]
fn only_the_aligned_part_gets_memory() {
    let page = page_size();
    let before = mapped_bytes();
    let flags = MmapFlags::new().populate();
    let backing = MmapBacked::with_align(4 * page, 64 << 20, flags).expect("address space");
    assert_eq!(resident_pages(&backing), 4);
    assert!(mapped_bytes() - before >= 4 * page);
}

#[test]
fn flags_reach_the_kernel() {
    let quiet = MmapBacked::with_flags(1, MmapFlags::new().dont_dump()).expect("known");
    assert!(has_flag(&quiet, "dd"));
    let unreserved = MmapBacked::with_flags(1, MmapFlags::new().no_reserve()).expect("known");
    assert!(has_flag(&unreserved, "nr"));
    let plain = MmapBacked::new(1).expect("a page");
    for flag in ["dd", "nr", "hg"] {
        assert!(!has_flag(&plain, flag));
    }
}

/// The kernel may be built without huge pages: then the flag is an error with its code.
#[test]
fn huge_pages_are_advised_or_refused() {
    let supported = fs::metadata("/sys/kernel/mm/transparent_hugepage").is_ok();
    match MmapBacked::with_flags(4 << 20, MmapFlags::new().huge_pages()) {
        Ok(backing) => {
            assert!(supported);
            assert!(has_flag(&backing, "hg"));
            backing
                .advise(0, backing.size(), Advice::NoHugePages)
                .expect("known");
            assert!(!has_flag(&backing, "hg"));
            assert!(has_flag(&backing, "nh"));
        }
        Err(error) => {
            assert!(!supported);
            let refusal = OsError::Call {
                call: "madvise",
                code: libc::EINVAL,
            };
            assert_eq!(error, BackingError::Os(refusal));
        }
    }
}

#[test]
fn advice_changes_no_byte() {
    let page = page_size();
    let backing = MmapBacked::new(8 * page).expect("small");
    // SAFETY: the range is exclusive and writable.
    unsafe { backing.base().write_bytes(0x5A, backing.size()) };
    for advice in [
        Advice::Normal,
        Advice::Random,
        Advice::Sequential,
        Advice::WillNeed,
        Advice::DontDump,
    ] {
        backing.advise(page, 2 * page, advice).expect("known");
    }
    for offset in 0..backing.size() {
        // SAFETY: the offset lies in the range.
        let byte = unsafe { backing.base().add(offset) };
        // SAFETY: written above.
        assert_eq!(unsafe { byte.read() }, 0x5A);
    }
}

#[test]
fn protection_is_what_was_asked_and_comes_back() {
    let page = page_size();
    let backing = MmapBacked::new(3 * page).expect("small");
    let middle = backing.base().addr().get() + page;
    let access = || area(middle)[0].split(' ').nth(1).map(String::from);
    for (protection, words) in [
        (Protection::None, "---p"),
        (Protection::Read, "r--p"),
        (Protection::ReadWrite, "rw-p"),
    ] {
        // SAFETY: the page is not touched until it is writable again.
        unsafe { backing.protect(page, page, protection) }.expect("known");
        assert_eq!(access().as_deref(), Some(words));
        // The neighbours stay writable.
        for offset in [0, 2 * page] {
            // SAFETY: the offset lies in a page that stays writable.
            let byte = unsafe { backing.base().add(offset) };
            // SAFETY: as above.
            unsafe { byte.write(1) };
        }
    }
}

/// A kernel without NUMA has no such call; any other binds to node 0 and knows no node 1000.
#[test]
fn nodes_are_bound_or_refused() {
    let page = page_size();
    let backing = MmapBacked::new(4 * page).expect("small");
    match backing.bind_node(0, 4 * page, 0) {
        Ok(()) => assert_eq!(bound_node(&backing), Some(0)),
        Err(error) => {
            let code = error.code().expect("the system was asked");
            assert!([libc::ENOSYS, libc::EPERM].contains(&code), "{error}");
        }
    }
    let code = backing
        .bind_node(0, page, 1000)
        .expect_err("no such node")
        .code();
    assert!(code.is_some_and(|code| code != 0));
    assert!(matches!(
        backing.bind_node(0, page, 1024),
        Err(OsError::Unsupported { .. })
    ));
    let unbound = MmapBacked::with_flags(page, MmapFlags::new().node(1000));
    assert!(unbound.is_err());
}

#[test]
fn dropping_unmaps() {
    const BYTES: usize = 1 << 20;
    let before = mapped_bytes();
    for _ in 0..1000 {
        let aligned = MmapBacked::with_align(BYTES, 1 << 21, MmapFlags::new()).expect("small");
        // SAFETY: the first byte of a live exclusive range.
        unsafe { ptr::write(aligned.base().as_ptr(), 1) };
    }
    // One mapping in sixty may be another test's; a thousand are a leak.
    assert!(mapped_bytes() < before + 1000 * BYTES / 4);
}
