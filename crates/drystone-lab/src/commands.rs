//! The commands of the program.

pub(crate) mod compare;
pub(crate) mod dump;
pub(crate) mod envelope;
pub(crate) mod gate;
pub(crate) mod import;
pub(crate) mod info;
pub(crate) mod measured;
pub(crate) mod record;
pub(crate) mod replay;
pub(crate) mod report;
pub(crate) mod synth;
pub(crate) mod targets;

use std::io::Write;

use crate::error::Failure;

/// Prints to standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

/// Writes to standard output. A reader that has gone away is no error: nobody is left to tell.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::io("standard output", "cannot write it", &error))
        }
        _ => Ok(()),
    }
}
