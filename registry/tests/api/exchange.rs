//! One request and its answer as bytes on the wire, on a connection of their own: TCP or TLS, and whatever method.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, StatusCode};
use rustls::ClientConfig;
use tokio::task::spawn_blocking;

use crate::fixture::{Answer, Call};
use crate::tls::dial;

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
    let status = line(&mut stream)?;
    let status = StatusCode::from_bytes(status.split(' ').nth(1).unwrap().as_bytes()).unwrap();
    let mut headers = HeaderMap::new();
    loop {
        let line = line(&mut stream)?;
        let Some((name, value)) = line.split_once(": ") else {
            break;
        };
        headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    let mut body = vec![0; length(call.0.method(), &headers)];
    stream.read_exact(&mut body)?;
    Ok(Answer {
        status,
        headers,
        body: body.into(),
    })
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

fn line(stream: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

/// The answer to HEAD has the length of a body that does not come.
fn length(method: &Method, headers: &HeaderMap) -> usize {
    if method == Method::HEAD {
        return 0;
    }
    assert!(!headers.contains_key("transfer-encoding"), "{headers:?}");
    let length = headers.get("content-length");
    length.map_or(0, |length| length.to_str().unwrap().parse().unwrap())
}
