//! An HTTP client whose connections are under the test's control: one value is one TCP connection, kept alive.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::certificates::ClientPair;

/// Longest that one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection.
pub struct Connection {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

/// A response that was read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// What a caller shows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing.
    None,
    /// Username and password.
    Basic(String, String),
    /// A token of the registry.
    Bearer(String),
}

impl Credentials {
    /// Username and password.
    pub fn basic(username: &str, password: &str) -> Self {
        Self::Basic(username.into(), password.into())
    }

    /// The header field, where there is one.
    pub fn header(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Basic(username, password) => {
                Some(format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))))
            }
            Self::Bearer(token) => Some(format!("Bearer {token}")),
        }
    }
}

impl Connection {
    /// Opens a connection.
    ///
    /// # Errors
    /// Where nobody listens.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        Self::over(address, async |stream| Ok(stream)).await
    }

    /// Opens a connection over TLS, with the certificate of a client.
    ///
    /// # Errors
    /// Where nobody listens, or the handshake fails.
    pub async fn open_tls(address: SocketAddr, client: &ClientPair) -> Result<Self> {
        let connector = TlsConnector::from(Arc::new(configuration(client)?));
        Self::over(address, async |stream| {
            let name = ServerName::IpAddress(address.ip().into());
            Ok(connector.connect(name, stream).await?)
        })
        .await
    }

    async fn over<S>(address: SocketAddr, wrap: impl AsyncFnOnce(TcpStream) -> Result<S>) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let opened = tokio::time::timeout(PATIENCE, async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = handshake(TokioIo::new(wrap(stream).await?)).await?;
            // It ends with the sender; how it ended shows in the answer to the last request.
            tokio::spawn(connection);
            anyhow::Ok(sender)
        });
        let sender = opened.await.context("no connection in time").and_then(|opened| opened);
        Ok(Self {
            address,
            sender: sender.with_context(|| format!("cannot connect to {address}"))?,
        })
    }

    /// Sends a request on this very connection and reads the answer; never opens another.
    ///
    /// # Errors
    /// Where the connection is gone.
    pub async fn send(&mut self, method: Method, path: &str, who: &Credentials, body: Bytes) -> Result<Answer> {
        self.send_with(method, path, who, &[], body).await
    }

    /// The same with further header fields.
    ///
    /// # Errors
    /// Where the connection is gone.
    pub async fn send_with(
        &mut self,
        method: Method,
        path: &str,
        who: &Credentials,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer> {
        let mut request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header("Host", self.address.to_string());
        if let Some(value) = who.header() {
            request = request.header("Authorization", value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body))?;
        let exchange = async {
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            anyhow::Ok(Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                body: body.collect().await?.to_bytes(),
            })
        };
        let answer = tokio::time::timeout(PATIENCE, exchange)
            .await
            .context("no answer in time")
            .and_then(|answer| answer);
        answer.with_context(|| format!("{method} {path} at {}", self.address))
    }

    /// Sends a GET.
    ///
    /// # Errors
    /// Where the connection is gone.
    pub async fn get(&mut self, path: &str, who: &Credentials) -> Result<Answer> {
        self.send(Method::GET, path, who, Bytes::new()).await
    }

    /// The status of a GET.
    ///
    /// # Errors
    /// Where the connection is gone.
    pub async fn status(&mut self, path: &str, who: &Credentials) -> Result<u16> {
        Ok(self.get(path, who).await?.status)
    }
}

impl Answer {
    /// A header field as text; nothing where there is none.
    pub fn header(&self, name: &str) -> String {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// Where it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("{} is no JSON: {}", self.status, self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// TLS as a client has it that trusts one certificate and shows its own.
fn configuration(client: &ClientPair) -> Result<ClientConfig> {
    let mut trusted = RootCertStore::empty();
    trusted.add(CertificateDer::from_pem_slice(client.trusted.as_bytes())?)?;
    let chain = vec![CertificateDer::from_pem_slice(client.certificate.as_bytes())?];
    let key = PrivateKeyDer::from_pem_slice(client.key.as_bytes())?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(trusted)
        .with_client_auth_cert(chain, key)?)
}
