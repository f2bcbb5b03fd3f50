//! Large blobs, pulled and pushed as Docker does it.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Result, ensure};

use crate::content::{session, with_digest};
use crate::peer::Server;

/// How much the client reads at once.
const READ_BYTES: usize = 1024 * 1024;
/// How much Docker writes at once.
const CHUNK_BYTES: usize = 32 * 1024;

/// Pulls a blob and returns its length. Nothing is kept of it, and nothing is computed from it: it is the server that is
/// measured.
pub(crate) fn pull(server: &Server, path: &str) -> Result<usize> {
    let mut stream = TcpStream::connect(server.address)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: registry\r\nConnection: close\r\n\r\n"
    )?;
    let mut buffer = vec![0; READ_BYTES];
    let mut filled = 0;
    let end = loop {
        let read = stream.read(&mut buffer[filled..])?;
        ensure!(read > 0, "the connection ended within the head");
        filled += read;
        if let Some(end) = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    ensure!(
        buffer.starts_with(b"HTTP/1.1 200 "),
        "a pull was answered with {}",
        String::from_utf8_lossy(&buffer[..end])
    );
    let mut length = filled - end;
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(length),
            read => length += read,
        }
    }
}

/// Pushes a blob as Docker does: `POST`, one `PATCH` of unknown length, `PUT`.
pub(crate) fn push(server: &Server, repository: &str, content: &[&[u8]], digest: &str) -> Result<()> {
    let mut connection = server.connect()?;
    let begun = connection.ask("POST", &format!("/v2/{repository}/blobs/uploads/"), &[], b"")?;
    ensure!(begun.status == 202, "an upload was answered with {}", begun.shown());
    let sent = connection.send_chunks(
        "PATCH",
        session(&begun)?,
        content.iter().flat_map(|part| part.chunks(CHUNK_BYTES)),
    )?;
    ensure!(sent.status == 202, "a chunk was answered with {}", sent.shown());
    let put = connection.ask("PUT", &with_digest(session(&sent)?, digest), &[], b"")?;
    ensure!(put.status == 201, "a blob was answered with {}", put.shown());
    Ok(())
}
