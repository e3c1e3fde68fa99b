//! Protected slabs against many wrong pointers and many forged links: nothing live is handed out,
//! nothing right is refused.

mod ranges;

use std::collections::BTreeSet;
use std::ptr::NonNull;

use drystone_core::{
    Allocator, BlockInfo, Checked, Deallocator, FreelistProtection, HeapSegment, Inspect, Misuse,
    NonZeroLayout, Reset, SipHashMac,
};
use drystone_layout::Slab;
use ranges::{heap, layout};

fn mac() -> SipHashMac {
    SipHashMac::with_key(*b"a key for a test")
}

/// How often to try, in a normal run and under Miri.
const fn tries(normal: usize, miri: usize) -> usize {
    if cfg!(miri) { miri } else { normal }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// Three words: slots of 24 bytes, which is no power of two.
type Block = [u64; 3];
type Guarded<M> = Slab<Block, HeapSegment, M>;

fn slab<M: FreelistProtection>(capacity: usize, protection: M) -> Guarded<M> {
    let bytes = Slab::<Block, (), M>::bytes_for(capacity).expect("few");
    Slab::with_protection(capacity, heap(bytes, 8), protection).expect("it fits")
}

fn whole() -> NonZeroLayout {
    layout(24, 8)
}

/// Takes a block and writes its first bytes, so that they can be read when it is free.
fn take<M: FreelistProtection>(slab: &Guarded<M>) -> Option<NonNull<u8>> {
    let block = slab.allocate(whole()).ok()?.cast::<u64>();
    // SAFETY: the block is live, long enough and aligned.
    unsafe { block.write(0) };
    Some(block.cast())
}

/// Gives back what may or may not be a block.
fn give<M: FreelistProtection>(slab: &Guarded<M>, ptr: NonNull<u8>) {
    // SAFETY: none for a pointer that is no live block; the slab uses its address only, and what
    // it does then is under test.
    unsafe { slab.deallocate(ptr, whole()) };
}

/// A slab and what should be true of it.
struct Model<M> {
    slab: Guarded<M>,
    first: NonNull<u8>,
    carved: usize,
    live: Vec<usize>,
    free: Vec<usize>,
}

const SLOTS: usize = 32;
const STRIDE: usize = size_of::<Block>();

impl<M: FreelistProtection> Model<M> {
    fn new(protection: M) -> Self {
        let slab = slab(SLOTS, protection);
        let first = take(&slab).expect("room");
        Self {
            slab,
            first,
            carved: 1,
            live: vec![0],
            free: Vec::new(),
        }
    }

    fn at(&self, offset: usize) -> NonNull<u8> {
        self.first.map_addr(|addr| addr.saturating_add(offset))
    }

    fn allocate(&mut self) {
        let expected = self.free.pop().or_else(|| {
            (self.carved < SLOTS).then(|| {
                self.carved += 1;
                self.carved - 1
            })
        });
        let taken = take(&self.slab);
        assert_eq!(taken, expected.map(|slot| self.at(slot * STRIDE)));
        self.live.extend(expected);
    }

    fn free(&mut self, random: &mut Random) {
        if self.live.is_empty() {
            return;
        }
        let slot = self.live.swap_remove(random.below(self.live.len()));
        give(&self.slab, self.at(slot * STRIDE));
        self.free.push(slot);
    }

    /// What is to be said of the address `first + offset`, modulo the address space.
    fn expected(&self, offset: usize) -> Result<BlockInfo, Misuse> {
        let slot = offset / STRIDE;
        if offset >= SLOTS * STRIDE {
            Err(Misuse::ForeignPointer)
        } else if slot >= self.carved {
            Err(Misuse::NeverAllocated)
        } else if !offset.is_multiple_of(STRIDE) {
            Err(Misuse::InteriorPointer)
        } else if self.free.contains(&slot) {
            Err(Misuse::DoubleFree)
        } else {
            Ok(BlockInfo {
                usable_bytes: STRIDE,
            })
        }
    }

    /// Asks about a pointer, and frees it if that is wrong: then nothing may change.
    fn probe(&mut self, random: &mut Random) {
        let offset = match random.below(8) {
            0 => random.below(SLOTS) * STRIDE,
            1 => random.below(self.carved) * STRIDE,
            2..5 => random.below(SLOTS * STRIDE),
            5 => SLOTS * STRIDE + random.below(4096),
            6 => (random.below(4096) + 1).wrapping_neg(),
            _ => random.next() as usize,
        };
        let Some(address) = NonZeroAddr::new(self.first.addr().get().wrapping_add(offset)) else {
            return;
        };
        let ptr = self.first.with_addr(address);
        let expected = self.expected(offset);
        assert_eq!(self.slab.validate(ptr), expected, "offset {offset}");
        if expected.is_err() {
            let events = self.slab.corruption_events();
            give(&self.slab, ptr);
            assert_eq!(self.slab.corruption_events(), events + 1, "offset {offset}");
        }
    }
}

type NonZeroAddr = std::num::NonZero<usize>;

/// Random, interior, foreign and stale pointers: 0 accepted, and no right one refused.
fn wrong_pointers<M: FreelistProtection>(protection: M, seed: u64) {
    let mut random = Random(seed);
    let mut model = Model::new(protection);
    for step in 0..tries(2_000_000, 400) {
        match random.below(16) {
            0 | 1 => model.allocate(),
            2 => model.free(&mut random),
            _ => model.probe(&mut random),
        }
        if step % tries(1000, 40) == 0 {
            let report = model.slab.verify_all().expect("sound");
            assert_eq!(report.live_blocks, model.live.len());
            assert_eq!(report.free_blocks, model.free.len());
        }
    }
}

#[test]
fn no_wrong_pointer_is_accepted_and_no_right_one_refused_checked() {
    wrong_pointers(Checked, 1);
}

#[test]
fn no_wrong_pointer_is_accepted_and_no_right_one_refused_mac() {
    wrong_pointers(mac(), 2);
}

/// The link that a free slot holds, whatever its form.
fn link_of(slot: NonNull<u8>) -> u64 {
    // SAFETY: the slot is free, so that its link was written.
    unsafe { slot.cast::<u64>().read_unaligned() }
}

/// Writes over the link of a free slot: a use after free.
fn forge(slot: NonNull<u8>, link: u64) {
    // SAFETY: the slot is free, but its bytes lie in the range: that is the misuse under test.
    unsafe { slot.cast::<u64>().write_unaligned(link) };
}

/// A slab with some slots live and some free, whose links somebody forges.
struct Attack<M> {
    slab: Guarded<M>,
    live: BTreeSet<NonNull<u8>>,
    /// The free slots, in the order in which they were freed.
    free: Vec<NonNull<u8>>,
}

impl<M: FreelistProtection> Attack<M> {
    fn new(slots: usize, protection: M, random: &mut Random) -> Self {
        let slab = slab(slots, protection);
        let mut blocks: Vec<_> = (0..slots - 1).map(|_| take(&slab).expect("room")).collect();
        let mut free = Vec::new();
        for _ in 0..slots / 2 {
            let block = blocks.swap_remove(random.below(blocks.len()));
            give(&slab, block);
            free.push(block);
        }
        Self {
            slab,
            live: blocks.into_iter().collect(),
            free,
        }
    }

    /// Takes all that there is. Nothing that comes out may be live or foreign.
    fn drain(mut self) -> Drained {
        let slots = self.slab.capacity();
        let mut served = 0;
        while let Some(block) = take(&self.slab) {
            assert!(self.live.insert(block), "a live block was handed out");
            let info = self.slab.validate(block);
            assert!(info.is_ok(), "a foreign block was handed out: {info:?}");
            served += 1;
            assert!(served <= slots);
        }
        let report = self.slab.verify_all();
        assert_eq!(report.map(|report| report.live_blocks), Ok(self.live.len()));
        Drained {
            lost: slots - self.live.len(),
            noticed: self.slab.corruption_events() > 0,
        }
    }
}

/// What came of an attack.
struct Drained {
    lost: usize,
    noticed: bool,
}

/// A link made of parts that an attacker has reason to try.
fn forged_link(random: &mut Random, slots: usize) -> u64 {
    let near = |random: &mut Random| match random.below(4) {
        0 => u32::MAX,
        1 => random.next() as u32,
        _ => random.below(slots + 2) as u32,
    };
    match random.below(4) {
        0 => random.next(),
        1 => u64::from(near(random)) | random.next() << 32,
        // A byte offset: what links without tags are.
        2 => u64::from(near(random)) * STRIDE as u64 + random.below(64) as u64,
        _ => u64::MAX,
    }
}

fn random_forgeries<M: FreelistProtection>(protection: impl Fn() -> M, seed: u64) {
    let mut random = Random(seed);
    for _ in 0..tries(1_000_000, 8) {
        let attack = Attack::new(8, protection(), &mut random);
        let victim = attack.free[random.below(attack.free.len())];
        let (old, new) = (link_of(victim), forged_link(&mut random, 8));
        forge(victim, new);
        let drained = attack.drain();
        if M::TAGGED {
            // Noticed, but for the one chance in 2³² that this run does not meet.
            assert_eq!(drained.noticed, old != new);
        }
        // At most the slot that was written to is withheld.
        assert!(drained.lost <= usize::from(old != new && drained.noticed));
    }
}

#[test]
fn random_links_hand_nothing_live_out_checked() {
    random_forgeries(|| Checked, 3);
}

#[test]
fn random_links_hand_nothing_live_out_mac() {
    random_forgeries(mac, 4);
}

/// All bits of all links of lists of every length.
fn flipped_bits<M: FreelistProtection>(protection: impl Fn() -> M) {
    let sizes = if cfg!(miri) { 4..5 } else { 4..24 };
    for slots in sizes {
        for depth in 0..slots / 2 {
            // Without tags a link is one word.
            let bits = if M::TAGGED { 64 } else { usize::BITS };
            for bit in (0..bits).step_by(tries(1, 13)) {
                let attack = Attack::new(slots, protection(), &mut Random(slots as u64));
                let victim = attack.free[depth];
                forge(victim, link_of(victim) ^ 1 << bit);
                let drained = attack.drain();
                assert!(drained.noticed, "bit {bit} at {depth} of {slots}");
                assert!(drained.lost <= 1);
            }
        }
    }
}

#[test]
fn flipped_bits_hand_nothing_live_out_checked() {
    flipped_bits(|| Checked);
}

#[test]
fn flipped_bits_hand_nothing_live_out_mac() {
    flipped_bits(mac);
}

/// Keeps every link that any slot ever held, and writes them back where they were. The slab is
/// reset when all its slots are withheld; that makes no former link right again.
fn former_links<M: FreelistProtection>(protection: M, seed: u64) {
    let mut random = Random(seed);
    let mut slab = slab(8, protection);
    let mut live: Vec<NonNull<u8>> = Vec::new();
    let mut free: Vec<NonNull<u8>> = Vec::new();
    let mut former: Vec<(NonNull<u8>, u64)> = Vec::new();
    let mut replays = 0;
    for _ in 0..tries(600_000, 400) {
        match random.below(8) {
            0..4 => match take(&slab) {
                Some(block) => {
                    assert!(!live.contains(&block), "a live block was handed out");
                    free.retain(|&slot| slot != block);
                    live.push(block);
                }
                None if live.is_empty() => {
                    slab.reset();
                    free.clear();
                }
                None => {}
            },
            4..7 if !live.is_empty() => {
                let block = live.swap_remove(random.below(live.len()));
                give(&slab, block);
                free.push(block);
                former.push((block, link_of(block)));
            }
            _ if !former.is_empty() => {
                let (slot, link) = former[random.below(former.len())];
                if free.contains(&slot) && link != link_of(slot) {
                    replays += 1;
                    let report = slab.verify_all();
                    // A withheld slot holds no link that counts.
                    let on_list = report.is_ok_and(|report| report.free_blocks == free.len());
                    forge(slot, link);
                    if M::TAGGED && on_list {
                        assert!(slab.verify_all().is_err(), "a former link verifies");
                    }
                }
            }
            _ => {}
        }
    }
    for &block in &live {
        assert!(slab.validate(block).is_ok());
    }
    assert!(replays > tries(20_000, 5), "{replays} links written back");
}

#[test]
fn former_links_hand_nothing_live_out_checked() {
    former_links(Checked, 5);
}

#[test]
fn former_links_hand_nothing_live_out_mac() {
    former_links(mac(), 6);
}
