//! Pages of Linux, Android, macOS and the BSDs.
//!
//! memmap2 maps and unmaps. It is held as [`MmapRaw`], which never makes a reference to the pages
//! that could outlaw older pointers. libc does the rest.

use core::ptr::NonNull;
use std::io;

use drystone_core::{Advice, OsError, Protection};
use memmap2::{MmapOptions, MmapRaw};

/// What the system says when it has no memory.
#[cfg(feature = "testing")]
pub(super) const OUT_OF_MEMORY: i32 = libc::ENOMEM;

/// Whether the system can map without reserving swap.
const CAN_SKIP_RESERVATION: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_os = "netbsd"
));

pub(super) fn page_size() -> usize {
    // SAFETY: the call has no requirements.
    let answer = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    // Every system here knows its page size.
    usize::try_from(answer).unwrap_or(4096)
}

/// Anonymous private pages, unmapped on drop.
#[derive(Debug)]
pub(crate) struct Mapping {
    pages: MmapRaw,
}

impl Mapping {
    pub(super) fn new(bytes: usize, no_reserve: bool) -> Result<Self, OsError> {
        let mut options = MmapOptions::new();
        options.len(bytes);
        if no_reserve {
            if !CAN_SKIP_RESERVATION {
                return Err(OsError::Unsupported {
                    what: "mapping without a swap reservation",
                });
            }
            options.no_reserve_swap();
        }
        Self::map(&options)
    }

    /// Pages of one size above the ordinary one.
    #[cfg(target_os = "linux")]
    pub(super) fn new_huge(bytes: usize, page_bits: u8) -> Result<Self, OsError> {
        Self::map(MmapOptions::new().len(bytes).huge(Some(page_bits)))
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn new_huge(_bytes: usize, _page_bits: u8) -> Result<Self, OsError> {
        Err(OsError::Unsupported {
            what: "explicit huge pages",
        })
    }

    fn map(options: &MmapOptions) -> Result<Self, OsError> {
        match options.map_anon() {
            Ok(pages) => Ok(Self {
                pages: pages.into(),
            }),
            Err(error) => Err(OsError::Call {
                call: "mmap",
                // Without a code memmap2 refused the length itself.
                code: error.raw_os_error().unwrap_or(libc::EINVAL),
            }),
        }
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        // SAFETY: the system never maps anonymous pages at address 0 unless told to.
        unsafe { NonNull::new_unchecked(self.pages.as_mut_ptr()) }
    }
}

/// # Safety
///
/// As [`populate`](super::populate).
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) unsafe fn populate(pages: NonNull<u8>, len: usize) -> Result<(), OsError> {
    /// Since Linux 5.14; reports a lack of memory where a write would kill the process.
    const MADV_POPULATE_WRITE: libc::c_int = 23;
    let start = pages.as_ptr().cast();
    // SAFETY: whole pages of one mapping, by the caller's promise.
    let answer = unsafe { libc::madvise(start, len, MADV_POPULATE_WRITE) };
    match checked("madvise", answer) {
        Err(error) if error.code() == Some(libc::EINVAL) => {
            // A kernel that does not know the request: writing has the same effect.
            // SAFETY: the caller's requirements are the same.
            unsafe { super::touch::touch(pages, len) };
            Ok(())
        }
        answered => answered,
    }
}

/// # Safety
///
/// As [`populate`](super::populate).
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) unsafe fn populate(pages: NonNull<u8>, len: usize) -> Result<(), OsError> {
    // SAFETY: the caller's requirements are the same.
    unsafe { super::touch::touch(pages, len) };
    Ok(())
}

/// # Safety
///
/// As [`lock`](super::lock).
pub(super) unsafe fn lock(pages: NonNull<u8>, len: usize) -> Result<(), OsError> {
    // SAFETY: whole pages of one mapping, by the caller's promise.
    let answer = unsafe { libc::mlock(pages.as_ptr().cast(), len) };
    checked("mlock", answer)
}

/// # Safety
///
/// As [`protect`](super::protect).
pub(super) unsafe fn protect(
    pages: NonNull<u8>,
    len: usize,
    protection: Protection,
) -> Result<(), OsError> {
    let bits = match protection {
        Protection::None => libc::PROT_NONE,
        Protection::Read => libc::PROT_READ,
        Protection::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
    };
    // SAFETY: whole pages of one mapping, and nobody does what is forbidden, by the caller's
    // promise.
    let answer = unsafe { libc::mprotect(pages.as_ptr().cast(), len, bits) };
    checked("mprotect", answer)
}

/// # Safety
///
/// As [`release`](super::release).
pub(super) unsafe fn release(pages: NonNull<u8>, len: usize) -> Result<(), OsError> {
    // On Linux DONTNEED takes the memory at once and the pages read as zero. Elsewhere it may do
    // nothing, and FREE lets the system take the memory when it needs it.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const GIVE_BACK: libc::c_int = libc::MADV_DONTNEED;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const GIVE_BACK: libc::c_int = libc::MADV_FREE;
    // SAFETY: whole pages of one mapping, whose content the caller gives up.
    let answer = unsafe { libc::madvise(pages.as_ptr().cast(), len, GIVE_BACK) };
    checked("madvise", answer)
}

/// # Safety
///
/// As [`move_pages`](super::move_pages).
#[cfg(target_os = "linux")]
pub(super) unsafe fn move_pages(
    from: NonNull<u8>,
    to: NonNull<u8>,
    len: usize,
) -> Result<(), OsError> {
    // DONTUNMAP (since Linux 5.7): the pages that are left stay part of their mapping, so nobody
    // else can get the addresses before that mapping goes.
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP;
    let target: *mut libc::c_void = to.as_ptr().cast();
    let mark = to.cast::<usize>();
    let own = !to.addr().get();
    // SAFETY: the first word of pages that nobody else uses and that are replaced.
    unsafe { mark.write(own) };
    // SAFETY: whole pages of live mappings that nobody else uses, by the caller's promise; the
    // pages at the target are replaced.
    let answer = unsafe { libc::mremap(from.as_ptr().cast(), len, len, flags, target) };
    if answer == target {
        return Ok(());
    }
    let refused = checked("mremap", -1);
    // The system unmaps the target before some of the checks that may fail, such as that of pages in
    // several pieces before Linux 6.17. Whoever else maps pages now may get the hole.
    if !map_again(target, len) && !holds(mark, own) {
        // The pages are somebody else's: their owner here would write to them, and unmap them.
        // SAFETY: ends the process.
        unsafe { libc::abort() };
    }
    refused
}

/// Maps pages where nothing is mapped. Whether nothing was, and it could.
#[cfg(target_os = "linux")]
fn map_again(target: *mut libc::c_void, len: usize) -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let bits = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: no mapping is replaced.
    let answer = unsafe { libc::mmap(target, len, bits, flags, -1, 0) };
    answer == target
}

/// Whether the word is there and has this value. By a call of the system, because nothing may be
/// mapped there, or something that must not be read.
#[cfg(target_os = "linux")]
fn holds(word: NonNull<usize>, value: usize) -> bool {
    let mut found = 0_usize;
    let into = libc::iovec {
        iov_base: (&raw mut found).cast(),
        iov_len: size_of::<usize>(),
    };
    let from = libc::iovec {
        iov_base: word.as_ptr().cast(),
        iov_len: size_of::<usize>(),
    };
    // SAFETY: no requirements.
    let own = unsafe { libc::getpid() };
    // SAFETY: both lists have one part; the one that is written to is `found`.
    let read = unsafe { libc::process_vm_readv(own, &raw const into, 1, &raw const from, 1, 0) };
    read == size_of::<usize>().cast_signed() && found == value
}

/// # Safety
///
/// As [`move_pages`](super::move_pages).
#[cfg(not(target_os = "linux"))]
pub(super) unsafe fn move_pages(_: NonNull<u8>, _: NonNull<u8>, _: usize) -> Result<(), OsError> {
    Err(OsError::Unsupported {
        what: "moving pages",
    })
}

/// # Safety
///
/// As [`advise`](super::advise).
pub(super) unsafe fn advise(pages: NonNull<u8>, len: usize, advice: Advice) -> Result<(), OsError> {
    let Some(code) = advice_code(advice) else {
        return Err(OsError::Unsupported {
            what: advice.name(),
        });
    };
    // SAFETY: whole pages of one mapping; none of the codes changes content or access.
    let answer = unsafe { libc::madvise(pages.as_ptr().cast(), len, code) };
    checked("madvise", answer)
}

/// The system's number for `advice`, if it has one.
fn advice_code(advice: Advice) -> Option<libc::c_int> {
    match advice {
        Advice::Normal => Some(libc::MADV_NORMAL),
        Advice::Random => Some(libc::MADV_RANDOM),
        Advice::Sequential => Some(libc::MADV_SEQUENTIAL),
        Advice::WillNeed => Some(libc::MADV_WILLNEED),
        #[cfg(any(target_os = "linux", target_os = "android"))]
        Advice::HugePages => Some(libc::MADV_HUGEPAGE),
        #[cfg(any(target_os = "linux", target_os = "android"))]
        Advice::NoHugePages => Some(libc::MADV_NOHUGEPAGE),
        #[cfg(any(target_os = "linux", target_os = "android"))]
        Advice::DontDump => Some(libc::MADV_DONTDUMP),
        #[cfg(any(target_os = "freebsd", target_os = "dragonfly"))]
        Advice::DontDump => Some(libc::MADV_NOCORE),
        _ => None,
    }
}

/// # Safety
///
/// As [`bind_node`](super::bind_node).
#[cfg(target_os = "linux")]
pub(super) unsafe fn bind_node(pages: NonNull<u8>, len: usize, node: u32) -> Result<(), OsError> {
    /// The most nodes that a kernel can be built for.
    const NODES_MAX: usize = 1024;
    const WORD_BITS: usize = libc::c_ulong::BITS as usize;

    let node = node as usize;
    if node >= NODES_MAX {
        return Err(OsError::Unsupported {
            what: "NUMA node above 1023",
        });
    }
    let mut mask: [libc::c_ulong; NODES_MAX / WORD_BITS] = [0; NODES_MAX / WORD_BITS];
    mask[node / WORD_BITS] = 1 << (node % WORD_BITS);
    // SAFETY: whole pages of one mapping by the caller's promise; the mask is live and has the
    // bits that its length says. The kernel counts one bit less than it is told, hence the
    // addition.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mbind,
            pages.as_ptr(),
            len,
            libc::c_ulong::from(libc::MPOL_BIND.unsigned_abs()),
            mask.as_ptr(),
            (NODES_MAX + 1) as libc::c_ulong,
            0 as libc::c_ulong,
        )
    };
    checked("mbind", if answer == 0 { 0 } else { -1 })
}

/// # Safety
///
/// As [`bind_node`](super::bind_node).
#[cfg(not(target_os = "linux"))]
pub(super) unsafe fn bind_node(_: NonNull<u8>, _: usize, _: u32) -> Result<(), OsError> {
    Err(OsError::Unsupported {
        what: "NUMA binding",
    })
}

/// What a call answered: 0, or a failure whose code is in `errno`.
pub(super) fn checked(call: &'static str, answer: libc::c_int) -> Result<(), OsError> {
    if answer == 0 {
        return Ok(());
    }
    let code = io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or_default();
    Err(OsError::Call { call, code })
}
