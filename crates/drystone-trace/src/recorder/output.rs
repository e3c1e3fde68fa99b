//! [`Output`]: the file that a recording goes to.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::window::{WINDOW_BYTES, Window};
use crate::dst::{
    CHUNK_HEADER_BYTES, CHUNK_TAIL_BYTES, ChunkEntry, ChunkHeader, End, PART_ALIGN, index_header,
};

/// Zeros are written in pieces of so many bytes.
const ZEROS: [u8; 8 << 10] = [0; 8 << 10];

/// An open recording.
pub(super) struct Output {
    file: Option<File>,
    identity: Identity,
    /// Where the header ends, and the chunks begin.
    chunks_at: u64,
    /// Where the windows begin: behind what was recorded before there was a file.
    windows_at: u64,
    /// The length of the file.
    bytes: u64,
    operations: u64,
    error: Option<io::Error>,
}

/// What a recording holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Operations in the file, events among them. A reallocation counts as two.
    pub operations: u64,
    /// The length of the file.
    pub bytes: u64,
}

impl Output {
    pub(super) const fn closed() -> Self {
        Self {
            file: None,
            identity: Identity::NONE,
            chunks_at: 0,
            windows_at: 0,
            bytes: 0,
            operations: 0,
            error: None,
        }
    }

    /// Starts a recording in `file`, which is empty and can be read and written: `header`, then `early`, a
    /// chunk or nothing.
    pub(super) fn open(file: File, header: &[u8], early: &[u8]) -> io::Result<Self> {
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let mut output = Self::closed();
        output.identity = Identity::of(&file)?;
        output.file = Some(file);
        output.append(header)?;
        output.fill()?;
        output.chunks_at = output.bytes;
        output.append(early)?;
        output.fill()?;
        output.windows_at = output.bytes;
        Ok(output)
    }

    pub(super) fn recorded(&self) -> Recorded {
        Recorded {
            operations: self.operations,
            bytes: self.bytes,
        }
    }

    /// Whether there was a file to write to.
    pub(super) fn was_open(&self) -> bool {
        self.bytes > 0
    }

    /// What ended the recording before its time. Told once.
    pub(super) fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    /// Keeps an error for who asks.
    pub(super) fn fail(&mut self, error: io::Error) {
        self.error = Some(error);
    }

    /// Makes the file longer by a window of zeros. The room is there when this returns, so that a disk that is
    /// full is told here and not by a signal at a store. `None` ends the recording: the error is kept for who
    /// asks.
    pub(super) fn window(&mut self) -> Option<Window> {
        let at = self.bytes;
        match self.grow().and_then(|()| Window::map(self.file()?, at)) {
            Ok(window) => Some(window),
            Err(error) => {
                // Zeros that stay are passed over by a reader.
                if self.file().and_then(|file| file.set_len(at)).is_ok() {
                    self.bytes = at;
                }
                self.fail(error);
                None
            }
        }
    }

    fn grow(&mut self) -> io::Result<()> {
        allowed(self.bytes + WINDOW_BYTES as u64)?;
        for _ in 0..WINDOW_BYTES / ZEROS.len() {
            self.append(&ZEROS)?;
        }
        Ok(())
    }

    /// Counts the operations in the file. No chunk is open.
    pub(super) fn count(&mut self) -> io::Result<()> {
        self.operations = self.counted()?.operations;
        Ok(())
    }

    fn counted(&self) -> io::Result<End> {
        let mut counted = End {
            index_byte: self.bytes,
            chunks: 0,
            operations: 0,
        };
        let mut at = self.chunks_at;
        while let Some((entry, next)) = self.chunk_from(at)? {
            counted.chunks += 1;
            counted.operations += u64::from(entry.operations);
            at = next;
        }
        Ok(counted)
    }

    /// Cuts off what is not used behind `end`, writes the index and the end, and closes the file. No chunk
    /// is open, and no window mapped.
    pub(super) fn close(&mut self, end: u64) -> io::Result<()> {
        let written = self.write_end(end);
        self.release();
        written
    }

    fn write_end(&mut self, end: u64) -> io::Result<()> {
        self.file()?.set_len(end)?;
        self.bytes = end;
        let end = self.counted()?;
        self.operations = end.operations;
        let mut hash = crc32fast::Hasher::new();
        let header = index_header(end.chunks);
        hash.update(&header);
        self.append(&header)?;
        let mut at = self.chunks_at;
        // Chunks stand before the index, which is written behind them meanwhile.
        for _ in 0..end.chunks {
            let Some((entry, next)) = self.chunk_from(at)? else {
                break;
            };
            hash.update(&entry.to_bytes());
            self.append(&entry.to_bytes())?;
            at = next;
        }
        self.append(&hash.finalize().to_le_bytes())?;
        self.append(&end.to_bytes())
    }

    /// The first chunk that begins at `at` or behind it, and where to look for the next one. A window is
    /// filled from its start on; what is left of it is zeros.
    fn chunk_from(&self, mut at: u64) -> io::Result<Option<(ChunkEntry, u64)>> {
        let mut file = self.file()?;
        while at < self.bytes {
            let limit = self.window_end(at);
            let mut bytes = [0; CHUNK_HEADER_BYTES];
            if at + bytes.len() as u64 <= limit {
                file.seek(SeekFrom::Start(at))?;
                file.read_exact(&mut bytes)?;
            }
            if let Some(header) = ChunkHeader::at_start_of(&bytes) {
                let whole = CHUNK_HEADER_BYTES + header.stored as usize + CHUNK_TAIL_BYTES;
                let next = (at + whole as u64).next_multiple_of(PART_ALIGN);
                return Ok(Some((ChunkEntry::of(at, &header), next)));
            }
            at = limit;
        }
        Ok(None)
    }

    /// Where the piece of the file ends that `at` is in.
    fn window_end(&self, at: u64) -> u64 {
        let end = match at.checked_sub(self.windows_at) {
            None => self.windows_at,
            Some(offset) => at - offset % WINDOW_BYTES as u64 + WINDOW_BYTES as u64,
        };
        end.min(self.bytes)
    }

    /// Zeros up to where a part may begin.
    fn fill(&mut self) -> io::Result<()> {
        let bytes = self.bytes.next_multiple_of(PART_ALIGN) - self.bytes;
        self.append(&ZEROS[..bytes as usize])
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let at = self.bytes;
        let mut file = self.file()?;
        file.seek(SeekFrom::Start(at))?;
        file.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Closes the file, unless its descriptor is somebody else's by now.
    fn release(&mut self) {
        if let Some(file) = self.file.take()
            && self.identity.check(&file).is_err()
        {
            core::mem::forget(file);
        }
    }

    /// The file, if it still is the one that was opened: a program that closes every descriptor closes this
    /// one too, and may have opened another file in its place.
    fn file(&self) -> io::Result<&File> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        self.identity.check(file)?;
        Ok(file)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.release();
    }
}

cfg_if::cfg_if! {
    if #[cfg(unix)] {
        use std::os::unix::fs::MetadataExt as _;

        /// Which file it is.
        #[derive(Clone, Copy, PartialEq, Eq)]
        struct Identity {
            device: u64,
            inode: u64,
        }

        impl Identity {
            const NONE: Self = Self { device: 0, inode: 0 };

            fn of(file: &File) -> io::Result<Self> {
                let metadata = file.metadata()?;
                Ok(Self {
                    device: metadata.dev(),
                    inode: metadata.ino(),
                })
            }

            fn check(self, file: &File) -> io::Result<()> {
                let is_it = Self::of(file).is_ok_and(|found| found == self);
                is_it.then_some(()).ok_or(io::Error::from_raw_os_error(libc::EBADF))
            }
        }

        /// Refuses a file of `bytes` bytes where a limit of the process does: the system would end it by a
        /// signal.
        fn allowed(bytes: u64) -> io::Result<()> {
            let mut limit = libc::rlimit {
                rlim_cur: libc::RLIM_INFINITY,
                rlim_max: libc::RLIM_INFINITY,
            };
            // SAFETY: the place is valid; without an answer there is no limit.
            let _ = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) };
            let allowed = i128::from(limit.rlim_cur);
            if limit.rlim_cur != libc::RLIM_INFINITY && i128::from(bytes) > allowed {
                return Err(io::Error::from_raw_os_error(libc::EFBIG));
            }
            Ok(())
        }
    } else {
        /// The system does not give a descriptor away that the library has.
        #[derive(Clone, Copy)]
        struct Identity;

        impl Identity {
            const NONE: Self = Self;

            fn of(_: &File) -> io::Result<Self> {
                Ok(Self)
            }

            fn check(self, _: &File) -> io::Result<()> {
                Ok(())
            }
        }

        fn allowed(_: u64) -> io::Result<()> {
            Ok(())
        }
    }
}
