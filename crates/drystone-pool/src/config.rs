//! [`BufferPoolConfig`]: how a pool is to be.

use drystone_backing::page_size;

use crate::class_table::{CLASSES_MAX, ClassShape};
use crate::shared_list::SLOTS_MAX;
use crate::{BorrowPolicy, ConfigError, FallbackPolicy, ReturnPolicy};

/// The largest size of a class in bytes, and the largest alignment.
const BYTES_MAX: usize = 1 << (usize::BITS - 4);

/// The most buffers of a class that one thread may cache.
const CACHE_CAPACITY_MAX: usize = 1 << 16;

/// What a derived thread cache holds at most: slots, and bytes of slots unless that is fewer than
/// [`DERIVED_LEAST`].
const DERIVED_MOST: usize = 512;
const DERIVED_BYTES: usize = 8 << 20;
const DERIVED_LEAST: usize = 8;

/// One class of a table of one's own: the size of its buffers, and how many there may be.
///
/// A plain size has the limit of [`with_max_per_class`](BufferPoolConfig::with_max_per_class); a
/// pair of size and limit has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BufferClass {
    /// The bytes of a buffer; any size from 1.
    pub size: usize,
    /// How many buffers there may be; `None` for what the configuration says of all classes.
    pub limit: Option<u32>,
}

impl From<usize> for BufferClass {
    fn from(size: usize) -> Self {
        Self { size, limit: None }
    }
}

impl From<&usize> for BufferClass {
    fn from(&size: &usize) -> Self {
        size.into()
    }
}

impl From<(usize, u32)> for BufferClass {
    fn from((size, limit): (usize, u32)) -> Self {
        Self {
            size,
            limit: Some(limit),
        }
    }
}

impl From<&(usize, u32)> for BufferClass {
    fn from(&pair: &(usize, u32)) -> Self {
        pair.into()
    }
}

/// Which classes there are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Classes {
    /// Every power of two from `min_size` to `max_size`.
    Powers,
    Table(Vec<BufferClass>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CacheCapacity {
    Derived,
    Exact(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alignment {
    /// This, or less where the smallest class is smaller.
    UpTo(usize),
    Exact(usize),
}

/// How a pool is to be. Starts from [`for_network`](Self::for_network) or
/// [`for_storage`](Self::for_storage); the methods change one field each and never fail;
/// [`validate`](Self::validate) judges, and so does [`BufferPool::new`](crate::BufferPool::new).
///
/// ```
/// use drystone_pool::BufferPoolConfig;
///
/// // Pages with their checksum records, page-aligned, at most 64 MiB of them.
/// let config = BufferPoolConfig::for_storage()
///     .with_classes([4096, 4096 + 12])
///     .with_max_per_class(8192)
///     .with_budget_bytes(64 << 20);
/// config.validate()?;
/// # Ok::<(), drystone_pool::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BufferPoolConfig {
    pool_min_size: usize,
    min_size: usize,
    max_size: usize,
    max_per_class: u32,
    classes: Classes,
    parallelism: usize,
    cache: CacheCapacity,
    prefill: bool,
    alignment: Alignment,
    budget_bytes: Option<usize>,
    borrow: BorrowPolicy,
    fallback: FallbackPolicy,
    returns: ReturnPolicy,
    zero_on_free: bool,
    huge_page_advice: bool,
    leak_report_every: u32,
}

impl BufferPoolConfig {
    /// For messages: powers of two from 1 KiB to 128 KiB, 4096 buffers of each, aligned to 64
    /// bytes.
    #[must_use]
    pub fn for_network() -> Self {
        Self {
            pool_min_size: 0,
            min_size: 1 << 10,
            max_size: 128 << 10,
            max_per_class: 4096,
            classes: Classes::Powers,
            parallelism: available_parallelism(),
            cache: CacheCapacity::Derived,
            prefill: false,
            alignment: Alignment::UpTo(64),
            budget_bytes: None,
            borrow: BorrowPolicy::Never,
            fallback: FallbackPolicy::Included,
            returns: ReturnPolicy::Returner,
            zero_on_free: false,
            huge_page_advice: false,
            leak_report_every: 0,
        }
    }

    /// For blocks of files: powers of two from a page to 8 MiB, 64 buffers of each, aligned to
    /// pages as direct I/O asks for.
    #[must_use]
    pub fn for_storage() -> Self {
        let page = page_size();
        Self {
            min_size: page,
            max_size: page.max(8 << 20),
            max_per_class: 64,
            alignment: Alignment::UpTo(page),
            ..Self::for_network()
        }
    }

    /// Requests below this many bytes are served by untracked memory of exactly their size,
    /// aligned as all buffers. 0, the default, for none. At most the smallest class.
    #[must_use]
    pub fn with_pool_min_size(self, bytes: usize) -> Self {
        Self {
            pool_min_size: bytes,
            ..self
        }
    }

    /// The smallest class in bytes: a power of two, at least the alignment. Forgets
    /// [`with_classes`](Self::with_classes).
    #[must_use]
    pub fn with_min_size(self, bytes: usize) -> Self {
        Self {
            min_size: bytes,
            classes: Classes::Powers,
            ..self
        }
    }

    /// The largest class in bytes: a power of two, at least the smallest. Forgets
    /// [`with_classes`](Self::with_classes).
    #[must_use]
    pub fn with_max_size(self, bytes: usize) -> Self {
        Self {
            max_size: bytes,
            classes: Classes::Powers,
            ..self
        }
    }

    /// How many buffers of each class there may be, for classes without a limit of their own. At
    /// least 1.
    #[must_use]
    pub fn with_max_per_class(self, buffers: u32) -> Self {
        Self {
            max_per_class: buffers,
            ..self
        }
    }

    /// A table of classes instead of the powers of two: sizes, or pairs of size and limit, in any
    /// order, up to 64. A size need not be a multiple of the alignment: each buffer starts aligned,
    /// and the bytes between two count against the ceiling.
    #[must_use]
    pub fn with_classes<C: Into<BufferClass>>(self, classes: impl IntoIterator<Item = C>) -> Self {
        Self {
            classes: Classes::Table(classes.into_iter().map(Into::into).collect()),
            ..self
        }
    }

    /// How many threads use the pool at a time; by default the processors that the process may use.
    /// Thread caches are derived from it, and the shared lists are striped by it. At least 1.
    #[must_use]
    pub fn with_parallelism(self, threads: usize) -> Self {
        Self {
            parallelism: threads,
            ..self
        }
    }

    /// How many buffers of each class a thread may cache, exactly; 0 disables the caches. At most
    /// the largest limit of a class; a class with a smaller limit caches at most that.
    ///
    /// Without it the capacity is derived: half of the class divided by the parallelism, at most
    /// 512, and at most what 8 MiB hold, but at least 8 of those.
    #[must_use]
    pub fn with_thread_cache_capacity(self, buffers: usize) -> Self {
        Self {
            cache: CacheCapacity::Exact(buffers),
            ..self
        }
    }

    /// No thread caches.
    #[must_use]
    pub fn with_thread_cache_disabled(self) -> Self {
        self.with_thread_cache_capacity(0)
    }

    /// Whether the pool makes all its buffers at once: of each class as many as it may have; under
    /// a ceiling the same number of each, as far as that goes. Their pages are not touched.
    #[must_use]
    pub fn with_prefill(self, prefill: bool) -> Self {
        Self { prefill, ..self }
    }

    /// The alignment of every buffer in bytes; a power of two, and at most the smallest class
    /// where classes are powers of two. Without it the alignment of the preset holds, or the size
    /// of the smallest class, rounded down to a power of two, if that is less.
    ///
    /// Up to a cache line, buffers whose size is a multiple of 4096 are set apart by a line more
    /// than their size: their first bytes then fall into different sets of the processor's caches.
    #[must_use]
    pub fn with_alignment(self, bytes: usize) -> Self {
        Self {
            alignment: Alignment::Exact(bytes),
            ..self
        }
    }

    /// A ceiling in bytes over all classes: what buffers occupy, with the bytes between two, and
    /// untracked memory together never pass it. At least one buffer of the largest class.
    ///
    /// Outside the ceiling are the table entries, 64 bytes each, and what a region is longer than
    /// the buffers made of it; [`stats`](crate::BufferPool::stats) tells both.
    #[must_use]
    pub fn with_budget_bytes(self, bytes: usize) -> Self {
        Self {
            budget_bytes: Some(bytes),
            ..self
        }
    }

    /// Whether a request may take a buffer of a larger class when its own has none.
    #[must_use]
    pub fn with_borrow(self, borrow: BorrowPolicy) -> Self {
        Self { borrow, ..self }
    }

    /// What [`alloc`](crate::BufferPool::alloc) does when no buffer can be had.
    #[must_use]
    pub fn with_fallback(self, fallback: FallbackPolicy) -> Self {
        Self { fallback, ..self }
    }

    /// Which thread's cache a buffer returns to.
    #[must_use]
    pub fn with_return(self, returns: ReturnPolicy) -> Self {
        Self { returns, ..self }
    }

    /// Whether every byte of a buffer is set to zero when its last view is dropped, so that none
    /// of its content is left for the next user.
    #[must_use]
    pub fn with_zero_on_free(self, zero: bool) -> Self {
        Self {
            zero_on_free: zero,
            ..self
        }
    }

    /// Whether the system is asked to back regions with huge pages. A refusal changes nothing else
    /// and is told by [`stats`](crate::BufferPool::stats). Only for the pool's own source; other
    /// sources give such advice themselves.
    #[must_use]
    pub fn with_huge_page_advice(self, advise: bool) -> Self {
        Self {
            huge_page_advice: advise,
            ..self
        }
    }

    /// Notes for every `n`th allocation from where it was called, for
    /// [`leak_report`](crate::BufferPool::leak_report). 0, the default, for never. A pool that
    /// notes takes the slow path for every allocation.
    #[must_use]
    pub fn with_leak_report(self, n: u32) -> Self {
        Self {
            leak_report_every: n,
            ..self
        }
    }

    /// Requests below this many bytes are served by untracked memory.
    #[must_use]
    pub const fn pool_min_size(&self) -> usize {
        self.pool_min_size
    }

    /// The smallest size of a class in bytes.
    #[must_use]
    pub fn min_size(&self) -> usize {
        match &self.classes {
            Classes::Powers => self.min_size,
            Classes::Table(table) => table.iter().map(|class| class.size).min().unwrap_or(0),
        }
    }

    /// The largest size of a class in bytes.
    #[must_use]
    pub fn max_size(&self) -> usize {
        match &self.classes {
            Classes::Powers => self.max_size,
            Classes::Table(table) => table.iter().map(|class| class.size).max().unwrap_or(0),
        }
    }

    /// How many buffers a class without a limit of its own may have.
    #[must_use]
    pub const fn max_per_class(&self) -> u32 {
        self.max_per_class
    }

    /// How many threads are expected to use the pool at a time.
    #[must_use]
    pub const fn parallelism(&self) -> usize {
        self.parallelism
    }

    /// Whether all buffers are made at once.
    #[must_use]
    pub const fn prefill(&self) -> bool {
        self.prefill
    }

    /// The alignment of every buffer in bytes.
    #[must_use]
    pub fn alignment(&self) -> usize {
        match self.alignment {
            Alignment::Exact(bytes) => bytes,
            Alignment::UpTo(bytes) => match self.min_size().checked_ilog2() {
                Some(order) => bytes.min(1 << order),
                None => bytes,
            },
        }
    }

    /// The ceiling in bytes, if there is one.
    #[must_use]
    pub const fn budget_bytes(&self) -> Option<usize> {
        self.budget_bytes
    }

    /// Whether a request may take a buffer of a larger class.
    #[must_use]
    pub const fn borrow_policy(&self) -> BorrowPolicy {
        self.borrow
    }

    /// What is done when no buffer can be had.
    #[must_use]
    pub const fn fallback_policy(&self) -> FallbackPolicy {
        self.fallback
    }

    /// Which thread's cache a buffer returns to.
    #[must_use]
    pub const fn return_policy(&self) -> ReturnPolicy {
        self.returns
    }

    /// Whether buffers are set to zero when they come back.
    #[must_use]
    pub const fn zero_on_free(&self) -> bool {
        self.zero_on_free
    }

    /// Whether huge pages are asked for.
    #[must_use]
    pub const fn huge_page_advice(&self) -> bool {
        self.huge_page_advice
    }

    /// Every how many allocations the place of one is noted; 0 for never.
    #[must_use]
    pub const fn leak_report_every(&self) -> u32 {
        self.leak_report_every
    }

    /// The sizes of the classes in bytes, rising.
    #[must_use]
    pub fn class_sizes(&self) -> Vec<usize> {
        self.sorted_classes()
            .iter()
            .map(|class| class.size)
            .collect()
    }

    /// How many buffers of `size` bytes a thread may cache.
    ///
    /// `size` is the size of a class; of any other size the answer is what such a class would have.
    #[must_use]
    pub fn thread_cache_capacity(&self, size: usize) -> usize {
        let class = self
            .sorted_classes()
            .into_iter()
            .find(|class| class.size == size);
        let limit = class
            .and_then(|class| class.limit)
            .unwrap_or(self.max_per_class);
        self.cache_capacity(ClassShape::stride_of(size, self.alignment()), limit)
    }

    fn cache_capacity(&self, stride: usize, limit: u32) -> usize {
        let limit = limit as usize;
        match self.cache {
            CacheCapacity::Exact(buffers) => buffers.min(limit),
            CacheCapacity::Derived => {
                let in_bytes = (DERIVED_BYTES / stride.max(1)).max(DERIVED_LEAST);
                let share = limit / self.parallelism.max(1).saturating_mul(2);
                share.min(DERIVED_MOST).min(in_bytes)
            }
        }
    }

    /// Whether a pool of this configuration can exist.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: the first field that breaks a limit.
    pub fn validate(&self) -> Result<(), ConfigError> {
        power_of_two("alignment", self.alignment())?;
        at_most(
            "alignment",
            self.alignment(),
            BYTES_MAX,
            "the largest possible",
        )?;
        at_least(
            "parallelism",
            self.parallelism,
            1,
            "the thread that uses the pool",
        )?;
        at_least(
            "max_per_class",
            self.max_per_class as usize,
            1,
            "as a class without buffers serves nothing",
        )?;
        at_most(
            "max_per_class",
            self.max_per_class as usize,
            SLOTS_MAX as usize,
            "the most buffers that a list can name",
        )?;
        match &self.classes {
            Classes::Powers => self.validate_powers()?,
            Classes::Table(table) => validate_table(table)?,
        }
        at_most(
            "pool_min_size",
            self.pool_min_size,
            self.min_size(),
            "the smallest class",
        )?;
        self.validate_cache()?;
        self.validate_budget()
    }

    fn validate_powers(&self) -> Result<(), ConfigError> {
        power_of_two("min_size", self.min_size)?;
        power_of_two("max_size", self.max_size)?;
        at_least("min_size", self.min_size, self.alignment(), "the alignment")?;
        at_least(
            "max_size",
            self.max_size,
            self.min_size,
            "the smallest class",
        )?;
        at_most("max_size", self.max_size, BYTES_MAX, "the largest possible")
    }

    fn validate_cache(&self) -> Result<(), ConfigError> {
        let CacheCapacity::Exact(buffers) = self.cache else {
            return Ok(());
        };
        let limits = self.sorted_classes();
        let limits = limits
            .iter()
            .map(|class| class.limit.unwrap_or(self.max_per_class));
        let most = limits.max().unwrap_or(0) as usize;
        let field = "thread_cache_capacity";
        at_most(field, buffers, most, "the most buffers of a class")?;
        at_most(field, buffers, CACHE_CAPACITY_MAX, "the largest possible")
    }

    fn validate_budget(&self) -> Result<(), ConfigError> {
        let Some(bytes) = self.budget_bytes else {
            return Ok(());
        };
        let largest = ClassShape::stride_of(self.max_size(), self.alignment());
        at_least(
            "budget_bytes",
            bytes,
            largest,
            "one buffer of the largest class",
        )
    }

    /// The classes by rising size.
    fn sorted_classes(&self) -> Vec<BufferClass> {
        match &self.classes {
            Classes::Powers => {
                let sizes = core::iter::successors(Some(self.min_size), |size| size.checked_mul(2));
                let wanted = sizes.take_while(|&size| size <= self.max_size);
                wanted
                    .take(usize::BITS as usize)
                    .map(BufferClass::from)
                    .collect()
            }
            Classes::Table(table) => {
                let mut table = table.clone();
                table.sort_unstable_by_key(|class| class.size);
                table
            }
        }
    }

    /// What the pool makes of the classes. The configuration is valid.
    pub(crate) fn shapes(&self) -> Vec<ClassShape> {
        let classes = self.sorted_classes().into_iter();
        classes
            .map(|class| {
                let limit = class.limit.unwrap_or(self.max_per_class);
                let stride = ClassShape::stride_of(class.size, self.alignment());
                ClassShape {
                    size: class.size,
                    stride,
                    align: self.alignment(),
                    limit,
                    cache_capacity: self.cache_capacity(stride, limit),
                }
            })
            .collect()
    }
}

fn validate_table(table: &[BufferClass]) -> Result<(), ConfigError> {
    let field = "classes";
    at_least(
        field,
        table.len(),
        1,
        "as a pool without classes serves nothing",
    )?;
    at_most(
        field,
        table.len(),
        CLASSES_MAX,
        "the most that a pool can have",
    )?;
    let mut sizes: Vec<usize> = table.iter().map(|class| class.size).collect();
    sizes.sort_unstable();
    at_least("classes.size", sizes[0], 1, "the smallest buffer")?;
    at_most(
        "classes.size",
        sizes[sizes.len() - 1],
        BYTES_MAX,
        "the largest possible",
    )?;
    if let Some(pair) = sizes.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(ConfigError::DuplicateClass { value: pair[0] });
    }
    for limit in table.iter().filter_map(|class| class.limit) {
        at_least(
            "classes.limit",
            limit as usize,
            1,
            "as a class without buffers serves nothing",
        )?;
        at_most(
            "classes.limit",
            limit as usize,
            SLOTS_MAX as usize,
            "the most buffers that a list can name",
        )?;
    }
    Ok(())
}

fn power_of_two(field: &'static str, value: usize) -> Result<(), ConfigError> {
    if value.is_power_of_two() {
        Ok(())
    } else {
        Err(ConfigError::NotPowerOfTwo { field, value })
    }
}

fn at_least(
    field: &'static str,
    value: usize,
    limit: usize,
    because: &'static str,
) -> Result<(), ConfigError> {
    if value >= limit {
        return Ok(());
    }
    Err(ConfigError::BelowLimit {
        field,
        value,
        limit,
        because,
    })
}

fn at_most(
    field: &'static str,
    value: usize,
    limit: usize,
    because: &'static str,
) -> Result<(), ConfigError> {
    if value <= limit {
        return Ok(());
    }
    Err(ConfigError::AboveLimit {
        field,
        value,
        limit,
        because,
    })
}

/// The processors that the process may use; 1 where the system does not say.
fn available_parallelism() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
