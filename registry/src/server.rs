//! The data port: accepts connections, speaks HTTP/1.1 on each, and lets requests end when the process is to stop.
//!
//! Time-outs are on silence, never on a request as a whole: a transfer may take as long as it takes, as long as it
//! moves.

mod stall;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};

use crate::service::Service;
use stall::{StallBody, StallIo};

/// How long a connection may be open before its first byte.
const FIRST_BYTE: Duration = Duration::from_secs(10);
/// How long the head of a request may take, and how long a connection may idle before the next.
const HEAD: Duration = Duration::from_secs(60);
/// How long a body, in either direction, may stand still.
const STALL: Duration = Duration::from_secs(60);
/// How much is read of a request before it is passed on: large enough to write in large pieces.
const READ_BUFFER: usize = 512 * 1024;
/// The largest head of a request in bytes: room for a password that is a token itself, and no more.
const LARGEST_HEAD: usize = 64 * 1024;
/// How long to wait when the system has no file descriptors left.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Serves connections until `stop`, then lets the requests that are under way end, for at most `drain`.
pub async fn serve(listener: TcpListener, service: Arc<Service>, stop: impl Future<Output = ()>, drain: Duration) {
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let watcher = graceful.watcher();
                let service = service.clone();
                tokio::spawn(async move {
                    if let Err(error) = connection(stream, peer, service, watcher).await {
                        tracing::debug!(error = error.as_ref() as &dyn std::error::Error, %peer, "connection ended");
                    }
                });
            }
            // The connection was gone before it was accepted, or there is no room for it; neither ends the server.
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(EXHAUSTED).await;
            }
        }
    }
    drop(listener);
    tracing::info!("stopping: waiting for requests under way");
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("stopping although requests are under way");
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    service: Arc<Service>,
    watcher: hyper_util::server::graceful::Watcher,
) -> Result<(), crate::store::BoxError> {
    stream.set_nodelay(true)?;
    let stream = first_byte(stream).await?;
    let respond = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let service = service.clone();
        async move {
            let request = request.map(|body| StallBody::new(body, STALL).boxed_unsync());
            Ok::<_, std::convert::Infallible>(service.respond(request, Some(peer)).await)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(READ_BUFFER)
        .max_header_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(StallIo::new(stream, STALL)), respond);
    Ok(watcher.watch(connection).await?)
}

/// Waits for a connection's first byte. One that says nothing is closed: it has no request that could be answered.
async fn first_byte(stream: TcpStream) -> io::Result<TcpStream> {
    let readable = tokio::time::timeout(FIRST_BYTE, stream.readable()).await;
    readable.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(stream)
}
