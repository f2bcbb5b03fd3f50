//! How a connection becomes TLS, and how a client whose handshake fails hears why.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustls::CertificateError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::silent;

/// How long, and for how many bytes, a connection is read from whose handshake has failed.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 * 1024;

/// Makes a connection TLS. Where the client's certificate is refused, the log says why.
///
/// # Errors
/// Where the handshake fails, of which the client has been told, or takes longer than `patience`.
pub(super) async fn accept(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
    patience: Duration,
) -> io::Result<TlsStream<TcpStream>> {
    let accepted = timeout(patience, acceptor.accept(stream).into_fallible()).await;
    let (error, stream) = match accepted.map_err(|_| silent())? {
        Ok(stream) => return Ok(stream),
        Err(failed) => failed,
    };
    if let Some(why) = refused_certificate(&error) {
        tracing::info!(%peer, "client certificate refused: {why}");
    }
    let _ = timeout(LINGER, part(stream)).await;
    Err(error)
}

/// Reads what the client still sends. With TLS 1.3 it has begun its request by the time its certificate is refused, and the system
/// would answer bytes that nobody has read with a reset, which overtakes the alert that says what is wrong.
async fn part(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await?;
    Ok(())
}

fn refused_certificate(error: &io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::NoCertificatesPresented => Some("there is none".to_owned()),
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            Some("none of the authorities in `clientCertificates` has signed it".to_owned())
        }
        rustls::Error::InvalidCertificate(CertificateError::BadSignature) => {
            Some("its signature, or the client's proof that it has the key, is wrong".to_owned())
        }
        rustls::Error::InvalidCertificate(why) => Some(why.to_string()),
        _ => None,
    }
}
