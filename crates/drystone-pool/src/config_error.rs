//! [`ConfigError`]: what is wrong with a configuration.

use core::fmt;

/// What is wrong with a [`BufferPoolConfig`](crate::BufferPoolConfig): the field, its value, and the
/// limit it breaks.
///
/// ```
/// use drystone_pool::BufferPoolConfig;
///
/// let error = BufferPoolConfig::for_network().with_min_size(3000).validate().unwrap_err();
/// assert_eq!((error.field(), error.value()), ("min_size", 3000));
/// assert_eq!(error.to_string(), "min_size is 3000, which is not a power of two");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigError {
    /// The value has to be a power of two.
    NotPowerOfTwo {
        /// The field.
        field: &'static str,
        /// Its value.
        value: usize,
    },
    /// The value is too small.
    BelowLimit {
        /// The field.
        field: &'static str,
        /// Its value.
        value: usize,
        /// The least that is allowed.
        limit: usize,
        /// Where the limit comes from.
        because: &'static str,
    },
    /// The value is too large.
    AboveLimit {
        /// The field.
        field: &'static str,
        /// Its value.
        value: usize,
        /// The most that is allowed.
        limit: usize,
        /// Where the limit comes from.
        because: &'static str,
    },
    /// Two classes have the same size.
    DuplicateClass {
        /// The size in bytes.
        value: usize,
    },
    /// The field asks for what only the pool's own source can do, and another source was given.
    NeedsOwnSource {
        /// The field.
        field: &'static str,
    },
    /// There is no memory for what the configuration asks for at once.
    OutOfMemory {
        /// The field.
        field: &'static str,
        /// The bytes asked for.
        value: usize,
    },
}

impl ConfigError {
    /// The field, named as in the `with_…` methods.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match *self {
            Self::NotPowerOfTwo { field, .. }
            | Self::BelowLimit { field, .. }
            | Self::AboveLimit { field, .. }
            | Self::NeedsOwnSource { field }
            | Self::OutOfMemory { field, .. } => field,
            Self::DuplicateClass { .. } => "classes",
        }
    }

    /// The value that was refused; for a switch, 1.
    #[must_use]
    pub const fn value(&self) -> usize {
        match *self {
            Self::NotPowerOfTwo { value, .. }
            | Self::BelowLimit { value, .. }
            | Self::AboveLimit { value, .. }
            | Self::DuplicateClass { value }
            | Self::OutOfMemory { value, .. } => value,
            Self::NeedsOwnSource { .. } => 1,
        }
    }

    /// The limit, where there is one.
    #[must_use]
    pub const fn limit(&self) -> Option<usize> {
        match *self {
            Self::BelowLimit { limit, .. } | Self::AboveLimit { limit, .. } => Some(limit),
            Self::NotPowerOfTwo { .. }
            | Self::DuplicateClass { .. }
            | Self::NeedsOwnSource { .. }
            | Self::OutOfMemory { .. } => None,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotPowerOfTwo { field, value } => {
                write!(f, "{field} is {value}, which is not a power of two")
            }
            Self::BelowLimit {
                field,
                value,
                limit,
                because,
            } => write!(f, "{field} is {value}, below {limit}, {because}"),
            Self::AboveLimit {
                field,
                value,
                limit,
                because,
            } => write!(f, "{field} is {value}, above {limit}, {because}"),
            Self::DuplicateClass { value } => {
                write!(f, "classes has the size {value} twice")
            }
            Self::NeedsOwnSource { field } => {
                write!(
                    f,
                    "{field} needs the pool's own source of memory, and another was given"
                )
            }
            Self::OutOfMemory { field, value } => {
                write!(
                    f,
                    "{field} needs {value} bytes at once, and there is no memory for them"
                )
            }
        }
    }
}

impl core::error::Error for ConfigError {}
