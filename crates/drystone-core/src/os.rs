//! [`OsBacked`]: a range whose pages the operating system can be told about, and [`OsError`].

use core::fmt;

use crate::FixedRange;

/// A range of whole pages that belong to the operating system.
///
/// # Safety
///
/// The implementor promises that each call either acts on exactly the pages named or changes
/// nothing and returns an error, that ranges outside `0 .. size()` or not on page borders are
/// refused, and that nothing but `protect` ever makes a page inaccessible.
pub unsafe trait OsBacked: FixedRange {
    /// The page size in bytes that offsets and lengths must be multiples of, asked at run time.
    fn page_size(&self) -> usize;

    /// Gives the memory of these pages back; they stay mapped, and their content is lost: zero or
    /// the old bytes, depending on the system.
    ///
    /// # Errors
    ///
    /// [`OsError`]; the pages are then as before.
    ///
    /// # Safety
    ///
    /// No live block and no bookkeeping that will be read again lies in the pages.
    unsafe fn release(&self, offset: usize, len: usize) -> Result<(), OsError>;

    /// Changes who may touch these pages.
    ///
    /// # Errors
    ///
    /// [`OsError`]; the pages are then as before.
    ///
    /// # Safety
    ///
    /// Until the protection allows it again, nothing accesses the pages in the way it forbids.
    unsafe fn protect(
        &self,
        offset: usize,
        len: usize,
        protection: Protection,
    ) -> Result<(), OsError>;

    /// Tells the system how these pages will be used. Content and access stay as they are.
    ///
    /// # Errors
    ///
    /// [`OsError`] if the system refuses the advice or does not know it.
    fn advise(&self, offset: usize, len: usize, advice: Advice) -> Result<(), OsError>;

    /// Binds these pages to the memory of NUMA node `node`, before they are first touched.
    ///
    /// # Errors
    ///
    /// [`OsError`] if there is no such node or the system cannot bind memory.
    fn bind_node(&self, offset: usize, len: usize, node: u32) -> Result<(), OsError>;
}

/// What may be done with a page. There is no executable kind: a heap is never executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protection {
    /// Nothing: any access faults.
    None,
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// How pages will be used. None of these changes the content of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Advice {
    /// No special treatment.
    Normal,
    /// Expect access in random order.
    Random,
    /// Expect access in rising order.
    Sequential,
    /// Expect access soon.
    WillNeed,
    /// Back the pages with huge pages where possible.
    HugePages,
    /// Do not back the pages with huge pages.
    NoHugePages,
    /// Leave the pages out of core dumps.
    DontDump,
}

impl Advice {
    /// The name used in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Random => "random",
            Self::Sequential => "sequential",
            Self::WillNeed => "will-need",
            Self::HugePages => "huge-pages",
            Self::NoHugePages => "no-huge-pages",
            Self::DontDump => "dont-dump",
        }
    }
}

/// Why an operating-system request was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OsError {
    /// The system refused the call.
    Call {
        /// The call, such as `mmap`.
        call: &'static str,
        /// The system's error code: `errno` on Unix, `GetLastError` on Windows.
        code: i32,
    },
    /// This platform has no such operation.
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
    /// The range does not lie inside the mapping or is not on page borders. Nothing was asked of
    /// the system.
    OutOfRange {
        /// The first byte, counted from the base.
        offset: usize,
        /// The length in bytes.
        len: usize,
        /// The size of the mapping in bytes.
        size: usize,
        /// The page size in bytes.
        page: usize,
    },
}

impl OsError {
    /// The system's error code, where the system was asked.
    #[must_use]
    pub const fn code(&self) -> Option<i32> {
        match *self {
            Self::Call { code, .. } => Some(code),
            Self::Unsupported { .. } | Self::OutOfRange { .. } => None,
        }
    }
}

impl fmt::Display for OsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            #[cfg(feature = "std")]
            Self::Call { call, code } => {
                write!(
                    f,
                    "{call} failed: {}",
                    std::io::Error::from_raw_os_error(code)
                )
            }
            #[cfg(not(feature = "std"))]
            Self::Call { call, code } => write!(f, "{call} failed: OS error {code}"),
            Self::Unsupported { what } => write!(f, "this platform has no {what}"),
            Self::OutOfRange {
                offset,
                len,
                size,
                page,
            } => write!(
                f,
                "offset {offset} and length {len} do not name whole pages of {page} bytes inside a \
                 mapping of {size} bytes"
            ),
        }
    }
}

impl core::error::Error for OsError {}
