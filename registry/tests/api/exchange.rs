//! One request and its answer as bytes on the wire, on a connection of their own: TCP or TLS, and whatever method.

use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use rustls::ClientConfig;
use tokio::task::spawn_blocking;

use crate::fixture::{Answer, Call};
use crate::tls::dial;
use crate::wire::receive;

/// Sends a request to a registry that listens without TLS.
pub(crate) async fn plain(address: SocketAddr, call: Call) -> Answer {
    let exchanged = spawn_blocking(move || {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        exchange(stream, &call)
    });
    exchanged.await.unwrap().unwrap()
}

/// Sends a request to a registry with TLS; `None` where there is no connection that a request could be answered on.
pub(crate) async fn secured(address: SocketAddr, client: Arc<ClientConfig>, call: Call) -> Option<Answer> {
    let exchanged = spawn_blocking(move || exchange(dial(address, client)?, &call));
    // With TLS 1.3 the handshake is over for the client before it was refused.
    exchanged.await.unwrap().ok()
}

fn exchange(stream: impl Read + Write, call: &Call) -> std::io::Result<Answer> {
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(&written(call))?;
    let answer = receive(&mut stream, call.0.method() == Method::HEAD)?;
    answer.ok_or_else(|| ErrorKind::UnexpectedEof.into())
}

fn written(call: &Call) -> Bytes {
    let request = &call.0;
    let (method, uri, body) = (request.method(), request.uri(), request.body());
    let length = body.len();
    let mut text = format!("{method} {uri} HTTP/1.1\r\nconnection: close\r\ncontent-length: {length}\r\n").into_bytes();
    for (name, value) in request.headers() {
        text.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    text.extend([b"\r\n", &body[..]].concat());
    text.into()
}
