//! The only place that calls the operating system.
//!
//! One file for each system, picked here and nowhere else; each has the same functions:
//!
//! | item | does |
//! |---|---|
//! | `Mapping` | owns pages: `new(bytes, no_reserve)`, `new_huge(bytes, page_bits)`, `base`; unmaps on drop |
//! | `protect`, `release`, `advise`, `bind_node` | one request about whole pages of a mapping |
//! | `move_pages` | moves the content of pages to other pages |
//! | `populate` | gives pages of a fresh mapping their memory |
//! | `lock` | keeps pages of a mapping in memory until it is unmapped |
//! | `page_size` | asks for the page size |
//! | `at_fork` | has functions called around a fork |
//! | `ThreadEnd` | has a function called when a thread ends |
//! | `OUT_OF_MEMORY` | the code with which the system says that it has no memory |
//!
//! The process-wide barrier has files of its own, `barrier_…`: fewer systems have it.
//!
//! The functions of this module are what the rest of the crate calls. With the feature `testing`
//! they first ask [`fault_os`](crate::fault_os) whether to fail.

use core::ptr::NonNull;

use drystone_core::{Advice, OsError, Protection};

#[cfg(not(feature = "testing"))]
use call::OsCall;
use call::injected_fault;

mod barrier;
mod call;
mod fork;
mod page_size;
// A static holds one, and the model checker's atomics are no constants.
#[cfg(not(loom))]
mod thread_end;

cfg_if::cfg_if! {
    if #[cfg(miri)] {
        mod miri;
        mod touch;
        use miri as imp;
    } else if #[cfg(any(
        target_os = "linux",
        target_os = "android",
        target_vendor = "apple",
        target_os = "freebsd",
        target_os = "dragonfly",
        target_os = "netbsd",
        target_os = "openbsd",
    ))] {
        mod unix;
        mod touch;
        use unix as imp;
    } else if #[cfg(windows)] {
        mod windows;
        mod touch;
        use windows as imp;
    } else {
        mod none;
        use none as imp;
    }
}

cfg_if::cfg_if! {
    if #[cfg(any(miri, loom))] {
        mod barrier_none;
        use barrier_none as barrier_imp;
    } else if #[cfg(any(target_os = "linux", target_os = "android"))] {
        mod barrier_linux;
        use barrier_linux as barrier_imp;
    } else if #[cfg(windows)] {
        mod barrier_windows;
        use barrier_windows as barrier_imp;
    } else {
        mod barrier_none;
        use barrier_none as barrier_imp;
    }
}

pub use barrier::ProcessBarrier;
#[cfg(feature = "testing")]
pub use call::OsCall;
pub use fork::at_fork;
pub(crate) use imp::Mapping;
pub use page_size::page_size;
#[cfg(not(loom))]
pub use thread_end::ThreadEnd;

/// Maps `bytes` zero bytes, a multiple of the page size.
pub(crate) fn map(bytes: usize, no_reserve: bool) -> Result<Mapping, OsError> {
    injected_fault(OsCall::Map)?;
    Mapping::new(bytes, no_reserve)
}

/// Maps `bytes` zero bytes of pages that are all `1 << page_bits` bytes long, of which `bytes` is a
/// multiple.
pub(crate) fn map_huge(bytes: usize, page_bits: u8) -> Result<Mapping, OsError> {
    injected_fault(OsCall::Map)?;
    Mapping::new_huge(bytes, page_bits)
}

/// Gives the pages memory that is not moved to disk, until they are unmapped.
///
/// # Safety
///
/// They are whole pages of one live mapping.
pub(crate) unsafe fn lock(pages: NonNull<u8>, len: usize) -> Result<(), OsError> {
    injected_fault(OsCall::Lock)?;
    // SAFETY: the caller's requirements are the same.
    unsafe { imp::lock(pages, len) }
}

/// Gives the pages their memory.
///
/// # Safety
///
/// They are whole pages of one live mapping, writable, and still zero; nobody else uses them.
pub(crate) unsafe fn populate(pages: NonNull<u8>, len: usize) -> Result<(), OsError> {
    injected_fault(OsCall::Populate)?;
    // SAFETY: the caller's requirements are the same.
    unsafe { imp::populate(pages, len) }
}

/// Changes who may touch the pages.
///
/// # Safety
///
/// They are whole pages of one live mapping, and nothing accesses them in the way that is
/// forbidden until it is allowed again.
pub(crate) unsafe fn protect(
    pages: NonNull<u8>,
    len: usize,
    protection: Protection,
) -> Result<(), OsError> {
    injected_fault(OsCall::Protect)?;
    // SAFETY: the caller's requirements are the same.
    unsafe { imp::protect(pages, len, protection) }
}

/// Gives the memory of the pages back.
///
/// # Safety
///
/// They are whole pages of one live mapping, and nothing reads them before writing them anew.
pub(crate) unsafe fn release(pages: NonNull<u8>, len: usize) -> Result<(), OsError> {
    injected_fault(OsCall::Release)?;
    // SAFETY: the caller's requirements are the same.
    unsafe { imp::release(pages, len) }
}

/// Moves the content of pages over other pages, without copying it. The pages it came from stay
/// mapped; what they hold is not specified.
///
/// # Safety
///
/// Both are `len` bytes of whole pages of live mappings, writable, and apart from each other;
/// nobody else uses them.
pub(crate) unsafe fn move_pages(
    from: NonNull<u8>,
    to: NonNull<u8>,
    len: usize,
) -> Result<(), OsError> {
    injected_fault(OsCall::Move)?;
    // SAFETY: the caller's requirements are the same.
    unsafe { imp::move_pages(from, to, len) }
}

/// Says how the pages will be used.
///
/// # Safety
///
/// They are whole pages of one live mapping.
pub(crate) unsafe fn advise(pages: NonNull<u8>, len: usize, advice: Advice) -> Result<(), OsError> {
    injected_fault(OsCall::Advise)?;
    // SAFETY: the caller's requirements are the same.
    unsafe { imp::advise(pages, len, advice) }
}

/// Binds the pages to the memory of a NUMA node.
///
/// # Safety
///
/// They are whole pages of one live mapping.
pub(crate) unsafe fn bind_node(pages: NonNull<u8>, len: usize, node: u32) -> Result<(), OsError> {
    injected_fault(OsCall::BindNode)?;
    // SAFETY: the caller's requirements are the same.
    unsafe { imp::bind_node(pages, len, node) }
}
