//! [`SipHashMac`]: a keyed code over each link.

use core::fmt;

use siphasher::sip::SipHasher13;

use super::{FreeLink, FreelistProtection};

/// Each link carries 32 bits of SipHash-1-3 over the slot, the next slot and the slot's epoch, and
/// everything that [`Checked`](super::Checked) checks is checked too.
///
/// Somebody who can write to free slots but does not know the key forges a link with a chance of
/// 2⁻³² for each try. A link that was right for the slot earlier does not verify again before the
/// slot was freed 2³² times. Either way a forged link never hands out a live block: that is what
/// the state outside the slots is for.
///
/// Use one key for one slab: two slabs with the same key accept each other's links. For that
/// reason the type is not `Clone`. A child after `fork` has its parent's keys. The key lies in the
/// slab itself, and is not wiped when that is dropped.
///
/// Costs 5 bytes a slot, and one SipHash for each allocation and each free.
///
/// ```
/// use drystone_core::SipHashMac;
///
/// let mac = SipHashMac::with_key(*b"sixteen bytes...");
/// assert_eq!(format!("{mac:?}"), "SipHashMac { .. }");
/// ```
pub struct SipHashMac {
    keyed: SipHasher13,
}

impl SipHashMac {
    /// A protection with this key, which should come from a random source and serve one slab.
    #[must_use]
    pub fn with_key(key: [u8; 16]) -> Self {
        Self {
            keyed: SipHasher13::new_with_key(&key),
        }
    }

    /// A protection with a key of its own, drawn from the operating system by way of std's
    /// [`RandomState`](std::collections::hash_map::RandomState).
    #[cfg(feature = "std")]
    #[must_use]
    pub fn new() -> Self {
        use std::hash::BuildHasher;

        let seed = std::collections::hash_map::RandomState::new();
        let mut key = [0; 16];
        for (half, bytes) in key.chunks_exact_mut(8).enumerate() {
            bytes.copy_from_slice(&seed.hash_one(half).to_le_bytes());
        }
        Self::with_key(key)
    }
}

#[cfg(feature = "std")]
impl Default for SipHashMac {
    fn default() -> Self {
        Self::new()
    }
}

impl FreelistProtection for SipHashMac {
    const TAGGED: bool = true;
    const OCCUPANCY: bool = true;
    const EPOCHS: bool = true;

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "a tag has 32 bits")]
    fn tag(&self, link: FreeLink) -> u32 {
        // No slot has the index `u32::MAX`, so the end of the list is told from every slot.
        let next = link.next.unwrap_or(u32::MAX);
        let slots = u64::from(link.slot) | u64::from(next) << 32;
        let mut message = [0; 12];
        message[..8].copy_from_slice(&slots.to_le_bytes());
        message[8..].copy_from_slice(&link.epoch.to_le_bytes());
        self.keyed.hash(&message) as u32
    }
}

impl fmt::Debug for SipHashMac {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SipHashMac").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::format;

    const LINK: FreeLink = FreeLink {
        slot: 1,
        next: Some(2),
        epoch: 3,
    };

    /// The reference vector of SipHash-1-3 for the key 00 .. 0f and the 12 bytes 00 .. 0b: those of
    /// a link.
    #[test]
    fn the_code_is_siphash_1_3_over_the_words_of_a_link() {
        let mac = SipHashMac::with_key(core::array::from_fn(|n| n as u8));
        let link = FreeLink {
            slot: 0x0302_0100,
            next: Some(0x0706_0504),
            epoch: 0x0b0a_0908,
        };
        assert_eq!(mac.tag(link), 0x57b4_d9a2);
    }

    #[test]
    fn every_part_of_a_link_and_of_the_key_enters_the_tag() {
        let mac = SipHashMac::with_key([7; 16]);
        let tag = mac.tag(LINK);
        assert!(mac.verify(LINK, tag));
        for bit in 0..32 {
            let flip = 1 << bit;
            assert!(!mac.verify(LINK, tag ^ flip));
            let slot = LINK.slot ^ flip;
            assert!(!mac.verify(FreeLink { slot, ..LINK }, tag));
            let next = Some(2 ^ flip);
            assert!(!mac.verify(FreeLink { next, ..LINK }, tag));
            let epoch = LINK.epoch ^ flip;
            assert!(!mac.verify(FreeLink { epoch, ..LINK }, tag));
        }
        assert!(!mac.verify(FreeLink { next: None, ..LINK }, tag));
        for bit in 0..128 {
            let mut key = [7; 16];
            key[bit / 8] ^= 1 << (bit % 8);
            assert!(
                !SipHashMac::with_key(key).verify(LINK, tag),
                "key bit {bit}"
            );
        }
    }

    #[test]
    fn the_key_is_not_printed() {
        let text = format!("{:?}", SipHashMac::with_key(*b"secretsecretsecr"));
        assert_eq!(text, "SipHashMac { .. }");
    }

    #[cfg(feature = "std")]
    #[test]
    fn drawn_keys_differ() {
        let tags: std::collections::BTreeSet<u32> =
            (0..16).map(|_| SipHashMac::new().tag(LINK)).collect();
        assert!(tags.len() > 14, "{tags:x?}");
    }
}
