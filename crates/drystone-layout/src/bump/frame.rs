//! [`Frame`]: how far the innermost open scope may rewind. Plain numbers, no pointers; the proof
//! that the rules keep every live block is in `docs/design/bump.md`.
#![forbid(unsafe_code)]

/// The frame of the innermost open scope, or the idle frame of the arena itself.
///
/// The frames of the open scopes form a stack. The arena holds the top one; each scope holds the
/// frame below its own, as it was when the scope opened.
///
/// - F1: every live block that the frame's scope did not hand out ends at or below `floor`.
/// - F2: `oldest_pin <= serial`; every scope that raised `floor` has a serial of at least
///   `oldest_pin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// The scope that the frame belongs to; [`Frame::IDLE_SERIAL`] when no scope is open.
    serial: u64,
    /// Where the scope's own memory begins: a rewind stops here.
    floor: usize,
    /// The oldest scope that raised `floor`; the frame's own serial if only it did, or none.
    oldest_pin: u64,
}

impl Frame {
    /// The serial of no scope: scopes count from 1.
    const IDLE_SERIAL: u64 = 0;

    /// The frame of an arena without open scopes.
    pub(super) const fn idle(cursor: usize) -> Self {
        Self::open(Self::IDLE_SERIAL, cursor)
    }

    /// The frame of a scope that opens at `cursor`.
    pub(super) const fn open(serial: u64, cursor: usize) -> Self {
        Self {
            serial,
            floor: cursor,
            oldest_pin: serial,
        }
    }

    pub(super) const fn serial(self) -> u64 {
        self.serial
    }

    pub(super) const fn floor(self) -> usize {
        self.floor
    }

    pub(super) const fn oldest_pin(self) -> u64 {
        self.oldest_pin
    }

    pub(super) const fn is_idle(self) -> bool {
        self.serial == Self::IDLE_SERIAL
    }

    /// The frame after the scope `by`, which is not the innermost, took memory up to `cursor`.
    #[must_use]
    pub(super) fn pin(self, by: u64, cursor: usize) -> Self {
        Self {
            floor: self.floor.max(cursor),
            oldest_pin: self.oldest_pin.min(by),
            ..self
        }
    }

    /// Ends the scope of this frame, the innermost: the cursor it rewinds to, and the frame that
    /// is on top then.
    ///
    /// What scopes older than `below`'s own have pinned stays pinned there. What `below`'s own
    /// scope took ends with that scope, so it needs no pin.
    #[must_use]
    pub(super) fn close(self, below: Self, cursor: usize) -> (usize, Self) {
        let cursor = cursor.min(self.floor);
        if self.oldest_pin < below.serial {
            (cursor, below.pin(self.oldest_pin, cursor))
        } else {
            (cursor, below)
        }
    }
}
