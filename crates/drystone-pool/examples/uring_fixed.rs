//! Copies a file with io_uring through buffers that the kernel knows beforehand.
//!
//! `cargo run -p drystone-pool --features io-uring --example uring_fixed -- from to`
//!
//! The regions of the pool are registered once, as they are; every buffer is a part of one, so each
//! request names the region's index and an address ([`FixedBuffers`](drystone_pool::FixedBuffers) knows
//! both), and the kernel neither looks pages up nor pins them. Where the kernel refuses the ring or the registration (no io_uring, a filter, the limit on
//! locked memory), one line says so and the copy is made with plain reads and writes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use drystone_pool::{BufferPool, BufferPoolConfig};

/// One buffer.
const BUFFER_BYTES: usize = 128 * 1024;
/// How many requests are under way at a time, each with a buffer.
const DEPTH: u32 = 8;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let (Some(from), Some(to), None) = (args.next(), args.next(), args.next()) else {
        return Err("usage: uring_fixed FROM TO".into());
    };
    let copied = copy(from.as_ref(), to.as_ref(), DEPTH, &mut io::stdout())?;
    let way = if copied.fixed {
        "through registered buffers"
    } else {
        "with plain reads and writes"
    };
    println!("{} bytes copied {way}", copied.bytes);
    Ok(())
}

/// What a copy did.
#[derive(Debug)]
pub struct Copied {
    /// The length of both files.
    pub bytes: u64,
    /// Whether it went through registered buffers.
    pub fixed: bool,
}

/// Copies `from` to `to`, which is made or replaced, with up to `depth` requests under way. Says in
/// `notes` if it is done another way.
///
/// # Errors
///
/// What opening, reading and writing say; and a pool that cannot be had.
pub fn copy(from: &Path, to: &Path, depth: u32, notes: &mut dyn Write) -> io::Result<Copied> {
    let mut from = File::open(from)?;
    // Cut at the end, so that a file is a copy of itself.
    let mut to = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(to)?;
    let config = BufferPoolConfig::for_storage()
        .with_min_size(BUFFER_BYTES)
        .with_max_size(BUFFER_BYTES)
        .with_max_per_class(DEPTH)
        .with_prefill(true);
    let pool = BufferPool::new(config)?;
    match fixed::Registered::new(&pool, depth) {
        Ok(registered) => {
            let bytes = from.metadata()?.len();
            registered.copy(&pool, &from, &to, bytes)?;
            to.set_len(bytes)?;
            Ok(Copied { bytes, fixed: true })
        }
        Err(refusal) => {
            writeln!(notes, "{refusal}; using plain reads and writes instead")?;
            let bytes = copy_plainly(&pool, &mut from, &mut to)?;
            to.set_len(bytes)?;
            Ok(Copied {
                bytes,
                fixed: false,
            })
        }
    }
}

fn copy_plainly(pool: &BufferPool, from: &mut File, to: &mut File) -> io::Result<u64> {
    let mut buf = pool.try_alloc_zeroed(BUFFER_BYTES)?;
    let mut bytes = 0;
    loop {
        let read = from.read(&mut buf)?;
        if read == 0 {
            return Ok(bytes);
        }
        to.write_all(&buf[..read])?;
        bytes += read as u64;
    }
}

#[cfg(target_os = "linux")]
mod fixed {
    use std::fs::File;
    use std::io;
    use std::mem;
    use std::os::fd::AsRawFd;

    use drystone_pool::{BufferPool, FixedBuffers, IoBufMut};
    use io_uring::{IoUring, squeue, types};

    use super::BUFFER_BYTES;

    /// A ring that knows a pool's regions.
    pub(super) struct Registered {
        // Before the regions: the kernel lets go of them when the ring closes.
        ring: IoUring,
        fixed: FixedBuffers,
        depth: u32,
    }

    impl Registered {
        /// # Errors
        ///
        /// Why the kernel refuses, in words.
        pub(super) fn new(pool: &BufferPool, depth: u32) -> Result<Self, String> {
            let ring = IoUring::new(depth)
                .map_err(|error| format!("no io_uring for {depth} requests ({error})"))?;
            // SAFETY: the value goes with the ring, and after it.
            let fixed =
                unsafe { FixedBuffers::register(pool.registered_regions(), &ring.submitter()) };
            let fixed = fixed.map_err(|error| error.to_string())?;
            Ok(Self { ring, fixed, depth })
        }

        /// Copies the first `end` bytes of `from` to `to`.
        pub(super) fn copy(
            mut self,
            pool: &BufferPool,
            from: &File,
            to: &File,
            end: u64,
        ) -> io::Result<()> {
            let mut jobs = self.jobs(pool);
            match self.drive(&mut jobs, from, to, end) {
                Ok(copied) => copied,
                Err(lost) => {
                    // The kernel may still use the buffers: they stay out of the pool for good.
                    mem::forget((jobs, self));
                    Err(lost)
                }
            }
        }

        /// Keeps every job busy until all chunks are copied or one has failed, and no request is under
        /// way any more.
        ///
        /// # Errors
        ///
        /// The ring does not answer. Within: the first request that failed.
        fn drive(
            &mut self,
            jobs: &mut [Job],
            from: &File,
            to: &File,
            end: u64,
        ) -> io::Result<io::Result<()>> {
            let mut chunks = Chunks { next: 0, end };
            let mut under_way = 0;
            for (index, job) in jobs.iter_mut().enumerate() {
                if chunks.give_to(job) {
                    self.push(job.request(&self.fixed, from, to)?, index)?;
                    under_way += 1;
                }
            }
            let mut outcome = Ok(());
            while under_way > 0 {
                self.wait()?;
                let ended: Vec<_> = self.ring.completion().collect();
                for entry in ended {
                    let index = entry.user_data() as usize;
                    let job = &mut jobs[index];
                    let goes_on = match job.advance(entry.result()) {
                        Ok(Step::SameChunk) => outcome.is_ok(),
                        Ok(Step::NextChunk) => outcome.is_ok() && chunks.give_to(job),
                        Err(error) => {
                            outcome = outcome.and(Err(error));
                            false
                        }
                    };
                    if goes_on {
                        self.push(job.request(&self.fixed, from, to)?, index)?;
                    } else {
                        under_way -= 1;
                    }
                }
            }
            Ok(outcome)
        }

        /// As many jobs as the ring takes and the pool has buffers for.
        fn jobs(&self, pool: &BufferPool) -> Vec<Job> {
            let bufs = (0..self.depth).map_while(|_| pool.try_alloc(BUFFER_BYTES).ok());
            bufs.map(Job::new).collect()
        }

        /// Puts a request of `jobs[index]` in the queue, which has room for one of each.
        fn push(&mut self, request: squeue::Entry, index: usize) -> io::Result<()> {
            let request = request.user_data(index as u64);
            // SAFETY: the files and the job's buffer live until the request has ended, and nobody
            // else touches the buffer meanwhile.
            unsafe { self.ring.submission().push(&request) }.map_err(io::Error::other)
        }

        fn wait(&mut self) -> io::Result<()> {
            loop {
                match self.ring.submit_and_wait(1) {
                    Ok(_) => return Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// The part of the file that nobody copies yet.
    struct Chunks {
        next: u64,
        end: u64,
    }

    impl Chunks {
        /// Gives the next chunk to `job`, if there is one.
        fn give_to(&mut self, job: &mut Job) -> bool {
            let len = (self.end - self.next).min(BUFFER_BYTES as u64);
            job.begin(self.next, len as usize);
            self.next += len;
            len > 0
        }
    }

    /// A buffer and the chunk that goes through it: first read, then written.
    struct Job {
        buf: IoBufMut,
        offset: u64,
        len: usize,
        written: usize,
        writing: bool,
    }

    enum Step {
        SameChunk,
        NextChunk,
    }

    impl Job {
        fn new(buf: IoBufMut) -> Self {
            Self {
                buf,
                offset: 0,
                len: 0,
                written: 0,
                writing: false,
            }
        }

        fn begin(&mut self, offset: u64, len: usize) {
            self.buf.clear();
            (self.offset, self.len) = (offset, len);
            (self.written, self.writing) = (0, false);
        }

        /// What is still to be done with the chunk.
        fn request(
            &mut self,
            fixed: &FixedBuffers,
            from: &File,
            to: &File,
        ) -> io::Result<squeue::Entry> {
            let request = if self.writing {
                let offset = self.offset + self.written as u64;
                let rest = &self.buf[self.written..];
                fixed.write_fixed(types::Fd(to.as_raw_fd()), rest, offset)
            } else {
                let read = self.buf.len();
                let offset = self.offset + read as u64;
                let room = &mut self.buf.spare_capacity_mut()[..self.len - read];
                fixed.read_fixed(types::Fd(from.as_raw_fd()), room, offset)
            };
            request.ok_or_else(|| io::Error::other("a buffer outside the registered regions"))
        }

        /// Takes the result of a request in.
        fn advance(&mut self, result: i32) -> io::Result<Step> {
            match usize::try_from(result) {
                Ok(0) if self.writing => return Err(io::ErrorKind::WriteZero.into()),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(bytes) if self.writing => self.written += bytes,
                Ok(bytes) => {
                    let read = self.buf.len() + bytes;
                    // SAFETY: the kernel wrote that many bytes into the room that it was given.
                    unsafe { self.buf.set_len(read) };
                }
                Err(_) if matches!(-result, libc::EINTR | libc::EAGAIN) => {}
                Err(_) => return Err(io::Error::from_raw_os_error(-result)),
            }
            if self.writing {
                let done = self.written == self.len;
                return Ok(if done {
                    Step::NextChunk
                } else {
                    Step::SameChunk
                });
            }
            self.writing = self.buf.len() == self.len;
            Ok(Step::SameChunk)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod fixed {
    use std::fs::File;
    use std::io;

    use drystone_pool::BufferPool;

    /// Never made.
    pub(super) enum Registered {}

    impl Registered {
        pub(super) fn new(_: &BufferPool, _: u32) -> Result<Self, String> {
            Err("only Linux has io_uring".into())
        }

        pub(super) fn copy(self, _: &BufferPool, _: &File, _: &File, _: u64) -> io::Result<()> {
            match self {}
        }
    }
}
