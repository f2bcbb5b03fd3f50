//! The data port: accepts connections, with TLS or without, speaks HTTP/1.1 or HTTP/2 on each, and lets requests end when
//! the process is to stop.
//!
//! Time-outs are on silence, never on a request as a whole: a transfer may take as long as it takes, as long as it
//! moves.

mod handshake;
mod http2;
mod limits;
mod stall;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use registry_config::ClientCertificate;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::body::ResponseBody;
use crate::client::{self, Connection, Scheme};
use crate::concurrency::PerKey;
use crate::service::Service;
use crate::store::BoxError;
use crate::tls::{HTTP_2, Tls};
use http2::{PacedBody, Streams};
pub use limits::Limits;
use stall::{StallBody, StallIo};

/// How much is read of a request before it is passed on: large enough to write in large pieces.
const READ_BUFFER: usize = 512 * 1024;
/// The largest head of a request in bytes: room for a password that is a token itself, and no more.
const LARGEST_HEAD: u16 = u16::MAX;
/// How long to wait when the system has no file descriptors left.
const EXHAUSTED: Duration = Duration::from_millis(100);
/// What an HTTP/2 connection begins with (RFC 9113, section 3.4), as far as no other request does.
const PREFACE: &[u8; 3] = b"PRI";
/// How soon to look again where less than [`PREFACE`] has come, which no client does on purpose.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What the data port needs.
pub struct Server {
    /// Answers the requests.
    pub service: Arc<Service>,
    /// Makes connections TLS; without it they are plain.
    pub tls: Option<Tls>,
    /// How much, and how long.
    pub limits: Limits,
    /// How long requests under way may take to end when the process is to stop.
    pub drain: Duration,
}

/// The version of HTTP on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
}

impl Server {
    /// Serves connections until `stop`, then lets the requests that are under way end.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let server = Arc::new(self);
        let most = server.limits.connections;
        let places = Arc::new(Semaphore::new(most as usize));
        let addresses = PerKey::new(server.limits.connections_per_address);
        let stopping = watch::Sender::new(false);
        let mut stop = pin!(stop);
        loop {
            // Over the limit nothing is refused: clients wait in the system's queue until a connection ends.
            let accepted = tokio::select! {
                accepted = async { (places.clone().acquire_owned().await, listener.accept().await) } => accepted,
                () = &mut stop => break,
            };
            let (place, (stream, peer)) = match accepted {
                (Ok(place), Ok(accepted)) => (place, accepted),
                (_, Err(error)) => {
                    // The connection was gone before it was accepted, or there is no room for it; neither ends the
                    // server.
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(EXHAUSTED).await;
                    continue;
                }
                (Err(_), _) => break,
            };
            let address = peer.ip().to_canonical();
            let place_of_address = addresses.enter(address);
            if place_of_address.is_none() && !server.is_proxy(address) {
                server.service.authenticator.metrics.connection_refused();
                tracing::debug!(%peer, "connection closed: its address has as many as it may have");
                continue;
            }
            let (server, stopping) = (server.clone(), stopping.subscribe());
            tokio::spawn(async move {
                let _places = (place, place_of_address);
                if let Err(error) = server.connection(stream, peer, stopping).await {
                    tracing::debug!(error = error.as_ref() as &dyn std::error::Error, %peer, "connection ended");
                }
            });
        }
        drop(listener);
        tracing::info!("stopping: waiting for requests under way");
        stopping.send_replace(true);
        if timeout(server.drain, places.acquire_many(most)).await.is_err() {
            tracing::warn!("stopping although requests are under way");
        }
    }

    /// Whether many clients come from this address, because a proxy of ours has it.
    fn is_proxy(&self, address: IpAddr) -> bool {
        let snapshot = self.service.authenticator.current.snapshot();
        snapshot.is_some_and(|snapshot| client::is_trusted(&snapshot.access().trusted_proxies, address))
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        stopping: watch::Receiver<bool>,
    ) -> Result<(), BoxError> {
        stream.set_nodelay(true)?;
        let patience = self.limits.handshake;
        let Some(tls) = &self.tls else {
            // One that says nothing is closed: it has no request that could be answered.
            let version = timeout(patience, version(&stream)).await.map_err(|_| silent())??;
            return self
                .speak(stream, version, Connection::new(peer, Scheme::Http), stopping)
                .await;
        };
        let snapshot = self.service.authenticator.current.snapshot();
        let verifier = snapshot
            .as_ref()
            .and_then(|snapshot| snapshot.access().client_verifier.as_ref());
        let acceptor = tls.acceptor(verifier)?;
        let stream = handshake::accept(&acceptor, stream, peer, patience).await?;
        let session = stream.get_ref().1;
        let version = match session.alpn_protocol() {
            Some(HTTP_2) => Version::Http2,
            Some(_) | None => Version::Http1,
        };
        let shown = session.peer_certificates().zip(verifier);
        let certificate = shown.and_then(|(chain, verifier)| ClientCertificate::read(chain, verifier));
        let connection = Connection {
            certificate: certificate.map(Arc::new),
            ..Connection::new(peer, Scheme::Https)
        };
        self.speak(stream, version, connection, stopping).await
    }

    async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self: Arc<Self>,
        stream: S,
        version: Version,
        connection: Connection,
        stopping: watch::Receiver<bool>,
    ) -> Result<(), BoxError> {
        let stream = TokioIo::new(StallIo::new(stream, self.limits.stall));
        match version {
            Version::Http1 => self.http1(stream, connection, stopping).await,
            Version::Http2 => self.http2(stream, connection, stopping).await,
        }
    }

    async fn http1<I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static>(
        self: Arc<Self>,
        stream: I,
        from: Connection,
        stopping: watch::Receiver<bool>,
    ) -> Result<(), BoxError> {
        let idle = self.limits.idle;
        let respond = service_fn(move |request| self.clone().respond(request, from.clone()));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(idle)
            .max_buf_size(READ_BUFFER)
            .max_header_size(usize::from(LARGEST_HEAD))
            .serve_connection(stream, respond);
        let mut connection = pin!(connection);
        tokio::select! {
            result = connection.as_mut() => return Ok(result?),
            () = told(stopping) => {}
        }
        connection.as_mut().graceful_shutdown();
        Ok(connection.await?)
    }

    async fn http2<I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static>(
        self: Arc<Self>,
        stream: I,
        from: Connection,
        stopping: watch::Receiver<bool>,
    ) -> Result<(), BoxError> {
        let Limits {
            stall, idle, handshake, ..
        } = self.limits;
        let streams = Streams::new(stall);
        let respond = service_fn(move |request| {
            let response = self.clone().respond(request, from.clone());
            async move {
                response
                    .await
                    .map(|response| response.map(|body| PacedBody::new(body).boxed_unsync()))
            }
        });
        let connection = http2::builder(streams.clone(), u32::from(LARGEST_HEAD)).serve_connection(stream, respond);
        let mut connection = pin!(connection);
        tokio::select! {
            result = connection.as_mut() => return Ok(result?),
            () = told(stopping) => {}
            () = streams.idle(idle) => {}
        }
        // The client is told that no stream after the last one is looked at, and gets a moment to say that it knows.
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            result = connection.as_mut() => Ok(result?),
            () = streams.idle(handshake) => Ok(()),
        }
    }

    async fn respond(
        self: Arc<Self>,
        request: Request<Incoming>,
        from: Connection,
    ) -> Result<Response<ResponseBody>, Infallible> {
        let request = request.map(|body| StallBody::new(body, self.limits.stall).boxed_unsync());
        Ok(self.service.respond(request, from).await)
    }
}

/// Tells from the first bytes which version a client speaks, without taking them.
async fn version(stream: &TcpStream) -> io::Result<Version> {
    loop {
        let mut first = [0; PREFACE.len()];
        let read = stream.peek(&mut first).await?;
        if read == 0 || !PREFACE.starts_with(&first[..read]) {
            return Ok(Version::Http1);
        }
        if read == PREFACE.len() {
            return Ok(Version::Http2);
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// Completes when the process is to stop.
async fn told(mut stopping: watch::Receiver<bool>) {
    // Without a sender the process has stopped already.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

fn silent() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        "the client said nothing, or did not complete the handshake",
    )
}
