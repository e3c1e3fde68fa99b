//! [`NumaLocal`]: an allocator whose memory is that of one node.
//!
//! # What
//!
//! Binds the inner allocator's pages to a NUMA node when it is made: pages that are touched from
//! then on get their memory from there. What the system refuses is kept and can be asked for; the
//! allocator serves from anywhere then.
//!
//! # Memory picture
//!
//! ```text
//! +-------+------+--------------+
//! | inner | node | last refusal |
//! +-------+------+--------------+
//! ```
//!
//! # Invariants
//!
//! - I1: `last_refusal` is the system's answer to the last binding, if that was no.
//!
//! # Threads
//!
//! As the inner allocator.
//!
//! # Cost
//!
//! One system call when it is made; none at [`Off`](crate::Off), which has no field either. Every call
//! goes straight through.

use core::fmt;

use drystone_core::{FixedRange, OsBacked, OsError, OverPages};

use crate::switch::Keep;
use crate::{On, Switch};

/// `A`, with its pages bound to a NUMA node.
///
/// Pages that have been touched stay where they are: wrap an allocator before it is used.
///
/// ```
/// use drystone_core::OverPages;
/// use drystone_wrap::NumaLocal;
///
/// fn near_the_network_card<A: OverPages>(arena: A) {
///     let local = NumaLocal::new(arena, 0);
///     if let Some(refusal) = local.last_refusal() {
///         println!("serving from anywhere: {refusal}");
///     }
/// }
/// ```
pub struct NumaLocal<A, S: Switch = On> {
    inner: A,
    binding: S::Keep<Binding>,
}

/// What was asked of the system, and its answer.
#[derive(Debug)]
struct Binding {
    node: u32,
    last_refusal: Option<OsError>,
}

/// Binds all pages of `inner` to `node`.
fn bind<A: OverPages>(inner: &A, node: u32) -> Result<(), OsError> {
    let pages = inner.pages();
    pages.bind_node(0, pages.size(), node)
}

impl<A: OverPages> NumaLocal<A> {
    /// `inner`, bound to `node` if the system can do that.
    #[inline]
    #[must_use]
    pub fn new(inner: A, node: u32) -> Self {
        Self::with_switch(inner, node, On)
    }

    /// Binds the pages to another node. Those that have been touched stay where they are.
    ///
    /// # Errors
    ///
    /// [`OsError`] if there is no such node or the system cannot bind memory. The binding is then as
    /// before.
    pub fn bind(&mut self, node: u32) -> Result<(), OsError> {
        let answer = bind(&self.inner, node);
        let binding = &mut self.binding.0;
        binding.last_refusal = answer.err();
        if answer.is_ok() {
            binding.node = node;
        }
        answer
    }
}

impl<A: OverPages, S: Switch> NumaLocal<A, S> {
    /// `inner`, bound to `node` as by [`new`](NumaLocal::new), or left as it is, as `switch` says.
    #[must_use]
    pub fn with_switch(inner: A, node: u32, switch: S) -> Self {
        let _ = switch;
        // What was refused is kept in the value.
        let binding = S::Keep::keep_made(|| Binding {
            node,
            last_refusal: bind(&inner, node).err(),
        });
        Self { inner, binding }
    }
}

impl<A> NumaLocal<A> {
    /// The node that was asked for first, or bound to last.
    #[inline]
    #[must_use]
    pub const fn node(&self) -> u32 {
        self.binding.0.node
    }

    /// Why the last binding failed; `None` if the system did it.
    #[inline]
    #[must_use]
    pub const fn last_refusal(&self) -> Option<OsError> {
        self.binding.0.last_refusal
    }
}

impl<A, S: Switch> NumaLocal<A, S> {
    /// The inner allocator.
    #[inline]
    pub const fn inner(&self) -> &A {
        &self.inner
    }

    /// The inner allocator, its pages bound as they are.
    ///
    /// # Safety
    ///
    /// No block is live, or the caller frees each with the allocator returned.
    #[inline]
    pub unsafe fn into_inner(self) -> A {
        self.inner
    }
}

forward_every_call!([A, S: Switch] NumaLocal<A, S>, inner);

impl<A: fmt::Debug, S: Switch> fmt::Debug for NumaLocal<A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("NumaLocal");
        if let Some(binding) = self.binding.get() {
            debug
                .field("node", &binding.node)
                .field("last_refusal", &binding.last_refusal);
        }
        debug.field("inner", &self.inner).finish()
    }
}
