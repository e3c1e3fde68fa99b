//! [`HugePageAdvised`]: an allocator whose memory should be huge pages.
//!
//! # What
//!
//! Advises the system, when it is made, to back the inner allocator's pages with huge pages. What
//! the system refuses is kept and can be asked for; the pages are ordinary ones then. Advice is no
//! promise: the system may find no huge page, and only whole ones inside the range can be used. For
//! pages that are huge or not there at all, see `HugePageBacked`.
//!
//! # Memory picture
//!
//! ```text
//! +-------+--------------+
//! | inner | last refusal |
//! +-------+--------------+
//! ```
//!
//! # Invariants
//!
//! - I1: `last_refusal` is the system's answer to the last advice, if that was no.
//!
//! # Threads
//!
//! As the inner allocator.
//!
//! # Cost
//!
//! One system call when it is made. Every call goes straight through.

use drystone_core::{Advice, FixedRange, OsBacked, OsError, OverPages};

/// `A`, with its pages advised to be huge.
///
/// A range gains nothing below the size of a huge page, 2 MiB on most systems, and wants to start at
/// a multiple of it.
///
/// ```
/// use drystone_core::OverPages;
/// use drystone_wrap::HugePageAdvised;
///
/// fn table<A: OverPages>(arena: A) {
///     let arena = HugePageAdvised::new(arena);
///     if let Some(refusal) = arena.last_refusal() {
///         println!("ordinary pages: {refusal}");
///     }
/// }
/// ```
#[derive(Debug)]
pub struct HugePageAdvised<A> {
    inner: A,
    last_refusal: Option<OsError>,
}

impl<A: OverPages> HugePageAdvised<A> {
    /// `inner`, on huge pages if the system takes the advice.
    #[must_use]
    pub fn new(inner: A) -> Self {
        let mut advised = Self {
            inner,
            last_refusal: None,
        };
        // What was refused is kept in the value.
        advised.advise().ok();
        advised
    }

    /// Gives the advice again, for instance after pages were given back to the system.
    ///
    /// # Errors
    ///
    /// [`OsError`] if the system has no huge pages or refuses to give them to this range.
    pub fn advise(&mut self) -> Result<(), OsError> {
        let pages = self.inner.pages();
        let answer = pages.advise(0, pages.size(), Advice::HugePages);
        self.last_refusal = answer.err();
        answer
    }
}

impl<A> HugePageAdvised<A> {
    /// The inner allocator.
    #[inline]
    pub const fn inner(&self) -> &A {
        &self.inner
    }

    /// Why the last advice was refused; `None` if the system took it.
    #[inline]
    #[must_use]
    pub const fn last_refusal(&self) -> Option<OsError> {
        self.last_refusal
    }

    /// The inner allocator, its pages advised as they are.
    ///
    /// # Safety
    ///
    /// No block is live, or the caller frees each with the allocator returned.
    #[inline]
    pub unsafe fn into_inner(self) -> A {
        self.inner
    }
}

forward_every_call!([A] HugePageAdvised<A>, inner);
