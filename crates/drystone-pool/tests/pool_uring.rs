//! Requests for fixed buffers, and what they do where the kernel has io_uring.
#![cfg(all(feature = "io-uring", target_os = "linux", not(miri), not(loom)))]

use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use drystone_pool::{BufferPool, BufferPoolConfig, FixedBuffers, IoBufMut};
use io_uring::{IoUring, squeue, types};

const BUFFER_BYTES: usize = 16 * 1024;

fn pool() -> BufferPool {
    let config = BufferPoolConfig::for_storage()
        .with_min_size(BUFFER_BYTES)
        .with_max_size(BUFFER_BYTES)
        .with_max_per_class(4)
        .with_prefill(true);
    BufferPool::new(config).expect("memory for a test")
}

/// A ring; `None`, and a word about it, where the system has none.
fn ring() -> Option<IoUring> {
    IoUring::new(4)
        .inspect_err(|error| eprintln!("not tested, no io_uring here: {error}"))
        .ok()
}

/// Does one request. What it counted.
fn done(ring: &mut IoUring, request: &squeue::Entry) -> io::Result<usize> {
    // SAFETY: the callers keep files and buffers until this returns, which is after the completion.
    unsafe { ring.submission().push(request) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    let result = ring.completion().next().expect("one has ended").result();
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}

fn file(name: &str) -> PathBuf {
    let name = format!("drystone-pool-uring-{name}-{}", std::process::id());
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn parts_of_views_are_read_and_written() -> io::Result<()> {
    let Some(mut ring) = ring() else {
        return Ok(());
    };
    let path = file("parts");
    let file = File::options()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(&path)?;
    let fd = types::Fd(file.as_raw_fd());
    let (first, second) = (pool(), pool());
    let mut regions = second.registered_regions();
    regions.extend(first.registered_regions());
    // SAFETY: the value lives until it is unregistered.
    let fixed = unsafe { FixedBuffers::register(regions, &ring.submitter())? };

    let mut text = first.try_alloc(BUFFER_BYTES)?;
    text.try_put_slice(b"head, body, tail")?;
    let text = text.freeze();
    let request = fixed
        .write_fixed(fd, &text.slice(6..10), 3)
        .expect("registered");
    assert_eq!(done(&mut ring, &request)?, 4);
    assert_eq!(fs::read(&path)?, b"\0\0\0body");

    let mut read = second.try_alloc(BUFFER_BYTES)?;
    read.try_put_slice(b"some")?;
    let request = fixed
        .read_fixed(fd, read.spare_capacity_mut(), 3)
        .expect("registered");
    let count = done(&mut ring, &request)?;
    // SAFETY: the kernel wrote as many behind the four that there were.
    unsafe { read.set_len(4 + count) };
    assert_eq!(read, b"somebody");

    let indices = [fixed.buffer_index(&text), fixed.buffer_index(&read)];
    assert!(indices.iter().all(Option::is_some) && indices[0] != indices[1]);
    fixed.unregister(&ring.submitter())?;
    assert!(fixed.unregister(&ring.submitter()).is_err());
    fs::remove_file(path)
}

#[test]
fn what_the_kernel_writes_is_seen_after_a_trim() -> io::Result<()> {
    let Some(mut ring) = ring() else {
        return Ok(());
    };
    let path = file("trim");
    fs::write(&path, b"content")?;
    let file = File::open(&path)?;
    let pool = pool();
    // The pages are there, so that giving them back would change them.
    drop(pool.try_alloc_zeroed(BUFFER_BYTES)?);
    // SAFETY: the value lives until it is unregistered.
    let fixed = unsafe { FixedBuffers::register(pool.registered_regions(), &ring.submitter())? };
    pool.trim();
    let mut read = pool.try_alloc(BUFFER_BYTES)?;
    let request = fixed
        .read_fixed(types::Fd(file.as_raw_fd()), read.spare_capacity_mut(), 0)
        .expect("registered");
    let count = done(&mut ring, &request)?;
    // SAFETY: the kernel wrote as many.
    unsafe { read.set_len(count) };
    assert_eq!(read, b"content");
    fixed.unregister(&ring.submitter())?;
    fs::remove_file(path)
}

#[test]
fn bytes_outside_the_regions_make_no_request() -> io::Result<()> {
    let Some(ring) = ring() else {
        return Ok(());
    };
    let pool = pool();
    // SAFETY: the value is declared after the ring and nothing is requested; it is unregistered below.
    let fixed = unsafe { FixedBuffers::register(pool.registered_regions(), &ring.submitter())? };
    let fd = types::Fd(0);
    let other = self::pool();
    for mut buf in [
        other.try_alloc_zeroed(8)?,
        IoBufMut::zeroed(8),
        IoBufMut::new(),
    ] {
        assert!(fixed.read_fixed(fd, buf.spare_capacity_mut(), 0).is_none());
        assert!(fixed.write_fixed(fd, &buf, 0).is_none());
        assert!(fixed.write_fixed(types::Fixed(0), &buf, 0).is_none());
    }
    let mut full = pool.try_alloc_zeroed(BUFFER_BYTES)?;
    assert!(fixed.write_fixed(fd, &full, 0).is_some());
    assert!(fixed.read_fixed(fd, full.spare_capacity_mut(), 0).is_none());
    full.clear();
    assert!(fixed.write_fixed(fd, &full, 0).is_none());
    assert!(
        fixed
            .read_fixed(types::Fixed(0), full.spare_capacity_mut(), 0)
            .is_some()
    );
    fixed.unregister(&ring.submitter())
}

#[test]
fn refusals_say_what_was_asked() -> io::Result<()> {
    let Some(ring) = ring() else {
        return Ok(());
    };
    // SAFETY: it fails.
    let none = unsafe { FixedBuffers::register(Vec::new(), &ring.submitter()) };
    assert_eq!(
        none.expect_err("nothing").kind(),
        io::ErrorKind::InvalidInput
    );
    let pool = pool();
    // SAFETY: the value lives until it is unregistered.
    let fixed = unsafe { FixedBuffers::register(pool.registered_regions(), &ring.submitter())? };
    // SAFETY: it fails.
    let twice = unsafe { FixedBuffers::register(pool.registered_regions(), &ring.submitter()) };
    let twice = twice.expect_err("the ring has fixed buffers");
    assert_eq!(twice.kind(), io::ErrorKind::ResourceBusy);
    assert!(
        twice
            .to_string()
            .contains("the ring has fixed buffers already")
    );
    let source = twice
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>());
    assert_eq!(source.and_then(io::Error::raw_os_error), Some(libc::EBUSY));
    fixed.unregister(&ring.submitter())
}
