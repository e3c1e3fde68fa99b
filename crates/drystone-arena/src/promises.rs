//! What the faces of an arena promise beyond [`Allocator`]: what wrappers and adapters ask for.

use core::mem::MaybeUninit;
use core::ptr::NonNull;

use drystone_core::{
    AllocError, Allocator, AllocatorClone, Contents, GlobalSafe, NoHeap, NonZeroLayout, Owns,
    StableAddress, StaticAllocator,
};

use crate::arena::CachedArena;
use crate::core_state::Core;
use crate::geometry::{Kind, segment_address};
use crate::global::GlobalArena;
use crate::profile::Profile;
use crate::segment_map;

/// Whether the address lies in memory of this arena.
fn owns(core: &Core, address: NonNull<u8>) -> bool {
    segment_map::is_of(core, address.addr().get())
}

/// The arena's own pointer to a live block.
///
/// # Safety
///
/// A live block begins there.
unsafe fn own_pointer(block: NonNull<u8>) -> NonNull<u8> {
    // SAFETY: the block lies in the mapping of that segment.
    let segment = unsafe { segment_map::pointer(segment_address(block.addr().get())) };
    let own = segment.with_addr(block.addr().get());
    // SAFETY: the address is that of a pointer that is not null.
    unsafe { NonNull::new_unchecked(own) }
}

/// Whether a block of one layout is one of the other as it stands.
fn same_block(old: NonZeroLayout, new: NonZeroLayout) -> bool {
    match (Kind::of(old), Kind::of(new)) {
        (Kind::Class(old), Kind::Class(new)) => old == new,
        _ => false,
    }
}

macro_rules! faces {
    ($([$($generics:tt)*] $face:ty, |$face_arg:ident| $core:expr;)+) => {
        $(
            // SAFETY: every block lies in a mapping of the arena, and the map says of each address
            // whose mapping it is in, up to the mapping's end.
            unsafe impl<$($generics)*> Owns for $face {
                fn owns(&self, ptr: NonNull<u8>) -> bool {
                    let $face_arg = self;
                    owns($core, ptr)
                }
            }

            // SAFETY: the pointer is the mapping's own, whose provenance is of all of it; usable
            // sizes are the lengths that were returned; blocks do not end with a face.
            unsafe impl<$($generics)*> Contents for $face {
                unsafe fn own_pointer(&self, block: NonNull<u8>, _: NonZeroLayout) -> NonNull<u8> {
                    // SAFETY: the caller's promise.
                    unsafe { own_pointer(block) }
                }

                unsafe fn grow_in_place(
                    &self,
                    ptr: NonNull<u8>,
                    old: NonZeroLayout,
                    new: NonZeroLayout,
                ) -> Result<NonNull<[u8]>, AllocError> {
                    if same_block(old, new) {
                        // SAFETY: the caller's promise.
                        unsafe { self.grow(ptr, old, new) }
                    } else {
                        Err(AllocError)
                    }
                }

                unsafe fn shrinks_in_place(
                    &self,
                    _: NonNull<u8>,
                    old: NonZeroLayout,
                    new: NonZeroLayout,
                ) -> bool {
                    same_block(old, new)
                }

                unsafe fn ending(&mut self, _: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {}
            }

            // SAFETY: blocks lie in memory of the arena, wherever the face is.
            unsafe impl<$($generics)*> StableAddress for $face {}
        )+
    };
}

faces! {
    [P: Profile] GlobalArena<P>, |_face| P::core();
    [P: Profile] CachedArena<'_, P>, |face| face.shared();
}

// SAFETY: memory comes from the system; locks spin; nothing allocates from the global heap.
unsafe impl<P: Profile> NoHeap for GlobalArena<P> {}

// SAFETY: as above.
unsafe impl<P: Profile> GlobalSafe for GlobalArena<P> {}

// SAFETY: every value of the type is the same arena, which is static.
unsafe impl<P: Profile> AllocatorClone for GlobalArena<P> {}

// SAFETY: the arena is static; nothing but a free ends a block.
unsafe impl<P: Profile> StaticAllocator for GlobalArena<P> {}
