//! [`MmapFlags`]: how pages are to be mapped.

/// How pages are to be mapped. Built by method; nothing is asked for at first.
///
/// A flag that the platform cannot honour makes the constructor fail.
///
/// | flag | Linux, Android | macOS | the BSDs | Windows |
/// |---|---|---|---|---|
/// | `populate` | yes | yes | yes | yes |
/// | `no_reserve` | yes | | NetBSD | |
/// | `huge_pages` | yes | | | |
/// | `dont_dump` | yes | | FreeBSD, DragonFly | |
/// | `node` | Linux | | | |
///
/// ```
/// use drystone_backing::MmapFlags;
///
/// const QUIET: MmapFlags = MmapFlags::new().populate().dont_dump();
/// # let _ = QUIET;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MmapFlags {
    pub(crate) populate: bool,
    pub(crate) no_reserve: bool,
    pub(crate) huge_pages: bool,
    pub(crate) dont_dump: bool,
    pub(crate) node: Option<u32>,
}

impl MmapFlags {
    /// No flag.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            populate: false,
            no_reserve: false,
            huge_pages: false,
            dont_dump: false,
            node: None,
        }
    }

    /// Gives every page its memory now, after the other flags were applied, so that no later
    /// access faults. Without it pages get their memory when they are first touched.
    #[must_use]
    pub const fn populate(self) -> Self {
        Self {
            populate: true,
            ..self
        }
    }

    /// Reserves no swap: the mapping does not count against the system's commit limit where the
    /// system has one, and touching a page may then kill the process.
    #[must_use]
    pub const fn no_reserve(self) -> Self {
        Self {
            no_reserve: true,
            ..self
        }
    }

    /// Advises the system to use huge pages. It may still use small ones; alignment to the huge
    /// page size helps it.
    #[must_use]
    pub const fn huge_pages(self) -> Self {
        Self {
            huge_pages: true,
            ..self
        }
    }

    /// Leaves the pages out of core dumps.
    #[must_use]
    pub const fn dont_dump(self) -> Self {
        Self {
            dont_dump: true,
            ..self
        }
    }

    /// Binds the pages to the memory of NUMA node `node`.
    #[must_use]
    pub const fn node(self, node: u32) -> Self {
        Self {
            node: Some(node),
            ..self
        }
    }
}
