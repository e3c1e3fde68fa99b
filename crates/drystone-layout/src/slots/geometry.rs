//! How many slots and how much map fit into some bytes. Arithmetic only.
#![forbid(unsafe_code)]

/// Slots that one word of the map describes.
pub(crate) const WORD_SLOTS: usize = usize::BITS as usize;

/// The most slots of one map: an index fits a `u32`, and so does a count.
pub(crate) const SLOTS_MAX: usize = u32::MAX as usize - 1;

/// What the map costs for each [`WORD_SLOTS`] slots begun: the word and its link, in bytes.
pub(crate) const WORD_COST_BYTES: usize = size_of::<usize>() + size_of::<u32>();

/// How many slots of `stride` bytes, above zero, fit into `bytes` together with their map: as many
/// as possible, at most [`SLOTS_MAX`].
#[allow(
    clippy::cast_possible_truncation,
    reason = "bounded by SLOTS_MAX, which fits"
)]
pub(crate) const fn slots_in(bytes: usize, stride: usize) -> u32 {
    let slots = match stride.checked_mul(WORD_SLOTS) {
        Some(slots_bytes) if slots_bytes <= usize::MAX - WORD_COST_BYTES => {
            let group = slots_bytes + WORD_COST_BYTES;
            // The rest is shorter than a group, so it adds less than a word of slots.
            bytes / group * WORD_SLOTS + rest_slots(bytes % group, stride)
        }
        // Not a single word of slots fits.
        _ => rest_slots(bytes, stride),
    };
    if slots > SLOTS_MAX {
        SLOTS_MAX as u32
    } else {
        slots as u32
    }
}

/// The slots of a last, partial word.
const fn rest_slots(bytes: usize, stride: usize) -> usize {
    bytes.saturating_sub(WORD_COST_BYTES) / stride
}

/// The words of a map of `slots` slots.
pub(crate) const fn words_for(slots: u32) -> u32 {
    slots.div_ceil(usize::BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(slots: usize, stride: usize) -> u128 {
        let words = slots.div_ceil(WORD_SLOTS) as u128;
        slots as u128 * stride as u128 + words * WORD_COST_BYTES as u128
    }

    fn check(bytes: usize, stride: usize) {
        let slots = slots_in(bytes, stride) as usize;
        assert!(cost(slots, stride) <= bytes as u128, "{bytes} {stride}");
        let one_more = cost(slots + 1, stride) > bytes as u128;
        assert!(one_more || slots == SLOTS_MAX, "{bytes} {stride}");
    }

    #[test]
    fn as_many_as_fit_and_not_one_more() {
        let strides = if cfg!(miri) { 1..4 } else { 1..140 };
        for stride in strides {
            for bytes in (0..20_000).step_by(if cfg!(miri) { 997 } else { 1 }) {
                check(bytes, stride);
            }
        }
        for bytes in [usize::MAX, usize::MAX - 1, isize::MAX as usize, 1 << 30] {
            for bit in 0..usize::BITS {
                for stride in [1 << bit, (1 << bit) + 1, usize::MAX >> bit] {
                    check(bytes, stride);
                }
            }
        }
    }

    #[test]
    fn a_map_has_a_word_for_each_word_of_slots_begun() {
        assert_eq!(words_for(0), 0);
        assert_eq!(words_for(1), 1);
        assert_eq!(words_for(usize::BITS), 1);
        assert_eq!(words_for(usize::BITS + 1), 2);
    }
}
