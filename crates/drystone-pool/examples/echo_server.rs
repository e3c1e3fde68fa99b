//! An echo server whose buffers come from one pool with a ceiling.
//!
//! `cargo run -p drystone-pool --example echo_server -- 127.0.0.1:7777`, then `nc 127.0.0.1 7777`.
//!
//! A connection has a buffer only while there are bytes to echo: it waits for the socket first and
//! for a buffer second, and gives that back if there is nothing to read after all. So idle connections cost
//! no buffers, and when more are busy than the ceiling has buffers for, they take turns instead of taking
//! memory. A peer that does not read its echo keeps the buffer of it.

use std::io;
use std::net::SocketAddr;

use drystone_pool::{BufferPool, BufferPoolConfig};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// What one read asks for.
const READ_BYTES: usize = 16 * 1024;
/// All buffers together.
const CEILING_BYTES: usize = 1024 * 1024;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1);
    let address: SocketAddr = address.as_deref().unwrap_or("127.0.0.1:7777").parse()?;
    let config = BufferPoolConfig::for_network()
        .with_min_size(READ_BYTES)
        .with_max_size(READ_BYTES)
        .with_budget_bytes(CEILING_BYTES);
    let pool = BufferPool::new(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await?;
        println!(
            "echoing on {}, at most {CEILING_BYTES} bytes of buffers",
            listener.local_addr()?
        );
        serve(listener, pool).await
    })?;
    Ok(())
}

/// Echoes on every connection that is made, until accepting fails.
pub async fn serve(listener: TcpListener, pool: BufferPool) -> io::Result<()> {
    loop {
        let (socket, peer) = listener.accept().await?;
        let pool = pool.clone();
        tokio::spawn(async move {
            if let Err(error) = echo(socket, pool).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

/// Echoes until the peer has no more to say.
async fn echo(mut socket: TcpStream, pool: BufferPool) -> io::Result<()> {
    loop {
        socket.readable().await?;
        let mut buf = pool.alloc_async(READ_BYTES).await?;
        // Straight into the buffer's uninitialised room.
        match socket.try_read_buf(&mut buf) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // That it was readable was a guess.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        // The buffer goes back to the pool as its last byte is written.
        socket.write_all_buf(&mut buf.freeze()).await?;
    }
}
