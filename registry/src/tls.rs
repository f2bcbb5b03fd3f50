//! The certificate of the data port: read from its files, replaced while connections go on, kept where the new one is of
//! no use.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use registry_config::{Certificate, ClientVerifier, TlsFiles, TlsPair};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use tokio_rustls::TlsAcceptor;

use crate::metrics::Metrics;
use crate::watch::Watch;

/// The name of HTTP/2 in the negotiation of a protocol (RFC 7301).
pub(crate) const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

/// The certificate that clients are shown, if there is one. Without one every handshake fails: there is no plaintext
/// instead.
pub struct Certificates {
    files: TlsFiles,
    current: ArcSwapOption<CertifiedKey>,
    status: Mutex<TlsStatus>,
    metrics: Metrics,
}

/// What is to be said about the certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsStatus {
    /// The certificate in use.
    pub in_use: Option<Certificate>,
    /// Why what the files hold now is not in use, where it is not.
    pub refused: Option<String>,
}

impl Certificates {
    /// Reads the files. Where they cannot be used, that is logged and said in the status, and [`Certificates::follow`]
    /// goes on from there.
    pub fn read(files: TlsFiles, metrics: Metrics) -> Arc<Self> {
        let certificates = Self {
            files,
            current: ArcSwapOption::empty(),
            status: Mutex::default(),
            metrics,
        };
        certificates.reload();
        Arc::new(certificates)
    }

    /// Takes over each later version of the files, for as long as the process runs.
    pub async fn follow(self: Arc<Self>) {
        let TlsFiles {
            certificate,
            private_key,
        } = &self.files;
        let mut watch = Watch::new(vec![certificate.clone(), private_key.clone()]);
        watch.changed().await;
        loop {
            // Also after the first look: the files may have changed since they were read.
            self.reload();
            watch.changed().await;
        }
    }

    /// What is to be said about the certificate.
    pub fn status(&self) -> TlsStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn reload(&self) {
        let pair = pair(&self.files);
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        match pair {
            Ok(TlsPair { key, certificate }) => {
                status.refused = None;
                if status.in_use.as_ref() == Some(&certificate) {
                    return;
                }
                tracing::info!(
                    fingerprint = certificate.fingerprint,
                    names = ?certificate.names,
                    not_after = %certificate.not_after,
                    "TLS certificate in use"
                );
                self.metrics.certificate_accepted(certificate.not_after);
                self.current.store(Some(key));
                status.in_use = Some(certificate);
            }
            Err(why) => {
                if status.refused.as_ref() == Some(&why) {
                    return;
                }
                let kept = if status.in_use.is_some() {
                    "the previous one stays in use"
                } else {
                    "nobody can connect"
                };
                tracing::error!("the TLS certificate is refused, {kept}: {why}");
                self.metrics.certificate_refused();
                status.refused = Some(why);
            }
        }
    }
}

/// Makes connections TLS 1.2 or 1.3, with HTTP/2 and HTTP/1.1 on offer, and asks clients for certificates where the access
/// document in force says so.
pub struct Tls {
    certificates: Arc<Certificates>,
    /// The acceptor made last, and what it asks for.
    made: Mutex<Option<(Asked, TlsAcceptor)>>,
}

/// The authorities that clients' certificates are asked from, and whether there must be one.
type Asked = Option<([u8; 32], bool)>;

impl Tls {
    /// TLS with these certificates.
    pub fn new(certificates: Arc<Certificates>) -> Self {
        Self {
            certificates,
            made: Mutex::default(),
        }
    }

    /// What accepts a connection now.
    ///
    /// # Errors
    /// Where the versions do not fit the cryptography that was compiled in; never, in practice.
    pub fn acceptor(&self, verifier: Option<&ClientVerifier>) -> Result<TlsAcceptor, rustls::Error> {
        let asked = verifier.map(|verifier| (verifier.digest(), verifier.is_required()));
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, acceptor)) = made.as_ref().filter(|(known, _)| *known == asked) {
            return Ok(acceptor.clone());
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            rustls::ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13, &TLS12])?;
        let builder = match verifier.and_then(ClientVerifier::handshake) {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        // Sessions that could be resumed are those of one configuration, so none outlives the authorities that it was begun with.
        let mut config = builder.with_cert_resolver(self.certificates.clone());
        config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        *made = Some((asked, acceptor.clone()));
        Ok(acceptor)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load_full()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// Reads a certificate and its key from their files.
///
/// # Errors
/// In words: what cannot be read or used, and of which file.
pub(crate) fn pair(files: &TlsFiles) -> Result<TlsPair, String> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()));
    let (certificate, key) = (read(&files.certificate)?, read(&files.private_key)?);
    TlsPair::parse(&certificate, &key).map_err(|error| {
        format!(
            "`{}` and `{}`: {error}",
            files.certificate.display(),
            files.private_key.display()
        )
    })
}
