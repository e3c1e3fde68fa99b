//! Each example runs, on a small scale.
#![cfg(all(not(miri), not(loom)))]
#![allow(
    dead_code,
    unreachable_pub,
    reason = "the examples are programs of their own"
)]

#[path = "../examples/direct_copy.rs"]
mod direct_copy;
#[cfg(feature = "bytes")]
#[path = "../examples/echo_server.rs"]
mod echo_server;
#[path = "../examples/file_server.rs"]
mod file_server;
#[cfg(feature = "io-uring")]
#[path = "../examples/uring_fixed.rs"]
mod uring_fixed;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;

use drystone_pool::{BufferPool, BufferPoolConfig, DioAlign, DioSource};

/// A directory for one test, removed at its end.
struct TestDir(PathBuf);

impl TestDir {
    fn new(name: &str) -> Self {
        let name = format!("drystone-pool-{name}-{}", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("a directory for the test");
        Self(path)
    }

    fn file(&self, name: &str, len: usize) -> (PathBuf, Vec<u8>) {
        let content: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let path = self.0.join(name);
        fs::write(&path, &content).expect("a file for the test");
        (path, content)
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        // What a test leaves behind is in cargo's own directory.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn small_pool(bytes: usize, buffers: u32) -> BufferPool {
    let config = BufferPoolConfig::for_network()
        .with_min_size(bytes)
        .with_max_size(bytes)
        .with_max_per_class(buffers);
    BufferPool::new(config).expect("memory for a test")
}

#[cfg(feature = "bytes")]
#[test]
fn the_echo_server_echoes_to_more_clients_than_it_has_buffers_for() {
    let pool = small_pool(16 * 1024, 2);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a runtime");
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .expect("a port");
    let address = listener.local_addr().expect("its address");
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let serving = pool.clone();
    let server = thread::spawn(move || {
        let _server = runtime.spawn(echo_server::serve(listener, serving));
        runtime.block_on(async {
            let waiting = tokio::task::spawn_blocking(move || stopped.recv());
            let _ = waiting.await;
        });
    });
    // They cost no buffers.
    let idle = [(); 6].map(|()| TcpStream::connect(address).expect("a connection"));
    let clients: Vec<_> = (0..8u8)
        .map(|number| {
            thread::spawn(move || {
                let mut socket = TcpStream::connect(address).expect("a connection");
                for length in [1, 20_000, 100_000] {
                    let said = vec![number; length];
                    let mut writer = socket.try_clone().expect("another handle");
                    let words = said.clone();
                    let speaker = thread::spawn(move || writer.write_all(&words));
                    let mut heard = vec![0; length];
                    socket.read_exact(&mut heard).expect("an echo");
                    speaker.join().expect("no panic").expect("all is said");
                    assert!(heard == said, "client {number}, {length} bytes");
                }
            })
        })
        .collect();
    for client in clients {
        client.join().expect("an echo for each");
    }
    drop(idle);
    stop.send(()).expect("the server waits for that");
    server.join().expect("the server ends");
    let both = [pool.try_alloc(1), pool.try_alloc(1)];
    assert!(both.iter().all(Result::is_ok), "buffers are back: {both:?}");
}

/// What the server on `address` answers: the header and the body.
fn request(address: std::net::SocketAddr, line: &str) -> (String, Vec<u8>) {
    let mut socket = TcpStream::connect(address).expect("a connection");
    write!(socket, "{line}\r\nHost: test\r\n\r\n").expect("a server that listens");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("an answer");
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a header");
    let body = answer.split_off(end + 4);
    (String::from_utf8(answer).expect("a header of text"), body)
}

#[test]
fn the_file_server_serves_files_and_nothing_else() {
    let dir = TestDir::new("file-server");
    let (_, small) = dir.file("small.txt", 10);
    let (_, large) = dir.file("large.bin", 700_001);
    dir.file("empty", 0);
    let root = dir.0.clone();
    let pool = small_pool(64 * 1024, 8);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let serving = pool.clone();
    // Ends with the process: it has no reason to stop accepting.
    thread::spawn(move || file_server::serve(&listener, &root, &serving));

    let (header, body) = request(address, "GET /small.txt HTTP/1.1");
    assert!(
        header.starts_with("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n"),
        "{header}"
    );
    assert!(body == small);
    for _ in 0..3 {
        let (header, body) = request(address, "GET /large.bin HTTP/1.1");
        assert!(header.contains("Content-Length: 700001\r\n"), "{header}");
        assert!(body == large);
    }
    assert!(request(address, "GET /empty HTTP/1.1").1.is_empty());

    for (line, status) in [
        ("GET /absent HTTP/1.1", "404"),
        ("GET / HTTP/1.1", "404"),
        ("GET /../Cargo.toml HTTP/1.1", "404"),
        ("GET //etc/hostname HTTP/1.1", "404"),
        ("PUT /small.txt HTTP/1.1", "405"),
        ("nonsense", "400"),
    ] {
        let (header, body) = request(address, line);
        assert!(
            header.starts_with(&format!("HTTP/1.1 {status}")),
            "{line}: {header}"
        );
        assert!(body.is_empty());
    }

    let taken: Vec<_> = (0..8).map_while(|_| pool.try_alloc(1).ok()).collect();
    assert!(taken.len() > 4, "the buffers of ended requests are back");
    let (header, _) = request(address, "GET /small.txt HTTP/1.1");
    assert!(
        header.starts_with("HTTP/1.1 503") && header.contains("Retry-After"),
        "{header}"
    );
    drop(taken);
    assert!(
        request(address, "GET /small.txt HTTP/1.1")
            .0
            .starts_with("HTTP/1.1 200")
    );
}

#[test]
fn files_are_copied_whatever_their_length() {
    let dir = TestDir::new("direct-copy");
    for len in [0, 1, 511, 512, 4096, 4097, 1 << 20, (3 << 20) + 777] {
        let (from, content) = dir.file("from", len);
        let to = dir.0.join("to");
        fs::write(&to, vec![9; len / 2 + 5000]).expect("an old file in the way");
        let mut notes = Vec::new();
        let copied = direct_copy::copy(&from, &to, &mut notes).expect("a copy");
        assert_eq!(copied.bytes, len as u64);
        assert!(fs::read(&to).expect("the copy") == content, "{len} bytes");
        let notes = String::from_utf8(notes).expect("text");
        let refusals = usize::from(!copied.direct_read) + usize::from(!copied.direct_write);
        assert_eq!(notes.lines().count(), refusals, "{notes}");
        assert!(
            notes.lines().all(|note| note.contains("instead")),
            "{notes}"
        );
    }
    let (same, content) = dir.file("same", 5000);
    direct_copy::copy(&same, &same, &mut Vec::new()).expect("a copy of itself");
    assert!(fs::read(&same).expect("still there") == content);
    let absent = direct_copy::copy(&dir.0.join("absent"), &dir.0.join("to"), &mut Vec::new());
    assert_eq!(
        absent.expect_err("nothing to copy").kind(),
        std::io::ErrorKind::NotFound
    );
}

#[cfg(feature = "io-uring")]
#[test]
fn the_ring_copies_files_or_says_why_it_does_not() {
    let dir = TestDir::new("uring-fixed");
    for (len, depth) in [
        (0, 8),
        (1, 8),
        (128 << 10, 1),
        ((5 << 20) + 333, 4),
        (3 << 20, 64),
    ] {
        let (from, content) = dir.file("from", len);
        let to = dir.0.join("to");
        let mut notes = Vec::new();
        let copied = uring_fixed::copy(&from, &to, depth, &mut notes).expect("a copy");
        assert_eq!(copied.bytes, len as u64);
        assert!(fs::read(&to).expect("the copy") == content, "{len} bytes");
        let notes = String::from_utf8(notes).expect("text");
        assert_eq!(notes.lines().count(), usize::from(!copied.fixed), "{notes}");
        print!("{notes}");
    }
    let (same, content) = dir.file("same", 300_000);
    for depth in [8, 0] {
        uring_fixed::copy(&same, &same, depth, &mut Vec::new()).expect("a copy of itself");
        assert!(fs::read(&same).expect("still there") == content);
    }
}

#[cfg(feature = "io-uring")]
#[test]
fn a_ring_that_is_refused_is_done_without() {
    let dir = TestDir::new("uring-refused");
    let (from, content) = dir.file("from", 300_000);
    let to = dir.0.join("to");
    let mut notes = Vec::new();
    // No kernel has a ring for none or so many.
    for depth in [0, u32::MAX] {
        let copied = uring_fixed::copy(&from, &to, depth, &mut notes).expect("a copy");
        assert!(!copied.fixed && copied.bytes == 300_000);
        assert!(fs::read(&to).expect("the copy") == content);
    }
    let notes = String::from_utf8(notes).expect("text");
    assert!(
        notes.lines().all(|note| note.ends_with("instead")),
        "{notes}"
    );
}

/// A file system that has no direct I/O: the copy says so and is made all the same.
#[cfg(target_os = "linux")]
#[test]
fn a_side_without_direct_io_is_named() {
    let dir = TestDir::new("no-direct");
    let to = dir.0.join("status");
    let mut notes = Vec::new();
    let from = std::path::Path::new("/proc/self/status");
    let copied = direct_copy::copy(from, &to, &mut notes).expect("a copy");
    let notes = String::from_utf8(notes).expect("text");
    assert!(!copied.direct_read && copied.bytes > 0);
    assert!(
        notes.contains("/proc/self/status: no direct I/O"),
        "{notes}"
    );
    let copy = fs::read_to_string(&to).expect("the copy");
    assert!(copy.starts_with("Name:") && copy.len() as u64 == copied.bytes);
}

#[test]
fn alignments_of_real_files() {
    let dir = TestDir::new("dio-align");
    let (path, _) = dir.file("file", 10);
    let align = DioAlign::of(&fs::File::open(path).expect("the file")).expect("an answer");
    assert!(align.memory_bytes().is_power_of_two());
    assert!(align.offset_bytes().is_power_of_two());
    if align.source() != DioSource::Reported {
        assert_eq!(align.memory_bytes(), DioAlign::FALLBACK_BYTES);
        assert_eq!(align.offset_bytes(), DioAlign::FALLBACK_BYTES);
    }
    let buf =
        drystone_pool::IoBufMut::zeroed_with_alignment(align.offset_bytes(), align.memory_bytes());
    assert!(align.fits(&buf, 0));
    assert!(align.fits(&buf, align.offset_bytes() as u64));
    assert!(align.offset_bytes() == 1 || !align.fits(&buf, 1));
    assert!(align.memory_bytes() == 1 || !align.fits(&buf[1..], 0));
}
