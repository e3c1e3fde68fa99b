//! A slab whose protection has the aborting policy ends the process at the first misuse, with one
//! exact line. Not under Miri, which starts no processes.
#![cfg(all(not(miri), feature = "siphash"))]

use std::ptr::NonNull;

use drystone::{
    AbortOnMisuse, Allocator, Checked, Deallocator, FreelistProtection, HeapBacked, Misuse,
    NonZeroLayout, OnMisuse, SipHashMac, Slab,
};
use drystone_testkit::death::{self, End, Expect};

type Block = [u64; 3];
type Dying<M> = Slab<Block, HeapBacked, OnMisuse<M, AbortOnMisuse>>;

fn layout() -> NonZeroLayout {
    NonZeroLayout::for_type::<Block>().expect("not zero-sized")
}

/// Four slots of 24 bytes, three of which are live, and those.
fn slab<M: FreelistProtection>(protection: M) -> (Dying<M>, [NonNull<u8>; 3]) {
    let protection = OnMisuse::new(protection, AbortOnMisuse);
    let range = HeapBacked::new(4096).expect("memory for a test");
    let slab = Slab::with_protection(4, range, protection).expect("room for the slots");
    let blocks = [(); 3].map(|()| slab.allocate(layout()).expect("room").cast());
    (slab, blocks)
}

/// Frees what the slab has to find wrong.
fn free<M: FreelistProtection>(slab: &Dying<M>, ptr: NonNull<u8>, layout: NonZeroLayout) {
    // SAFETY: none: the slab uses the pointer for its address only, and ends the process.
    unsafe { slab.deallocate(ptr, layout) };
}

fn beside(ptr: NonNull<u8>, bytes: usize) -> NonNull<u8> {
    ptr.map_addr(|addr| addr.checked_add(bytes).expect("inside the range"))
}

fn misuse<M: FreelistProtection>(misuse: Misuse, protection: M) {
    let (slab, [first, middle, last]) = slab(protection);
    let stranger = [0u64; 3];
    match misuse {
        Misuse::ForeignPointer => free(&slab, NonNull::from(&stranger).cast(), layout()),
        Misuse::InteriorPointer => free(&slab, beside(first, 8), layout()),
        Misuse::NeverAllocated => free(&slab, beside(last, 24), layout()),
        Misuse::LayoutMismatch => {
            let larger = NonZeroLayout::from_size_align(25, 8).expect("valid");
            free(&slab, first, larger);
        }
        Misuse::DoubleFree => {
            free(&slab, first, layout());
            free(&slab, middle, layout());
            free(&slab, first, layout());
        }
        Misuse::DamagedLink => {
            free(&slab, first, layout());
            free(&slab, middle, layout());
            // SAFETY: the slot is free, but its bytes lie in the range: a use after free.
            unsafe { middle.cast::<u64>().write(0x4141_4141_4141_4141) };
            let _ = slab.allocate(layout());
        }
        _ => unreachable!("not a misuse that a slab finds"),
    }
}

/// A death test for each row: the misuse under the protection ends the process with its line.
macro_rules! dies {
    ($($name:ident: $misuse:ident, $line:literal, $protection:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let expected = Expect { end: End::Abort, line: $line };
                death::expect(stringify!($name), expected, || {
                    misuse(Misuse::$misuse, $protection);
                });
            }
        )*
    };
}

dies! {
    foreign_free_checked: ForeignPointer, "drystone: foreign pointer", Checked;
    foreign_free_mac: ForeignPointer, "drystone: foreign pointer", SipHashMac::new();
    interior_free_checked: InteriorPointer, "drystone: interior pointer", Checked;
    interior_free_mac: InteriorPointer, "drystone: interior pointer", SipHashMac::new();
    early_free_checked: NeverAllocated, "drystone: pointer never allocated", Checked;
    early_free_mac: NeverAllocated, "drystone: pointer never allocated", SipHashMac::new();
    wrong_size_checked: LayoutMismatch, "drystone: layout mismatch", Checked;
    wrong_size_mac: LayoutMismatch, "drystone: layout mismatch", SipHashMac::new();
    double_free_checked: DoubleFree, "drystone: double free", Checked;
    double_free_mac: DoubleFree, "drystone: double free", SipHashMac::new();
    write_after_free_checked: DamagedLink, "drystone: damaged free-list link", Checked;
    write_after_free_mac: DamagedLink, "drystone: damaged free-list link", SipHashMac::new();
}

/// A protection that panics ends the process too: allocators do not unwind.
#[test]
fn a_panic_of_a_policy_ends_the_process() {
    struct Panicking;

    impl drystone::MisusePolicy for Panicking {
        fn on_misuse(&self, misuse: Misuse, _address: usize) {
            panic!("a policy met {misuse}");
        }
    }

    let expected = Expect {
        end: End::Abort,
        line: "a policy met double free",
    };
    death::expect("a_panic_of_a_policy_ends_the_process", expected, || {
        let range = HeapBacked::new(4096).expect("memory for a test");
        let protection = OnMisuse::new(Checked, Panicking);
        let slab = Slab::<Block, _, _>::with_protection(4, range, protection).expect("room");
        let block = slab.allocate(layout()).expect("room").cast();
        for _ in 0..2 {
            // SAFETY: the block is live; then it is not, which the slab finds.
            unsafe { slab.deallocate(block, layout()) };
        }
    });
}
