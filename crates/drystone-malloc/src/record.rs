//! The recording that `DRYSTONE_TRACE=FILE` asks for: which calls of the family, in what order.
//!
//! # What
//!
//! With the feature `record` every block that the program has is in the trace, from the first call of the
//! loader on: what is called before the environment can be read is kept until it is. `%p` in the name stands for
//! the number of the process, and then children are recorded as well, each to its own file. Without it this
//! process alone is, and the variable is taken out of the environment, so that programs which it starts leave
//! the file alone. `DRYSTONE_TRACE_PROCESS=N` leaves it there: the process of that number is recorded, and a
//! program that it becomes is recorded anew.
//!
//! # Memory picture
//!
//! ```text
//!  family ──> heap ──> recorded ──> the heap of the build
//!                         │
//!                         └──────> chunk of the thread, in the mapped file
//! ```
//!
//! # Invariants
//!
//! - A free is written before the block goes back, an allocation after it was had, a resize around it.
//! - `errno` stays.
//!
//! # Threads
//!
//! Each writes to a chunk of its own. What a signal handler allocates that has interrupted the recorder is
//! lost, and counted in the trace.
//!
//! # Cost
//!
//! Without a recording a load and a branch in each function. `docs/design/malloc.md` has figures.

use core::ffi::CStr;
use core::ptr::NonNull;

use std::io;

use drystone_backing::ThreadEnd;
use drystone_trace::raw::{self, Entered};
use drystone_trace::{RecordError, finish_recording};

pub(crate) use drystone_trace::raw::is_still;

use crate::errno;
use crate::heap::Wrong;
use crate::output::{Text, line};
use crate::request::Request;

/// By which `drystone record` tells a build that records.
#[used]
static MARK: [u8; 42] = *b"drystone-malloc: records by DRYSTONE_TRACE";

const VARIABLE: &CStr = c"DRYSTONE_TRACE";
const PROCESS: &CStr = c"DRYSTONE_TRACE_PROCESS";

/// Runs `write` where the thread is recorded. `errno` stays as it is.
#[cold]
#[inline(never)]
fn entered(write: impl FnOnce(&Entered)) {
    errno::kept(|| {
        if let Some(entered) = raw::enter() {
            write(&entered);
            let is_new = entered.is_new_thread();
            drop(entered);
            if is_new {
                // Without a key the end of the thread is not in the trace.
                let _ = END.ask();
            }
        }
    });
}

static END: ThreadEnd = ThreadEnd::new(thread_ends);

extern "C" fn thread_ends() {
    entered(Entered::thread_ends);
}

/// Hands on the answer to a request, null or a block.
#[inline(always)]
pub(crate) fn allocated(request: Request, zeroed: bool, block: *mut u8) -> *mut u8 {
    if !is_still() && !block.is_null() {
        entered(|entered| {
            entered.allocated(block.addr(), request.size(), request.align(), zeroed);
        });
    }
    block
}

/// The block is about to go back.
#[inline(always)]
pub(crate) fn frees(block: NonNull<u8>) {
    if !is_still() {
        entered(|entered| entered.frees(block.addr().get()));
    }
}

/// Resizes a block by `resize`.
#[inline(always)]
pub(crate) fn resized(
    block: NonNull<u8>,
    request: Request,
    resize: impl FnOnce() -> Result<*mut u8, Wrong>,
) -> Result<*mut u8, Wrong> {
    if is_still() {
        return resize();
    }
    let mut answer = None;
    let mut resize = Some(resize);
    entered(|entered| {
        entered.resizes(block.addr().get());
        answer = resize.take().map(|resize| resize());
        match answer {
            Some(Ok(moved)) if !moved.is_null() => {
                entered.resized(moved.addr(), request.size(), request.align());
            }
            _ => entered.resize_failed(block.addr().get()),
        }
    });
    answer
        .or_else(|| resize.map(|resize| resize()))
        .unwrap_or(Ok(core::ptr::null_mut()))
}

/// Does what the environment asks, which can be read now.
pub(crate) fn begin() {
    let Some(name) = variable(VARIABLE).filter(|name| !name.is_empty()) else {
        return raw::decline();
    };
    match variable(PROCESS) {
        Some(process) if !is_this_process(process) => return raw::decline(),
        Some(_) => {}
        None if name.to_bytes().windows(2).any(|two| two == b"%p") => {}
        None => {
            // SAFETY: no other thread runs that could read the environment. The name's bytes stay: the
            // variable is only left out of the table.
            let _ = unsafe { libc::unsetenv(VARIABLE.as_ptr()) };
        }
    }
    if let Err(error) = raw::begin(name) {
        say(&error, name);
    }
}

/// Nothing is recorded: the program has rights that its user does not have.
pub(crate) fn decline() {
    raw::decline();
}

/// Ends the recording, if there is one, and says what went wrong with it.
pub(crate) fn end() {
    match finish_recording() {
        Ok(_) | Err(RecordError::NotRecording | RecordError::Busy) => {}
        Err(error) => say(&error, c""),
    }
}

fn variable(name: &CStr) -> Option<&'static CStr> {
    // SAFETY: a name, and no other thread runs that could change the environment.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: a value of the environment is a C string, in memory that stays.
    Some(unsafe { CStr::from_ptr(value) })
}

fn is_this_process(number: &CStr) -> bool {
    // SAFETY: no requirements.
    let process = unsafe { libc::getpid() };
    let number = number.to_str().ok().and_then(|digits| digits.parse().ok());
    number == Some(process)
}

fn say(error: &RecordError, name: &CStr) {
    let mut text = Text::new();
    text.push(b"drystone: DRYSTONE_TRACE");
    if !name.is_empty() {
        text.push(b"=");
        text.push(name.to_bytes());
    }
    match error {
        RecordError::Create(error) => {
            text.push(b": cannot make the file: ");
            push_reason(&mut text, error);
            text.push(b"; nothing is recorded\n");
        }
        RecordError::Write {
            error,
            operations,
            lost,
        } => {
            text.push(b": cannot write the file: ");
            push_reason(&mut text, error);
            // Text never fails: what does not fit is left out.
            let _ = core::fmt::Write::write_fmt(
                &mut text,
                format_args!("; {operations} operations are in it, {lost} or more are not\n"),
            );
        }
        _ => return line!("drystone: DRYSTONE_TRACE: nothing is recorded"),
    }
    text.to_standard_error();
}

/// What the system says of an error, which the standard library puts into a string.
fn push_reason(text: &mut Text, error: &io::Error) {
    let Some(code) = error.raw_os_error() else {
        return text.push(b"it would be no regular file");
    };
    let mut words = [0; 128];
    // SAFETY: the bytes can be written.
    let told = unsafe { libc::strerror_r(code, words.as_mut_ptr(), words.len()) };
    // SAFETY: the array has no padding and is initialised.
    let words = unsafe { core::slice::from_raw_parts(words.as_ptr().cast::<u8>(), words.len()) };
    match CStr::from_bytes_until_nul(words) {
        Ok(words) if told == 0 => text.push(words.to_bytes()),
        _ => text.push(b"the system refuses"),
    }
}
