//! Recording for an allocator that has other functions than those of `Allocator`.
//!
//! Such an allocator asks [`is_still`] first, which is one load, and goes on without the recorder if it
//! answers yes. Otherwise it [enters](enter), and says what happens: the end of a block before the block
//! goes back, its beginning after it was had, and a resize in two parts around it. What is recorded before
//! somebody says whether anything is to be, by [`begin`] or [`decline`], is kept: the first two to three thousand
//! operations, and the number of the others. So recording can begin with the first call of a loader that has not
//! set the environment up yet.
//!
//! None of these functions allocates, unwinds, or waits for a thread that runs.

use core::ffi::CStr;

use super::environment;
use super::place::Place;
use super::tape::{Inside, TAPE};
use crate::dst::{Kind, What};
use crate::recorder::RecordError;

/// Whether there is surely nothing to record.
#[inline]
pub fn is_still() -> bool {
    TAPE.is_still()
}

/// The calling thread is inside the recorder until this is dropped; what it allocates meanwhile is not
/// recorded.
pub struct Entered(Inside);

/// Enters the recorder. `None` if nothing is recorded, or if the thread is inside already: then the operation
/// is counted as lost.
#[inline]
pub fn enter() -> Option<Entered> {
    TAPE.enter_early().map(Entered)
}

impl Entered {
    /// Whether the thread was here for the first time.
    pub fn is_new_thread(&self) -> bool {
        self.0.is_new
    }

    /// There is a block, for which `size` bytes aligned to `align`, a power of two, were asked.
    #[inline]
    pub fn allocated(&self, address: usize, size: usize, align: usize, zeroed: bool) {
        let kind = match zeroed {
            true => Kind::AllocateZeroed,
            false => Kind::Allocate,
        };
        self.write(kind, address, size, align);
    }

    /// The block is about to go back. What its size was is found out by the reader.
    #[inline]
    pub fn frees(&self, address: usize) {
        self.write(Kind::Free, address, 0, 1);
    }

    /// The block is about to be resized.
    #[inline]
    pub fn resizes(&self, address: usize) {
        self.write(Kind::ResizeBegin, address, 0, 1);
    }

    /// It was resized, and is here now.
    #[inline]
    pub fn resized(&self, address: usize, size: usize, align: usize) {
        self.write(Kind::ResizeEnd, address, size, align);
    }

    /// It was not, and is as it was.
    #[inline]
    pub fn resize_failed(&self, address: usize) {
        self.write(Kind::ResizeFailed, address, 0, 1);
    }

    /// The calling thread ends.
    pub fn thread_ends(&self) {
        TAPE.event(&self.0, What::ThreadExit);
    }

    #[inline]
    fn write(&self, kind: Kind, address: usize, size: usize, align: usize) {
        TAPE.write(&self.0, kind, address, size, align.trailing_zeros() as u8);
    }
}

/// Starts the recording, to a file of that name: one that is there is replaced. If the name has `%p`, that is
/// the number of the process, and children of it have a recording each.
///
/// # Errors
///
/// [`RecordError::Busy`] if there is or was a recording, [`RecordError::Create`] if the file cannot be made.
pub fn begin(name: &CStr) -> Result<(), RecordError> {
    let mut directory = [0; 4096];
    let directory = environment::directory(&mut directory);
    match Place::new(directory, name) {
        Some(place) => TAPE.start_at(&place),
        None => {
            TAPE.decline();
            let error = std::io::Error::from_raw_os_error(libc::ENAMETOOLONG);
            Err(RecordError::Create(error))
        }
    }
}

/// Nothing is to be recorded.
pub fn decline() {
    TAPE.decline();
}
