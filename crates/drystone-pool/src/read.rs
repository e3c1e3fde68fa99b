//! [`io::Read`] and [`BufRead`] for what many may read: bytes are taken from the front.

use std::io::{self, BufRead, Read};

use crate::{IoBuf, IoBufs};

/// Takes bytes from the front, as from a slice. The buffer stays out of its pool until the view is
/// dropped, also when all bytes are taken.
impl Read for IoBuf {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = to.len().min(self.len());
        to[..count].copy_from_slice(&self[..count]);
        self.advance(count);
        Ok(count)
    }

    fn read_to_end(&mut self, to: &mut Vec<u8>) -> io::Result<usize> {
        let count = self.len();
        to.try_reserve(count)?;
        to.extend_from_slice(self);
        self.advance(count);
        Ok(count)
    }
}

impl BufRead for IoBuf {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self)
    }

    fn consume(&mut self, count: usize) {
        self.advance(count);
    }
}

/// Takes bytes from the front, from as many chunks as it needs. A chunk is dropped as soon as its
/// last byte is taken.
impl Read for IoBufs {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        while let Some(front) = self.chunk_at(0).filter(|_| count < to.len()) {
            let room = &mut to[count..];
            let taken = room.len().min(front.len());
            room[..taken].copy_from_slice(&front[..taken]);
            self.advance(taken);
            count += taken;
        }
        Ok(count)
    }

    fn read_to_end(&mut self, to: &mut Vec<u8>) -> io::Result<usize> {
        let count = self.len();
        to.try_reserve(count)?;
        while let Some(front) = self.chunk_at(0) {
            let taken = front.len();
            to.extend_from_slice(front);
            self.advance(taken);
        }
        Ok(count)
    }
}

/// The bytes at hand are those of the first chunk.
impl BufRead for IoBufs {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.chunk_at(0).map_or(&[], |front| front))
    }

    fn consume(&mut self, count: usize) {
        self.advance(count);
    }
}
