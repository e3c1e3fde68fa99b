//! [`Place`]: the name of the file, kept for children.

use core::ffi::CStr;
use std::fs::File;
use std::io;

use super::environment::create;

/// The longest name, with the zero at its end.
const NAME_BYTES_MAX: usize = 4096;

/// What stands for the number of the process.
const PROCESS: &[u8] = b"%p";

/// The name of a file, in which `%p` stands for the number of the process.
#[derive(Clone)]
pub(super) struct Place {
    // I1: `name[..length]` has no zero byte.
    name: [u8; NAME_BYTES_MAX],
    length: usize,
}

impl Place {
    /// `None` if the name is too long. One that does not begin with `/` is one below `directory`, as the
    /// program may go elsewhere.
    pub(super) fn new(directory: &[u8], name: &CStr) -> Option<Self> {
        let name = name.to_bytes();
        let mut place = Self {
            name: [0; NAME_BYTES_MAX],
            length: 0,
        };
        if !name.starts_with(b"/") && !directory.is_empty() {
            place.push(directory)?;
            place.push(b"/")?;
        }
        place.push(name)?;
        Some(place)
    }

    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.length + bytes.len();
        // One byte stays zero.
        let place = self.name[..NAME_BYTES_MAX - 1].get_mut(self.length..end)?;
        place.copy_from_slice(bytes);
        self.length = end;
        Some(())
    }

    /// Whether each process has a file of its own.
    pub(super) fn is_for_children(&self) -> bool {
        self.parts().is_some()
    }

    /// What is before and behind the number of the process.
    fn parts(&self) -> Option<(&[u8], &[u8])> {
        let name = &self.name[..self.length];
        let at = name.windows(2).position(|two| two == PROCESS)?;
        Some((&name[..at], &name[at + PROCESS.len()..]))
    }

    /// Makes the file of this process, or empties it.
    pub(super) fn create(&self) -> io::Result<File> {
        let mut expanded = Self {
            name: [0; NAME_BYTES_MAX],
            length: 0,
        };
        let long = || io::Error::from_raw_os_error(libc::ENAMETOOLONG);
        match self.parts() {
            None => expanded = self.clone(),
            Some((before, behind)) => {
                let mut digits = [0; 10];
                let number = decimal(std::process::id(), &mut digits);
                expanded.push(before).ok_or_else(long)?;
                expanded.push(number).ok_or_else(long)?;
                expanded.push(behind).ok_or_else(long)?;
            }
        }
        let name = CStr::from_bytes_until_nul(&expanded.name).map_err(|_| long())?;
        create(name)
    }
}

fn decimal(mut number: u32, digits: &mut [u8; 10]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_the_process_takes_its_place() {
        let directory = std::env::temp_dir();
        let directory = directory.as_os_str().as_encoded_bytes();
        let place = Place::new(directory, c"drystone-place-%p.dst").expect("short");
        assert!(place.is_for_children());
        drop(place.create().expect("a file"));
        let name = format!("drystone-place-{}.dst", std::process::id());
        std::fs::remove_file(std::env::temp_dir().join(name)).expect("the file is there");
        assert!(!Place::new(b"", c"/a").expect("short").is_for_children());
        let long = std::ffi::CString::new(vec![b'a'; NAME_BYTES_MAX]).expect("no zero");
        assert!(Place::new(b"", &long).is_none());
    }

    #[test]
    fn numbers_are_decimal() {
        let mut digits = [0; 10];
        assert_eq!(decimal(0, &mut digits), b"0");
        assert_eq!(decimal(u32::MAX, &mut digits), b"4294967295");
    }
}
