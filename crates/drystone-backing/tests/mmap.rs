//! Mapped pages: sizes, alignment, and what the system is asked.
#![cfg(all(feature = "mmap", any(unix, windows)))]

use std::ptr::NonNull;

use drystone_backing::page_size;
use drystone_backing::{BackingError, FlaggedMmapSource, MmapBacked, MmapFlags, MmapSource};
use drystone_core::{
    Advice, FixedRange, NonZeroLayout, OsBacked, OsError, Protection, SegmentSource,
};

const SIZE_MAX: usize = isize::MAX as usize;

fn write_all(range: &impl FixedRange, byte: u8) {
    // SAFETY: the range is exclusive, writable, and `size()` bytes long.
    unsafe { range.base().write_bytes(byte, range.size()) };
}

fn byte_at(range: &impl FixedRange, offset: usize) -> u8 {
    assert!(offset < range.size());
    // SAFETY: the offset lies in the range.
    let byte = unsafe { range.base().add(offset) };
    // SAFETY: mapped pages are initialised with zero.
    unsafe { byte.read() }
}

/// The first byte of every page, and the last byte.
fn samples(range: &impl FixedRange) -> impl Iterator<Item = usize> {
    (0..range.size())
        .step_by(page_size())
        .chain([range.size() - 1])
}

#[test]
fn the_page_size_is_a_power_of_two_and_stays() {
    let page = page_size();
    assert!(page.is_power_of_two() && page >= 4096);
    assert_eq!(page, page_size());
    assert_eq!(MmapBacked::new(1).expect("a page").page_size(), page);
}

#[cfg(all(unix, not(miri)))]
#[test]
fn the_page_size_is_the_kernels() {
    // SAFETY: the call has no requirements.
    let kernels = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    assert_eq!(page_size(), kernels as usize);
}

#[test]
fn sizes_are_rounded_up_to_pages() {
    let page = page_size();
    for (bytes, pages) in [
        (1, 1),
        (page - 1, 1),
        (page, 1),
        (page + 1, 2),
        (5 * page, 5),
    ] {
        let backing = MmapBacked::new(bytes).expect("small");
        assert_eq!(backing.size(), pages * page);
        assert!(backing.base_align() >= page);
        assert!(!backing.commits_on_demand());
        assert!(backing.keeps_base());
        for offset in samples(&backing) {
            assert_eq!(byte_at(&backing, offset), 0);
        }
        write_all(&backing, 0xC3);
    }
}

#[test]
fn what_cannot_be_mapped_is_told_apart() {
    let page = page_size();
    assert_eq!(
        MmapBacked::new(0).expect_err("no bytes"),
        BackingError::ZeroSize
    );
    let limit = SIZE_MAX & !(page - 1);
    for bytes in [limit + 1, SIZE_MAX, SIZE_MAX + 1, usize::MAX] {
        assert_eq!(
            MmapBacked::new(bytes).expect_err("too large"),
            BackingError::TooLarge { bytes, limit }
        );
    }
    for align in [0, 3, usize::MAX] {
        assert_eq!(
            MmapBacked::with_align(1, align, MmapFlags::new()).expect_err("not a power of two"),
            BackingError::Alignment { align }
        );
    }
    let align = 1 << (usize::BITS - 1);
    assert_eq!(
        MmapBacked::with_align(1, align, MmapFlags::new()).expect_err("too large"),
        BackingError::TooLarge { bytes: 1, limit: 0 }
    );
}

#[cfg_attr(
    miri,
    ignore = "Miri aborts where the system would refuse; run without Miri"
)]
#[test]
fn the_systems_refusal_keeps_its_code_and_its_words() {
    let limit = SIZE_MAX & !(page_size() - 1);
    let error = MmapBacked::new(limit).expect_err("no machine has it");
    let BackingError::Os(os) = error else {
        panic!("{error:?}");
    };
    let code = os.code().expect("the system was asked");
    let words = std::io::Error::from_raw_os_error(code).to_string();
    assert!(error.to_string().contains(&words), "{error}");
    #[cfg(unix)]
    assert_eq!(code, libc::ENOMEM);
}

#[test]
fn alignments_above_a_page_are_served() {
    let page = page_size();
    for align in [1, page, 2 * page, 16 * page, 1 << 21] {
        let backing = MmapBacked::with_align(3 * page, align, MmapFlags::new()).expect("small");
        assert_eq!(backing.base().addr().get() % align, 0);
        assert!(backing.base_align() >= align);
        assert_eq!(backing.size(), 3 * page);
        write_all(&backing, 1);
    }
}

#[test]
fn sources_serve_every_layout() {
    let layout = NonZeroLayout::from_size_align(100_000, 1 << 18).expect("a block");
    let flagged = FlaggedMmapSource::new(MmapFlags::new().populate());
    let segments = [
        MmapSource.segment(layout).expect("small"),
        flagged.segment(layout).expect("small"),
    ];
    for segment in &segments {
        assert!(segment.size() >= layout.size().get());
        assert_eq!(segment.base().addr().get() % layout.align(), 0);
        write_all(segment, 2);
    }
    let starts = segments
        .each_ref()
        .map(|segment| segment.base().addr().get());
    assert!(starts[0].abs_diff(starts[1]) >= segments[0].size());
}

#[test]
fn the_base_stays_when_the_value_moves_and_the_pages_go_with_it() {
    let backing = MmapBacked::new(1).expect("a page");
    let base = backing.base();
    // SAFETY: the first byte of a live exclusive range.
    unsafe { base.write(1) };
    let moved = Box::new(backing);
    let kept = std::thread::spawn(move || {
        assert_eq!(byte_at(&*moved, 0), 1);
        moved
    });
    assert_eq!(kept.join().expect("joins").base(), base);
}

#[test]
fn requests_beside_the_pages_are_refused_without_asking() {
    let page = page_size();
    let backing = MmapBacked::new(4 * page).expect("small");
    let size = 4 * page;
    for (offset, len) in [
        (1, page),
        (0, page - 1),
        (page / 2, page / 2),
        (0, 5 * page),
        (4 * page, page),
        (5 * page, 0),
        (page, usize::MAX & !(page - 1)),
        (usize::MAX & !(page - 1), page),
    ] {
        let refusal = Err(OsError::OutOfRange {
            offset,
            len,
            size,
            page,
        });
        // SAFETY: nothing lives in the pages.
        assert_eq!(unsafe { backing.release(offset, len) }, refusal);
        // SAFETY: the protection is the one that the pages have.
        let protected = unsafe { backing.protect(offset, len, Protection::ReadWrite) };
        assert_eq!(protected, refusal);
        assert_eq!(backing.advise(offset, len, Advice::Random), refusal);
        assert_eq!(backing.bind_node(offset, len, 0), refusal);
    }
    write_all(&backing, 1);
}

#[test]
fn empty_requests_do_nothing() {
    let page = page_size();
    let backing = MmapBacked::new(2 * page).expect("small");
    write_all(&backing, 7);
    for offset in [0, page, 2 * page] {
        // SAFETY: the range is empty.
        unsafe { backing.release(offset, 0) }.expect("nothing to do");
        // SAFETY: the range is empty.
        unsafe { backing.protect(offset, 0, Protection::ReadWrite) }.expect("nothing to do");
    }
    for offset in samples(&backing) {
        assert_eq!(byte_at(&backing, offset), 7);
    }
}

#[test]
fn released_pages_can_be_used_again_and_the_others_keep_their_content() {
    let page = page_size();
    let backing = MmapBacked::new(4 * page).expect("small");
    write_all(&backing, 0xEE);
    // SAFETY: nothing in the two pages is read before it is written again.
    unsafe { backing.release(page, 2 * page) }.expect("released");
    for offset in [0, page - 1, 3 * page, 4 * page - 1] {
        assert_eq!(byte_at(&backing, offset), 0xEE);
    }
    if cfg!(any(target_os = "linux", target_os = "android", miri)) {
        for offset in page..3 * page {
            assert_eq!(byte_at(&backing, offset), 0);
        }
    }
    write_all(&backing, 0x11);
    assert_eq!(byte_at(&backing, page), 0x11);
}

#[test]
fn populated_pages_are_zero() {
    let backing =
        MmapBacked::with_flags(5 * page_size(), MmapFlags::new().populate()).expect("small");
    for offset in samples(&backing) {
        assert_eq!(byte_at(&backing, offset), 0);
    }
    write_all(&backing, 1);
}

#[cfg(miri)]
#[test]
fn what_cannot_be_imitated_is_unsupported() {
    let backing = MmapBacked::new(1).expect("a page");
    for protection in [Protection::None, Protection::Read] {
        // SAFETY: the page is not accessed.
        let answer = unsafe { backing.protect(0, page_size(), protection) };
        assert!(matches!(answer, Err(OsError::Unsupported { .. })));
    }
    for flags in [MmapFlags::new().no_reserve(), MmapFlags::new().node(0)] {
        let made = MmapBacked::with_flags(1, flags);
        assert!(matches!(
            made,
            Err(BackingError::Os(OsError::Unsupported { .. }))
        ));
    }
}

/// A part of a mapping.
fn part(mapping: &mut MmapBacked, offset: usize, len: usize) -> &mut [u8] {
    assert!(offset + len <= mapping.size());
    // SAFETY: inside the mapping.
    let start = unsafe { mapping.base().add(offset) };
    // SAFETY: mapped bytes are initialised, and the mapping is borrowed.
    unsafe { NonNull::slice_from_raw_parts(start, len).as_mut() }
}

fn number(index: usize) -> u8 {
    u8::try_from(index % 251).expect("a byte") + 1
}

#[test]
fn pages_move_to_another_mapping_with_their_content() {
    let page = page_size();
    let mut from = MmapBacked::new(4 * page).expect("memory for a test");
    let mut to = MmapBacked::new(6 * page).expect("memory for a test");
    for (index, byte) in part(&mut from, page, 2 * page).iter_mut().enumerate() {
        *byte = number(index);
    }
    // SAFETY: nobody else uses either mapping.
    let moved = unsafe { to.move_pages_from(3 * page, &from, page, 2 * page) };
    if !cfg!(target_os = "linux") {
        assert!(moved.is_err());
        return;
    }
    moved.expect("Linux moves pages");
    for (index, byte) in part(&mut to, 3 * page, 2 * page).iter().enumerate() {
        assert_eq!(*byte, number(index));
    }
    // The pages that were left can be written again.
    part(&mut from, page, page).fill(9);
    assert!(part(&mut from, page, page).iter().all(|byte| *byte == 9));
    // SAFETY: nobody else uses either mapping.
    assert!(unsafe { to.move_pages_from(5 * page, &from, 0, 2 * page) }.is_err());
    // SAFETY: as above.
    assert!(unsafe { to.move_pages_from(0, &to, 2 * page, page) }.is_err());
}

/// Older kernels refuse pages in several pieces, when they have unmapped the target already.
#[cfg(all(target_os = "linux", not(miri)))]
#[test]
fn pages_move_on_or_stay_where_they_are() {
    let page = page_size();
    let mut before = MmapBacked::new(4 * page).expect("memory for a test");
    part(&mut before, 0, 4 * page).fill(1);
    for round in 2..10 {
        let mut next = MmapBacked::new(8 * page).expect("memory for a test");
        // SAFETY: nobody else uses either mapping.
        let moved = unsafe { next.move_pages_from(0, &before, 0, 4 * page) };
        let expected = if moved.is_ok() { round - 1 } else { 0 };
        // Mapped in any case, and writable.
        assert!(
            part(&mut next, 4096, 3 * page)
                .iter()
                .all(|byte| *byte == expected)
        );
        part(&mut next, 0, 4 * page).fill(round);
        before = next;
    }
}
