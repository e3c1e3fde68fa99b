//! The faults, class by class, and who has to find them.
//!
//! Each is committed in circumstances that are drawn: how large the block is and how it is aligned, how many
//! others are live and were freed, which byte is hit and how.

use std::ptr::NonNull;

use drystone_backing::{HeapBacked, MmapBacked, System, page_size};
use drystone_core::{
    AbortOnMisuse, Allocator, Checked, Contents, Deallocator, FreelistProtection, NonZeroLayout,
    OnMisuse, SipHashMac, SizeClass, StableAddress,
};
use drystone_layout::{BumpArena, ExtendableSlab, SizeClassed, Slab};
use drystone_testkit::kept;
use drystone_wrap::{Canary, GuardPages, Locked, Placement, PoisonOnFree, Quarantine, Statistics};

use drystone::{Arena, ArenaConfig, CachedArena, GlobalArena, ThreadCache};

use crate::Kind;
use drystone_testkit::Random;

const SLOTS: usize = 32;

type Slot = [u64; 5];
type Dying<M> = Slab<Slot, HeapBacked, OnMisuse<M, AbortOnMisuse>>;

fn classes() -> SizeClassed<HeapBacked, { SizeClass::COUNT }> {
    let range = HeapBacked::new_zeroed(4 << 20).expect("memory for a test");
    SizeClassed::with_default_classes(range).expect("room")
}

fn bump() -> BumpArena<HeapBacked> {
    BumpArena::new(HeapBacked::new_zeroed(64 << 10).expect("memory for a test"))
}

/// A kibibyte, handed out whole.
#[repr(align(64))]
struct Wide(#[allow(dead_code, reason = "only its size and alignment matter")] [u8; 1024]);

fn slots() -> ExtendableSlab<Wide> {
    ExtendableSlab::new(16)
}

fn slab<M: FreelistProtection>(protection: M) -> Dying<M> {
    let range = HeapBacked::new_zeroed(4096).expect("memory for a test");
    let protection = OnMisuse::new(protection, AbortOnMisuse);
    Slab::with_protection(SLOTS, range, protection).expect("room for the slots")
}

fn arena() -> CachedArena<'static, Checked> {
    let config = ArenaConfig::default();
    let arena = Arena::new(config).expect("a valid configuration");
    kept(arena).bind(kept(ThreadCache::new(config)))
}

const SLOT: NonZeroLayout = NonZeroLayout::for_type::<Slot>().expect("not zero-sized");

fn beside(block: NonNull<u8>, offset: isize) -> NonNull<u8> {
    let start = block.as_ptr().wrapping_offset(offset);
    NonNull::new(start).expect("no block is beside null")
}

/// Changes a byte beside or inside a block.
fn change(block: NonNull<u8>, offset: isize, random: &mut Random) {
    let byte = beside(block, offset);
    // SAFETY: none: that nobody may write there is what is to be found. The memory is there.
    let before = unsafe { byte.read() };
    // SAFETY: as above.
    unsafe { byte.write(before ^ random.change()) };
}

/// Writes to a byte that may not be there.
fn hit(block: NonNull<u8>, offset: isize) {
    // SAFETY: none: the access is meant to fault.
    unsafe { beside(block, offset).write_volatile(7) };
}

fn take<A: Allocator>(memory: &A, layout: NonZeroLayout) -> NonNull<u8> {
    memory.allocate(layout).expect("room").cast()
}

fn free<A: Deallocator>(memory: &A, block: NonNull<u8>, layout: NonZeroLayout) {
    // SAFETY: none for some of the calls: that is what is to be found.
    unsafe { memory.deallocate(block, layout) };
}

/// A block among others, some of which are freed again.
fn amid<A: Allocator>(memory: &A, layout: NonZeroLayout, random: &mut Random) -> NonNull<u8> {
    let others: Vec<_> = (0..random.below(8)).map(|_| take(memory, layout)).collect();
    let block = take(memory, layout);
    // One stays, so that no page of the arena is left without a block.
    take(memory, layout);
    for other in others {
        if random.below(2) == 0 {
            free(memory, other, layout);
        }
    }
    block
}

// Writes beside a block.

/// Writes behind a block, within the word that a canary keeps there.
fn overflow_of<A: Allocator>(memory: A, random: &mut Random) {
    let layout = random.layout(900);
    let block = amid(&memory, layout, random);
    let behind = layout.size().get() + random.below(8);
    change(block, behind.cast_signed(), random);
    free(&memory, block, layout);
}

/// Writes before a block, within the 16 bytes that a canary keeps there.
fn underflow_of<A: Allocator>(memory: A, random: &mut Random) {
    let layout = random.layout(900);
    let block = amid(&memory, layout, random);
    change(block, -1 - random.below(16).cast_signed(), random);
    free(&memory, block, layout);
}

fn guarded(placement: Placement) -> GuardPages<BumpArena<MmapBacked>> {
    let pages = MmapBacked::new(64 * page_size()).expect("memory for a test");
    GuardPages::with_guards(BumpArena::new(pages), 1, placement)
}

/// A size that is a multiple of its alignment, so that a block is exact on both sides of the choice.
fn whole(random: &mut Random) -> NonZeroLayout {
    random.layout(2 * page_size()).pad_to_align()
}

pub(crate) fn overflow() -> Vec<Kind> {
    const LINE: &str = "drystone: buffer overrun";
    vec![
        Kind::line("canary, arena", LINE, |r| {
            overflow_of(Canary::new(bump()), r);
        }),
        Kind::line("canary, classes", LINE, |r| {
            overflow_of(Canary::new(classes()), r);
        }),
        Kind::line("canary, slots", LINE, |r| {
            overflow_of(Canary::new(slots()), r);
        }),
        Kind::line("canary, system", LINE, |r| {
            overflow_of(Canary::new(System), r);
        }),
        Kind::line("canary, arena", LINE, |r| {
            overflow_of(Canary::new(arena()), r);
        }),
        Kind::line("canary, locked", LINE, |r| {
            overflow_of(Statistics::new(Locked::new(Canary::new(classes()))), r);
        }),
        Kind::fault("guard pages", |random| {
            let memory = guarded(Placement::AtEnd);
            let layout = whole(random);
            let block = amid(&memory, layout, random);
            let behind = layout.size().get() + random.below(page_size());
            hit(block, behind.cast_signed());
        }),
    ]
}

pub(crate) fn underflow() -> Vec<Kind> {
    const LINE: &str = "drystone: buffer underrun";
    vec![
        Kind::line("canary, arena", LINE, |r| {
            underflow_of(Canary::new(bump()), r);
        }),
        Kind::line("canary, classes", LINE, |r| {
            underflow_of(Canary::new(classes()), r);
        }),
        Kind::line("canary, slots", LINE, |r| {
            underflow_of(Canary::new(slots()), r);
        }),
        Kind::line("canary, system", LINE, |r| {
            underflow_of(Canary::new(System), r);
        }),
        Kind::line("canary, arena", LINE, |r| {
            underflow_of(Canary::new(arena()), r);
        }),
        Kind::fault("guard pages", |random| {
            let memory = guarded(Placement::AtStart);
            let layout = whole(random);
            let block = amid(&memory, layout, random);
            hit(block, -1 - random.below(page_size()).cast_signed());
        }),
    ]
}

// Uses of a block that was freed.

/// Writes to a block that a quarantine holds, and makes it look, in one of four ways.
fn write_late<A: Contents + StableAddress>(inner: A, random: &mut Random) {
    let memory = Quarantine::<_, 8>::new(inner);
    let layout = random.layout(900);
    let block = amid(&memory, layout, random);
    free(&memory, block, layout);
    let offset = random.below(layout.size().get()).cast_signed();
    change(block, offset, random);
    match random.below(4) {
        0 => memory.flush(),
        1 => drop(memory),
        2 => drop(memory.allocate(NonZeroLayout::from_size_align(1 << 40, 8).expect("valid"))),
        _ => {
            let others = [(); 8].map(|()| take(&memory, layout));
            for other in others {
                free(&memory, other, layout);
            }
        }
    }
}

pub(crate) fn write_after_free() -> Vec<Kind> {
    const LINE: &str = "drystone: write after free";
    vec![
        Kind::line("quarantine, classes", LINE, |r| write_late(classes(), r)),
        Kind::line("quarantine, slots", LINE, |r| write_late(slots(), r)),
        Kind::line("quarantine, system", LINE, |r| write_late(System, r)),
        Kind::line("quarantine, arena", LINE, |r| write_late(arena(), r)),
        Kind::line("quarantine, poison", LINE, |r| {
            write_late(PoisonOnFree::new(classes()), r);
        }),
        Kind::line("quarantine, canary", LINE, |r| {
            write_late(Canary::new(classes()), r);
        }),
    ]
}

/// Frees a block twice, with at most `between` other frees in between.
fn free_twice<A: Allocator>(memory: A, layout: NonZeroLayout, between: usize, random: &mut Random) {
    let others: Vec<_> = (0..random.below(between + 1))
        .map(|_| take(&memory, layout))
        .collect();
    let block = amid(&memory, layout, random);
    free(&memory, block, layout);
    for other in others {
        free(&memory, other, layout);
    }
    free(&memory, block, layout);
}

pub(crate) fn double_free() -> Vec<Kind> {
    const LINE: &str = "drystone: double free";
    vec![
        Kind::line("slab, checked", LINE, |r| {
            free_twice(slab(Checked), SLOT, 20, r);
        }),
        Kind::line("slab, keyed", LINE, |r| {
            free_twice(slab(SipHashMac::new()), SLOT, 20, r);
        }),
        Kind::line("quarantine, classes", LINE, |r| {
            let layout = r.layout(900);
            free_twice(Quarantine::<_, 8>::new(classes()), layout, 7, r);
        }),
        Kind::line("quarantine, system", LINE, |r| {
            let layout = r.layout(900);
            free_twice(Quarantine::<_, 64>::new(System), layout, 63, r);
        }),
        Kind::line("canary, classes", LINE, |r| {
            let layout = r.layout(900);
            free_twice(Canary::new(classes()), layout, 0, r);
        }),
        Kind::line("arena with a cache, checked", LINE, |r| {
            let layout = r.layout(900);
            free_twice(arena(), layout, 20, r);
        }),
        Kind::line("global arena, checked", LINE, |r| {
            let layout = r.layout(900);
            free_twice(GlobalArena::<Checked>::new(), layout, 20, r);
        }),
    ]
}

// Frees of what was not handed out.

/// Frees an address inside of a block.
fn free_inside<A: Allocator>(memory: A, layout: NonZeroLayout, random: &mut Random) {
    let block = amid(&memory, layout, random);
    let offset = 1 + random.below(layout.size().get() - 1);
    free(&memory, beside(block, offset.cast_signed()), layout);
}

/// As a caller that loses the low bits of an address.
fn free_misaligned<A: Allocator>(memory: A, layout: NonZeroLayout, random: &mut Random) {
    let block = amid(&memory, layout, random);
    let offset = 1 + random.below(layout.align().get().min(layout.size().get()) - 1);
    free(&memory, beside(block, offset.cast_signed()), layout);
}

/// Frees a block of the system.
fn free_foreign<A: Allocator>(memory: A, layout: NonZeroLayout, random: &mut Random) {
    amid(&memory, layout, random);
    free(&memory, take(&System, layout), layout);
}

/// Frees a part of the stack.
fn free_stack<A: Allocator>(memory: A, layout: NonZeroLayout, random: &mut Random) {
    amid(&memory, layout, random);
    let mut here = [0_u64; 256];
    let offset = random.below(128);
    free(&memory, NonNull::from(&mut here[offset]).cast(), layout);
}

/// Of at least two bytes, aligned to at least two.
fn of_two_or_more(random: &mut Random) -> NonZeroLayout {
    let size = random.below(450) * 2 + 2;
    NonZeroLayout::from_size_align(size, 2 << random.below(5)).expect("valid")
}

/// What each allocator that checks its frees says to one of `$fault`.
macro_rules! checked_frees {
    ($line:literal, $fault:ident) => {
        vec![
            Kind::line("slab, checked", $line, |r| $fault(slab(Checked), SLOT, r)),
            Kind::line("slab, keyed", $line, |r| {
                $fault(slab(SipHashMac::new()), SLOT, r)
            }),
            Kind::line("arena with a cache, checked", $line, |r| {
                let layout = of_two_or_more(r);
                $fault(arena(), layout, r);
            }),
            Kind::line("global arena, checked", $line, |r| {
                let layout = of_two_or_more(r);
                $fault(GlobalArena::<Checked>::new(), layout, r);
            }),
        ]
    };
}

pub(crate) fn interior_free() -> Vec<Kind> {
    checked_frees!("drystone: interior pointer", free_inside)
}

pub(crate) fn misaligned_free() -> Vec<Kind> {
    checked_frees!("drystone: interior pointer", free_misaligned)
}

pub(crate) fn foreign_free() -> Vec<Kind> {
    checked_frees!("drystone: foreign pointer", free_foreign)
}

pub(crate) fn stack_free() -> Vec<Kind> {
    checked_frees!("drystone: foreign pointer", free_stack)
}

/// Frees a block as one of another size.
fn free_as_another<A: Allocator>(memory: A, random: &mut Random, wrong: fn(usize) -> usize) {
    let layout = random.layout(200);
    let block = amid(&memory, layout, random);
    let size = wrong(layout.size().get());
    let other = NonZeroLayout::from_size_align(size, layout.align().get()).expect("valid");
    free(&memory, block, other);
}

pub(crate) fn wrong_size() -> Vec<Kind> {
    const LINE: &str = "drystone: layout mismatch";
    // A byte more or less is enough for a canary; the arena knows the class.
    vec![
        Kind::line("canary, classes", LINE, |r| {
            free_as_another(Canary::new(classes()), r, |size| size + 1);
        }),
        Kind::line("canary, system", LINE, |r| {
            free_as_another(Canary::new(System), r, |size| 2 * size);
        }),
        Kind::line("arena with a cache, checked", LINE, |r| {
            free_as_another(arena(), r, |size| 2 * size + 64);
        }),
        Kind::line("global arena, checked", LINE, |r| {
            free_as_another(GlobalArena::<Checked>::new(), r, |size| 2 * size + 64);
        }),
    ]
}

// Links.

/// Puts `link` into a free slot of a slab, and has the slab use it.
fn forge(random: &mut Random, link: impl FnOnce(NonNull<u8>, NonNull<u8>, &mut Random) -> u64) {
    let memory = slab(SipHashMac::new());
    let blocks: Vec<_> = (0..8).map(|_| take(&memory, SLOT)).collect();
    let (victim, other) = (blocks[random.below(4)], blocks[4 + random.below(4)]);
    for block in blocks {
        free(&memory, block, SLOT);
    }
    let place = victim.cast::<u64>();
    let forged = link(victim, other, random);
    // SAFETY: none: the slot is free. Its bytes lie in the slab's range.
    unsafe { place.write(forged) };
    for _ in 0..8 {
        // That the link is used is told by the end of the process.
        let _ = memory.allocate(SLOT);
    }
}

/// The link in a free slot.
fn link_of(slot: NonNull<u8>) -> u64 {
    // SAFETY: the slot is free and its first word initialised: it has a link.
    unsafe { slot.cast::<u64>().read() }
}

pub(crate) fn forged_link() -> Vec<Kind> {
    const LINE: &str = "drystone: damaged free-list link";
    vec![
        Kind::line("slab, keyed: any word", LINE, |random| {
            forge(random, |victim, _, random| {
                link_of(victim) ^ (random.word() | 1)
            });
        }),
        Kind::line("slab, keyed: one byte", LINE, |random| {
            forge(random, |victim, _, random| {
                let byte = u64::from(random.change()) << (8 * random.below(8));
                link_of(victim) ^ byte
            });
        }),
        Kind::line("slab, keyed: another slot's link", LINE, |random| {
            forge(random, |_, other, _| link_of(other));
        }),
    ]
}
