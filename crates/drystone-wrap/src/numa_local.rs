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
//! One system call when it is made. Every call goes straight through.

use drystone_core::{FixedRange, OsBacked, OsError, OverPages};

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
#[derive(Debug)]
pub struct NumaLocal<A> {
    inner: A,
    node: u32,
    last_refusal: Option<OsError>,
}

impl<A: OverPages> NumaLocal<A> {
    /// `inner`, bound to `node` if the system can do that.
    #[must_use]
    pub fn new(inner: A, node: u32) -> Self {
        let mut local = Self {
            inner,
            node,
            last_refusal: None,
        };
        // What was refused is kept in the value.
        local.bind(node).ok();
        local
    }

    /// Binds the pages to another node. Those that have been touched stay where they are.
    ///
    /// # Errors
    ///
    /// [`OsError`] if there is no such node or the system cannot bind memory. The binding is then as
    /// before.
    pub fn bind(&mut self, node: u32) -> Result<(), OsError> {
        let pages = self.inner.pages();
        let answer = pages.bind_node(0, pages.size(), node);
        self.last_refusal = answer.err();
        if answer.is_ok() {
            self.node = node;
        }
        answer
    }
}

impl<A> NumaLocal<A> {
    /// The inner allocator.
    #[inline]
    pub const fn inner(&self) -> &A {
        &self.inner
    }

    /// The node that was asked for first, or bound to last.
    #[inline]
    #[must_use]
    pub const fn node(&self) -> u32 {
        self.node
    }

    /// Why the last binding failed; `None` if the system did it.
    #[inline]
    #[must_use]
    pub const fn last_refusal(&self) -> Option<OsError> {
        self.last_refusal
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

forward_every_call!([A] NumaLocal<A>, inner);
