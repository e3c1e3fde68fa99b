//! Copies a file past the page cache, where the file system can.
//!
//! `cargo run -p drystone-pool --example direct_copy -- from to`
//!
//! Direct I/O needs buffers, offsets and lengths at multiples of the device's blocks. The kernel is
//! asked what they are, the pool is made for them, and the last block is written whole and cut off
//! afterwards. Where a file has no direct I/O, one line says so, and that side goes through the page
//! cache.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use drystone_core::arith;
use drystone_pool::{BufferPool, BufferPoolConfig, DioAlign, DioSource};

/// What one read asks for.
const COPY_BYTES: usize = 1024 * 1024;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let (Some(from), Some(to), None) = (args.next(), args.next(), args.next()) else {
        return Err("usage: direct_copy FROM TO".into());
    };
    let copied = copy(from.as_ref(), to.as_ref(), &mut io::stdout())?;
    println!("{} bytes copied, {}", copied.bytes, copied.way());
    Ok(())
}

/// What a copy did.
#[derive(Debug)]
pub struct Copied {
    /// The length of both files.
    pub bytes: u64,
    /// Whether reading went past the page cache.
    pub direct_read: bool,
    /// Whether writing did.
    pub direct_write: bool,
}

impl Copied {
    fn way(&self) -> &'static str {
        match (self.direct_read, self.direct_write) {
            (true, true) => "past the page cache",
            (true, false) => "read past the page cache, written through it",
            (false, true) => "read through the page cache, written past it",
            (false, false) => "through the page cache",
        }
    }
}

/// Copies `from` to `to`, which is made or replaced. Says in `notes` what is done another way than
/// asked.
///
/// # Errors
///
/// What opening, reading and writing say; and a pool that cannot be had.
pub fn copy(from: &Path, to: &Path, notes: &mut dyn Write) -> io::Result<Copied> {
    let read = OpenOptions::new().read(true).clone();
    // Cut at the end, so that a file is a copy of itself.
    let write = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .clone();
    let mut source = Side::open(from, read, notes)?;
    let mut target = Side::open(to, write, notes)?;

    let align = source.align.memory_bytes().max(target.align.memory_bytes());
    let block = source.align.offset_bytes().max(target.align.offset_bytes());
    let size = COPY_BYTES.max(block).max(align);
    let config = BufferPoolConfig::for_storage()
        .with_min_size(size)
        .with_max_size(size)
        .with_alignment(align.max(DioAlign::FALLBACK_BYTES));
    let pool = BufferPool::new(config)?;

    let mut bytes = 0;
    let mut buf = pool.try_alloc_zeroed(size)?;
    loop {
        let read = fill(&mut source.file, &mut buf, block)?;
        if read == 0 {
            break;
        }
        // The last block is written whole, with whatever follows the file's end in the buffer.
        let whole = read.next_multiple_of(block);
        debug_assert!(!target.direct || target.align.fits(&buf[..whole], bytes));
        target.file.write_all(&buf[..whole])?;
        bytes += read as u64;
        if read < whole {
            break;
        }
    }
    target.file.set_len(bytes)?;
    Ok(Copied {
        bytes,
        direct_read: source.direct,
        direct_write: target.direct,
    })
}

/// Reads until `buf` is full or the file ends. A direct read that stops inside a block has met the
/// end; asking on from there would not be aligned.
fn fill(file: &mut File, buf: &mut [u8], block: usize) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() && arith::is_aligned(filled, block) {
        match file.read(&mut buf[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// A file, and how it is read or written.
struct Side {
    file: File,
    align: DioAlign,
    direct: bool,
}

impl Side {
    /// Opens `path` for direct I/O, or, with a note, without.
    fn open(path: &Path, options: OpenOptions, notes: &mut dyn Write) -> io::Result<Self> {
        let refusal = match direct::open(path, &options) {
            Ok(file) => match DioAlign::of(&file)? {
                align if align.source() != DioSource::Unsupported => {
                    let mut side = Self {
                        file,
                        align,
                        direct: true,
                    };
                    side.file.seek(SeekFrom::Start(0))?;
                    return Ok(side);
                }
                _ => "the file system has none for it".to_owned(),
            },
            Err(error) if direct::is_refusal(&error) => error.to_string(),
            Err(error) => return Err(error),
        };
        writeln!(
            notes,
            "{}: no direct I/O ({refusal}); going through the page cache instead",
            path.display()
        )?;
        Ok(Self {
            file: options.open(path)?,
            align: DioAlign::fallback(),
            direct: false,
        })
    }
}

#[cfg(target_os = "linux")]
mod direct {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::unix::fs::OpenOptionsExt;
    use std::path::Path;

    pub(super) fn open(path: &Path, options: &OpenOptions) -> io::Result<File> {
        options.clone().custom_flags(libc::O_DIRECT).open(path)
    }

    /// Whether opening failed for the flag alone.
    pub(super) fn is_refusal(error: &io::Error) -> bool {
        matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP))
    }
}

#[cfg(not(target_os = "linux"))]
mod direct {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::path::Path;

    pub(super) fn open(_: &Path, _: &OpenOptions) -> io::Result<File> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "only Linux has O_DIRECT",
        ))
    }

    pub(super) fn is_refusal(error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::Unsupported
    }
}
