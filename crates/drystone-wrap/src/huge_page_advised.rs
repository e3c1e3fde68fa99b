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
//! One system call when it is made; none at [`Off`](crate::Off), which has no field either. Every call
//! goes straight through.

use core::fmt;

use drystone_core::{Advice, FixedRange, OsBacked, OsError, OverPages};

use crate::switch::Keep;
use crate::{On, Switch};

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
pub struct HugePageAdvised<A, S: Switch = On> {
    inner: A,
    advice: S::Keep<Given>,
}

/// The system's answer.
#[derive(Debug)]
struct Given {
    last_refusal: Option<OsError>,
}

/// Advises that all pages of `inner` be huge.
fn advise<A: OverPages>(inner: &A) -> Result<(), OsError> {
    let pages = inner.pages();
    pages.advise(0, pages.size(), Advice::HugePages)
}

impl<A: OverPages> HugePageAdvised<A> {
    /// `inner`, on huge pages if the system takes the advice.
    #[inline]
    #[must_use]
    pub fn new(inner: A) -> Self {
        Self::with_switch(inner, On)
    }

    /// Gives the advice again, for instance after pages were given back to the system.
    ///
    /// # Errors
    ///
    /// [`OsError`] if the system has no huge pages or refuses to give them to this range.
    pub fn advise(&mut self) -> Result<(), OsError> {
        let answer = advise(&self.inner);
        self.advice.0.last_refusal = answer.err();
        answer
    }
}

impl<A: OverPages, S: Switch> HugePageAdvised<A, S> {
    /// `inner`, advised as by [`new`](HugePageAdvised::new), or left as it is, as `switch` says.
    #[must_use]
    pub fn with_switch(inner: A, switch: S) -> Self {
        let _ = switch;
        // What was refused is kept in the value.
        let advice = S::Keep::keep_made(|| Given {
            last_refusal: advise(&inner).err(),
        });
        Self { inner, advice }
    }
}

impl<A> HugePageAdvised<A> {
    /// Why the last advice was refused; `None` if the system took it.
    #[inline]
    #[must_use]
    pub const fn last_refusal(&self) -> Option<OsError> {
        self.advice.0.last_refusal
    }
}

impl<A, S: Switch> HugePageAdvised<A, S> {
    /// The inner allocator.
    #[inline]
    pub const fn inner(&self) -> &A {
        &self.inner
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

forward_every_call!([A, S: Switch] HugePageAdvised<A, S>, inner);

impl<A: fmt::Debug, S: Switch> fmt::Debug for HugePageAdvised<A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("HugePageAdvised");
        if let Some(given) = self.advice.get() {
            debug.field("last_refusal", &given.last_refusal);
        }
        debug.field("inner", &self.inner).finish()
    }
}
