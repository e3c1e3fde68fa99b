//! A server of the files below a directory, over HTTP.
//!
//! `cargo run -p drystone-pool --example file_server -- docs 127.0.0.1:8080`, then
//! `curl http://127.0.0.1:8080/ARCHITECTURE.md`.
//!
//! A file is read into several buffers of a pool with one call and written from them with one call;
//! the header travels in front of the first of them as one more chunk of the rope. A request that
//! finds the pool empty is told to come back, with status 503, instead of taking more memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IoSlice, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::thread;

use drystone_pool::{BufferPool, BufferPoolConfig, IoBufs, IoBufsMut, PoolError};

/// One buffer of the pool.
const BUFFER_BYTES: usize = 64 * 1024;
/// How many of them one request reads into at a time.
const BUFFERS: usize = 4;
/// All buffers together.
const CEILING_BYTES: usize = 8 * 1024 * 1024;
/// The longest request line that is read.
const REQUEST_BYTES_MAX: u64 = 4096;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let root = PathBuf::from(args.next().unwrap_or_else(|| ".".into()));
    let address = args.next().unwrap_or_else(|| "127.0.0.1:8080".into());
    let listener = TcpListener::bind(address)?;
    let config = BufferPoolConfig::for_network()
        .with_min_size(BUFFER_BYTES)
        .with_max_size(BUFFER_BYTES)
        .with_budget_bytes(CEILING_BYTES);
    println!(
        "serving {} on http://{}/, at most {CEILING_BYTES} bytes of buffers",
        root.display(),
        listener.local_addr()?
    );
    serve(&listener, &root, &BufferPool::new(config)?)?;
    Ok(())
}

/// Serves the files below `root` until accepting fails, each request on a thread of its own.
pub fn serve(listener: &TcpListener, root: &Path, pool: &BufferPool) -> io::Result<()> {
    let root = root.canonicalize()?;
    loop {
        let (socket, peer) = listener.accept()?;
        let (root, pool) = (root.clone(), pool.clone());
        thread::spawn(move || {
            if let Err(error) = answer(socket, &root, &pool) {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

/// Answers one request and closes the connection.
fn answer(mut socket: TcpStream, root: &Path, pool: &BufferPool) -> io::Result<()> {
    let request = read_request(&socket)?;
    let mut words = request.split_whitespace();
    let file = match (words.next(), words.next()) {
        (Some("GET"), Some(path)) => open_below(root, path),
        (Some(_), Some(_)) => return refuse(&mut socket, "405 Method Not Allowed"),
        _ => return refuse(&mut socket, "400 Bad Request"),
    };
    let Some(mut file) = file else {
        return refuse(&mut socket, "404 Not Found");
    };
    let Ok(buffers) = buffers(pool) else {
        return refuse(&mut socket, "503 Service Unavailable\r\nRetry-After: 1");
    };
    send(&mut socket, &mut file, buffers, pool)
}

/// The request line. The header lines are read and ignored.
fn read_request(socket: &TcpStream) -> io::Result<String> {
    let mut lines = BufReader::new(io::Read::take(socket, REQUEST_BYTES_MAX)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    Ok(request)
}

/// The file that `path` names, if it is one and lies below `root`.
fn open_below(root: &Path, path: &str) -> Option<File> {
    let path = Path::new(path.trim_start_matches('/'));
    let plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if !plain {
        return None;
    }
    // A link may lead out of the directory.
    let path = root.join(path).canonicalize().ok()?;
    let file = File::open(path.starts_with(root).then_some(path)?).ok()?;
    file.metadata().ok()?.is_file().then_some(file)
}

/// Buffers for one turn of reading: all of them, or none.
fn buffers(pool: &BufferPool) -> Result<IoBufsMut, PoolError> {
    (0..BUFFERS).map(|_| pool.try_alloc(BUFFER_BYTES)).collect()
}

/// Sends `file`, turn by turn. Buffers for the next turn are those of the last, for every view of
/// them is gone by then.
fn send(
    socket: &mut TcpStream,
    file: &mut File,
    mut buffers: IoBufsMut,
    pool: &BufferPool,
) -> io::Result<()> {
    let mut left = file.metadata()?.len();
    let header = format!("HTTP/1.1 200 OK\r\nContent-Length: {left}\r\nConnection: close\r\n\r\n");
    let mut rope = IoBufs::from(header.into_bytes());
    loop {
        buffers.read_vectored_from(file)?;
        let mut turn = buffers.freeze();
        // No more than was announced, should the file have grown meanwhile.
        let wanted = usize::try_from(left).map_or(turn.len(), |left| left.min(turn.len()));
        let turn = turn.split_to(wanted);
        left -= wanted as u64;
        rope.extend(turn);
        write_all(socket, &mut rope)?;
        match (left, wanted) {
            (0, _) => return Ok(()),
            (_, 0) => return Err(io::Error::other("the file became shorter")),
            _ => buffers = self::buffers(pool)?,
        }
    }
}

/// Writes all of `rope`, as many chunks with one call as the system takes.
fn write_all(socket: &mut TcpStream, rope: &mut IoBufs) -> io::Result<()> {
    while !rope.is_empty() {
        let mut slices = [IoSlice::new(&[]); BUFFERS + 1];
        let filled = rope.io_slices(&mut slices);
        let written = socket.write_vectored(&slices[..filled])?;
        rope.advance(written);
    }
    Ok(())
}

fn refuse(socket: &mut TcpStream, status: &str) -> io::Result<()> {
    let status_line =
        format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    socket.write_all(status_line.as_bytes())
}
