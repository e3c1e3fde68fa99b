//! [`Kind`]: by which family of functions a block is asked for and taken back.
#![forbid(unsafe_code)]

/// Which functions a block belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The family of `malloc`.
    Malloc,
    /// `operator new` and `operator delete`.
    New,
    /// `operator new[]` and `operator delete[]`.
    NewArray,
}

impl Kind {
    pub(crate) const COUNT: usize = 3;

    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Malloc => 0,
            Self::New => 1,
            Self::NewArray => 2,
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Malloc),
            1 => Some(Self::New),
            2 => Some(Self::NewArray),
            _ => None,
        }
    }
}
