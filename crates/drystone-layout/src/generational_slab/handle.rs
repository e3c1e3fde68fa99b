//! [`Handle`]: the name of a value in a [`GenerationalSlab`](super::GenerationalSlab).

use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;

use super::generation::Generation;

/// The name of a value: the index of its slot, and which life of the slot is meant.
///
/// Copied, compared, hashed and sent to other threads whatever `T` is; it keeps nothing alive. The
/// order is that of the slots. A handle takes 8 bytes with generations of up to 32 bits and 16 with
/// 64, also in an `Option`.
///
/// ```
/// # use drystone_layout::generational_slab::Handle;
/// fn everywhere<T: Copy + Ord + core::hash::Hash + Send + Sync + 'static>() {}
/// everywhere::<Handle<std::rc::Rc<std::cell::Cell<u8>>>>();
/// assert_eq!(size_of::<Option<Handle<String>>>(), 8);
/// ```
///
/// The type of the value is part of the handle's:
///
/// ```compile_fail,E0308
/// # use drystone_core::{HeapSegment, NonZeroLayout};
/// # use drystone_layout::GenerationalSlab;
/// # let range = || HeapSegment::new(NonZeroLayout::array::<u64>(64).unwrap()).unwrap();
/// let mut names = GenerationalSlab::<String, _>::new(4, range()).unwrap();
/// let ages = GenerationalSlab::<u8, _>::new(4, range()).unwrap();
/// let handle = names.insert("Ada".into()).unwrap();
/// ages.get(handle);
/// ```
pub struct Handle<T, G: Generation = u32> {
    index: u32,
    generation: G::Live,
    value: PhantomData<fn() -> T>,
}

impl<T, G: Generation> Handle<T, G> {
    #[inline]
    pub(super) const fn new(index: u32, generation: G::Live) -> Self {
        Self {
            index,
            generation,
            value: PhantomData,
        }
    }

    /// The index of the slot, below the capacity of the slab. Two values that live in one slab at
    /// the same time have different ones, so a side table can be indexed by it.
    #[inline]
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }

    #[inline]
    pub(super) const fn generation(self) -> G::Live {
        self.generation
    }
}

impl<T, G: Generation> Clone for Handle<T, G> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, G: Generation> Copy for Handle<T, G> {}

impl<T, G: Generation> PartialEq for Handle<T, G> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && self.generation == other.generation
    }
}

impl<T, G: Generation> Eq for Handle<T, G> {}

impl<T, G: Generation> Hash for Handle<T, G> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.index.hash(state);
        self.generation.hash(state);
    }
}

impl<T, G: Generation> Ord for Handle<T, G> {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        (self.index, self.generation).cmp(&(other.index, other.generation))
    }
}

impl<T, G: Generation> PartialOrd for Handle<T, G> {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T, G: Generation> fmt::Debug for Handle<T, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({}#{:?})", self.index, self.generation)
    }
}
