//! Arithmetic on pages: which sizes and which ranges the operating system is asked about.
#![forbid(unsafe_code)]

use drystone_core::OsError;
use drystone_core::arith::{SIZE_MAX, align_down, align_up, is_aligned, range_fits};

use crate::BackingError;

/// The sizes of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MapSize {
    /// What the range will have: the bytes asked for, rounded up to pages.
    pub range_bytes: usize,
    /// What must be mapped so that an aligned range of that size is inside, wherever it lies.
    pub mapped_bytes: usize,
}

/// How much to map for `bytes` at a multiple of `align`, in pages of `page` bytes.
pub(crate) fn map_size(bytes: usize, align: usize, page: usize) -> Result<MapSize, BackingError> {
    if bytes == 0 {
        return Err(BackingError::ZeroSize);
    }
    if !align.is_power_of_two() {
        return Err(BackingError::Alignment { align });
    }
    // A mapping starts on a page border; what the alignment asks beyond that may be skipped.
    let skipped_max = align.saturating_sub(page);
    let limit = align_down(SIZE_MAX.saturating_sub(skipped_max), page);
    if bytes > limit {
        return Err(BackingError::TooLarge { bytes, limit });
    }
    let too_large = BackingError::TooLarge { bytes, limit };
    let range_bytes = align_up(bytes, page).ok_or(too_large)?;
    let mapped_bytes = range_bytes.checked_add(skipped_max).ok_or(too_large)?;
    Ok(MapSize {
        range_bytes,
        mapped_bytes,
    })
}

/// How much to map for `bytes` between two guard pages, in pages of `page` bytes.
pub(crate) fn guarded_size(bytes: usize, page: usize) -> Result<usize, BackingError> {
    let guards = 2 * page;
    let limit = align_down(SIZE_MAX, page) - guards;
    let range_bytes = map_size(bytes, 1, page)?.range_bytes;
    if range_bytes > limit {
        return Err(BackingError::TooLarge { bytes, limit });
    }
    Ok(range_bytes + guards)
}

/// Refuses a range that is not whole pages inside a mapping of `size` bytes. Empty ranges on a
/// page border are allowed.
pub(crate) fn check(offset: usize, len: usize, size: usize, page: usize) -> Result<(), OsError> {
    let whole_pages = is_aligned(offset, page) && is_aligned(len, page);
    if whole_pages && range_fits(offset, len, size) {
        Ok(())
    } else {
        Err(OsError::OutOfRange {
            offset,
            len,
            size,
            page,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::format;

    use super::*;

    const PAGES: [usize; 3] = [4096, 16 * 1024, 64 * 1024];

    /// Numbers near 0, near multiples of a page, and near the ends of `usize` and `isize`.
    fn edgy() -> impl Strategy<Value = usize> {
        let centre = prop_oneof![
            Just(0usize),
            Just(SIZE_MAX),
            Just(usize::MAX),
            (0usize..64).prop_map(|n| n * 4096),
            any::<usize>(),
        ];
        let step = prop_oneof![Just(0usize), Just(1), Just(4096), 0usize..70_000];
        (centre, step, any::<bool>()).prop_map(|(centre, step, up)| {
            if up {
                centre.wrapping_add(step)
            } else {
                centre.wrapping_sub(step)
            }
        })
    }

    fn config() -> ProptestConfig {
        ProptestConfig {
            cases: if cfg!(miri) { 8 } else { 20_000 },
            failure_persistence: None,
            ..ProptestConfig::default()
        }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn check_agrees_with_wider_arithmetic(
            offset in edgy(),
            len in edgy(),
            size_pages in 0usize..100,
            page in prop::sample::select(&PAGES[..]),
        ) {
            let size = size_pages * page;
            let end = offset as u128 + len as u128;
            let inside = end <= size as u128;
            let whole = offset.is_multiple_of(page) && len.is_multiple_of(page);
            let answer = check(offset, len, size, page);
            prop_assert_eq!(answer.is_ok(), inside && whole);
            if let Err(error) = answer {
                prop_assert_eq!(error, OsError::OutOfRange { offset, len, size, page });
            }
        }

        #[test]
        fn map_size_agrees_with_wider_arithmetic(
            bytes in edgy(),
            align_bit in 0..usize::BITS,
            page in prop::sample::select(&PAGES[..]),
        ) {
            let align = 1usize << align_bit;
            let range = (bytes as u128).div_ceil(page as u128) * page as u128;
            let mapped = range + (align as u128).saturating_sub(page as u128);
            match map_size(bytes, align, page) {
                Ok(size) => {
                    prop_assert_eq!(size.range_bytes as u128, range);
                    prop_assert_eq!(size.mapped_bytes as u128, mapped);
                    prop_assert!(mapped <= SIZE_MAX as u128);
                }
                Err(BackingError::ZeroSize) => prop_assert_eq!(bytes, 0),
                Err(BackingError::TooLarge { bytes: told, limit }) => {
                    prop_assert_eq!(told, bytes);
                    prop_assert!(bytes > limit);
                    prop_assert!(mapped > SIZE_MAX as u128);
                    // The limit is the largest that works.
                    prop_assert!(limit == 0 || map_size(limit, align, page).is_ok());
                    prop_assert!(map_size(limit + 1, align, page).is_err());
                }
                Err(other) => prop_assert!(false, "{}", format!("{other:?}")),
            }
        }
    }

    #[test]
    fn guards_are_part_of_the_largest_mapping() {
        for page in PAGES {
            let limit = (SIZE_MAX - (SIZE_MAX % page)) - 2 * page;
            assert_eq!(guarded_size(1, page), Ok(3 * page));
            assert_eq!(guarded_size(limit, page), Ok(limit + 2 * page));
            for bytes in [limit + 1, limit + page] {
                let too_large = BackingError::TooLarge { bytes, limit };
                assert_eq!(guarded_size(bytes, page), Err(too_large));
            }
            assert_eq!(guarded_size(0, page), Err(BackingError::ZeroSize));
        }
    }

    #[test]
    fn an_alignment_must_be_a_power_of_two() {
        for align in [0, 3, 4097, usize::MAX] {
            assert_eq!(
                map_size(1, align, 4096),
                Err(BackingError::Alignment { align })
            );
        }
    }
}
