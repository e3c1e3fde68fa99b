//! [`FixedBuffers`]: the regions of pools as the fixed buffers of an io_uring.
//!
//! # What
//!
//! A request for a fixed buffer names the buffer's index in the ring, an address in it and a length.
//! The three belong together: another index, and the kernel refuses the request. `FixedBuffers` hands
//! a list of regions to the kernel in one call, and afterwards makes requests of the bytes alone.
//!
//! # Invariants
//!
//! - I1: `regions` rise by address, and the place of a region in it is its index in the ring.
//!
//! # Threads
//!
//! `Send` and `Sync`; nothing changes after the registration.
//!
//! # Cost
//!
//! A request is a binary search among the regions. It allocates nothing and calls no one.

use core::fmt;
use core::mem::MaybeUninit;
use std::error::Error;
use std::io;

use io_uring::{Submitter, opcode, squeue, types};

use crate::RegisteredRegion;

/// The most bytes that the kernel takes as one fixed buffer.
const FIXED_BUFFER_BYTES_MOST: usize = 1 << 30;
/// The most fixed buffers that the kernel takes for one ring.
const FIXED_BUFFERS_MOST: usize = 1 << 14;

/// Regions that are the fixed buffers of a ring. They stay mapped while the value lives.
///
/// The kernel pins the regions once, and neither looks pages up nor pins them for each request. Only
/// buffers of the regions can be used so: prefill the pool, or register again once it has grown.
///
/// # What must live how long
///
/// Making a request is safe, since it is only a description. Who pushes it makes these promises to
/// [`push`](io_uring::SubmissionQueue::push), until the completion of the request has been seen:
///
/// - The view that the bytes belong to lives. Otherwise its buffer goes back to the pool, which gives
///   it to somebody else. Moving the view is allowed, dropping it is not; if completions can no longer
///   be had, forget it ([`core::mem::forget`]).
/// - Nobody reads or writes the bytes of a [`read_fixed`](Self::read_fixed), and nobody writes those of
///   a [`write_fixed`](Self::write_fixed). Reading them, and the other bytes of the buffer, is allowed.
/// - The ring is the one that this value was registered with, and still has the registration.
/// - The file descriptor is open.
///
/// The bytes of a read count once [`set_len`](crate::IoBufMut::set_len) says so: by at most as many as
/// the completion's result.
///
/// # Trimming
///
/// The kernel uses the pages that it pinned, so while the value lives the regions keep theirs: a
/// buffer that the pool [trims](crate::BufferPool::trim) leaves its budget, but not the process.
///
/// ```
/// use std::os::fd::AsRawFd;
///
/// use drystone_pool::{BufferPool, BufferPoolConfig, FixedBuffers};
/// use io_uring::{IoUring, types};
///
/// # fn read(file: &std::fs::File) -> Result<(), Box<dyn std::error::Error>> {
/// let pool = BufferPool::new(BufferPoolConfig::for_storage().with_prefill(true))?;
/// let mut ring = IoUring::new(8)?;
/// // SAFETY: `fixed` lives until after the last use of the ring.
/// let fixed = unsafe { FixedBuffers::register(pool.registered_regions(), &ring.submitter())? };
///
/// let mut buf = pool.try_alloc(4096)?;
/// let request = fixed
///     .read_fixed(types::Fd(file.as_raw_fd()), buf.spare_capacity_mut(), 0)
///     .expect("a buffer of a prefilled pool");
/// // SAFETY: the file and the buffer live until the completion, and nobody uses the buffer.
/// unsafe { ring.submission().push(&request)? };
/// ring.submit_and_wait(1)?;
/// let read = ring.completion().next().expect("one ended").result();
/// let read = usize::try_from(read).map_err(|_| std::io::Error::from_raw_os_error(-read))?;
/// // SAFETY: the kernel wrote that many bytes.
/// unsafe { buf.set_len(read) };
/// # drop(ring);
/// # Ok(()) }
/// # let _ = read;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "the ring must not outlive it while it has the registration"]
pub struct FixedBuffers {
    regions: Vec<RegisteredRegion>,
}

impl FixedBuffers {
    /// Makes `regions`, of one pool or of several, the fixed buffers of the ring, in one call.
    ///
    /// # Errors
    ///
    /// - [`InvalidInput`](io::ErrorKind::InvalidInput): no region, more than 16 384, or one above 1 GiB,
    ///   which the kernel does not take; it is not asked.
    /// - What the kernel says, with the number of bytes, and with the limit on locked memory if that is
    ///   what it says: `ENOMEM` if the limit does not allow them, `EBUSY` if the ring has fixed buffers
    ///   already. The kernel's own error is the [source](Error::source).
    ///
    /// # Safety
    ///
    /// The value lives until the ring is closed or [`unregister`](Self::unregister) has succeeded.
    pub unsafe fn register(
        mut regions: Vec<RegisteredRegion>,
        submitter: &Submitter<'_>,
    ) -> io::Result<Self> {
        check(&regions).map_err(|words| io::Error::new(io::ErrorKind::InvalidInput, words))?;
        regions.sort_unstable_by_key(|region| region.as_ptr().addr());
        let ranges: Vec<_> = regions
            .iter()
            .map(|region| libc::iovec {
                iov_base: region.as_ptr().cast_mut().cast(),
                iov_len: region.len(),
            })
            .collect();
        // SAFETY: the regions are mapped while the value lives, which the caller promises to be long
        // enough.
        unsafe { submitter.register_buffers(&ranges) }
            .map_err(|error| Refusal::of(&regions, error))?;
        Ok(Self { regions })
    }

    /// Ends the registration. Requests under way go on, and keep their demands.
    ///
    /// # Errors
    ///
    /// What the kernel says: `ENXIO` if the ring has no fixed buffers.
    pub fn unregister(&self, submitter: &Submitter<'_>) -> io::Result<()> {
        submitter.unregister_buffers()
    }

    /// The regions. The place of a region is its index in the ring.
    #[must_use]
    pub fn regions(&self) -> &[RegisteredRegion] {
        &self.regions
    }

    /// The index in the ring of the region that has the bytes, which may be any part of a view. `None`
    /// if there are no bytes, or they do not lie in a region.
    #[must_use]
    pub fn buffer_index(&self, bytes: &[u8]) -> Option<u16> {
        self.index_of(bytes.as_ptr(), bytes.len())
    }

    /// A request to read from `offset` of the file into `room`, which is a buffer's
    /// [`spare_capacity_mut`](crate::IoBufMut::spare_capacity_mut) or a part of it. A stream has no
    /// offset: -1, which is `u64::MAX`.
    ///
    /// `None` if there is no room, or it does not lie in a region: a buffer from the heap, of another
    /// pool, or of a region that was not registered. At most 4 GiB less one byte are asked for.
    #[must_use]
    pub fn read_fixed(
        &self,
        file: impl RingFile,
        room: &mut [MaybeUninit<u8>],
        offset: u64,
    ) -> Option<squeue::Entry> {
        let start = room.as_mut_ptr().cast::<u8>();
        let index = self.index_of(start, room.len())?;
        Some(file.read_fixed(start, bytes_of(room.len()), index, offset))
    }

    /// A request to write `bytes`, a view or a part of one, at `offset` of the file. A stream has no
    /// offset: -1, which is `u64::MAX`.
    ///
    /// `None` as for [`read_fixed`](Self::read_fixed).
    #[must_use]
    pub fn write_fixed(
        &self,
        file: impl RingFile,
        bytes: &[u8],
        offset: u64,
    ) -> Option<squeue::Entry> {
        let index = self.buffer_index(bytes)?;
        Some(file.write_fixed(bytes.as_ptr(), bytes_of(bytes.len()), index, offset))
    }

    fn index_of(&self, start: *const u8, len: usize) -> Option<u16> {
        let place = self
            .regions
            .partition_point(|region| region.as_ptr().addr() <= start.addr())
            .checked_sub(1)?;
        let region = &self.regions[place];
        let offset = start.addr() - region.as_ptr().addr();
        let inside = len > 0 && offset < region.len() && len <= region.len() - offset;
        u16::try_from(place).ok().filter(|_| inside)
    }
}

/// A request has 32 bits for its length; a longer one is a part of it, as with any read and write.
fn bytes_of(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// What the kernel would refuse without saying why.
fn check(regions: &[RegisteredRegion]) -> Result<(), String> {
    let count = regions.len();
    let longest = regions.iter().map(RegisteredRegion::len).max();
    match longest {
        None => Err("no regions to register: the pool has no memory yet".into()),
        Some(_) if count > FIXED_BUFFERS_MOST => Err(format!(
            "{count} regions to register, a ring takes {FIXED_BUFFERS_MOST}"
        )),
        Some(bytes) if bytes > FIXED_BUFFER_BYTES_MOST => Err(format!(
            "a region of {bytes} bytes to register, a ring takes {FIXED_BUFFER_BYTES_MOST} in one piece"
        )),
        Some(_) => Ok(()),
    }
}

/// The kernel's answer, with what was asked of it.
#[derive(Debug)]
struct Refusal {
    regions: usize,
    bytes: usize,
    error: io::Error,
}

impl Refusal {
    fn of(regions: &[RegisteredRegion], error: io::Error) -> io::Error {
        let refusal = Self {
            regions: regions.len(),
            bytes: regions.iter().map(RegisteredRegion::len).sum(),
            error,
        };
        io::Error::new(refusal.error.kind(), refusal)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            regions,
            bytes,
            error,
        } = self;
        write!(
            f,
            "{bytes} bytes in {regions} regions not registered: {error}"
        )?;
        match error.raw_os_error() {
            Some(libc::ENOMEM) => match locked_bytes_most() {
                Some(most) => write!(f, "; RLIMIT_MEMLOCK allows {most} bytes of locked memory"),
                None => Ok(()),
            },
            Some(libc::EBUSY) => f.write_str("; the ring has fixed buffers already"),
            Some(libc::EPERM) => f.write_str("; a filter or a setting of the system forbids it"),
            _ => Ok(()),
        }
    }
}

impl Error for Refusal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// The limit on the memory that this user may lock; `None` if there is none.
fn locked_bytes_most() -> Option<libc::rlim_t> {
    let mut limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the call writes one `rlimit`, which `limit` is; if it fails, it writes nothing.
    unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    let unlimited = limit.rlim_cur == libc::RLIM_INFINITY;
    (!unlimited).then_some(limit.rlim_cur)
}

/// What a ring knows a file by: [`types::Fd`], or [`types::Fixed`] for a registered file.
pub trait RingFile: sealed::Sealed {}

impl RingFile for types::Fd {}
impl RingFile for types::Fixed {}

mod sealed {
    use super::{opcode, squeue, types};

    #[allow(unnameable_types, reason = "the seal")]
    pub trait Sealed {
        #[doc(hidden)]
        fn read_fixed(self, start: *mut u8, len: u32, index: u16, offset: u64) -> squeue::Entry;

        #[doc(hidden)]
        fn write_fixed(self, start: *const u8, len: u32, index: u16, offset: u64) -> squeue::Entry;
    }

    macro_rules! requests_for {
        ($($file:ty),*) => {
            $(impl Sealed for $file {
                fn read_fixed(self, start: *mut u8, len: u32, index: u16, offset: u64) -> squeue::Entry {
                    opcode::ReadFixed::new(self, start, len, index).offset(offset).build()
                }

                fn write_fixed(self, start: *const u8, len: u32, index: u16, offset: u64) -> squeue::Entry {
                    opcode::WriteFixed::new(self, start, len, index).offset(offset).build()
                }
            })*
        };
    }

    requests_for!(types::Fd, types::Fixed);
}
