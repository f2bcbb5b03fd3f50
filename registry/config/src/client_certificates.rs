//! [`ClientCertificates`]: which certificates of clients are believed, and what they say of their holders.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use registry_policy::Certificate as Facts;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Which certificates of clients are believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientCertificates {
    /// The certificates of the authorities that issue them, in PEM. Empty: nobody's is believed.
    pub authorities: String,
    /// Whether clients must have one. Default `Optional`.
    #[serde(default)]
    pub mode: ClientCertificateMode,
}

/// Whether clients must have a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientCertificateMode {
    /// They may.
    #[default]
    Optional,
    /// A handshake without one fails.
    Required,
}

/// Names the holder of a certificate, by one of the names in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CertificateSubject {
    /// The common name of the subject.
    CommonName(String),
    /// A DNS name among the subject alternative names.
    DnsName(String),
    /// A URI among the subject alternative names.
    Uri(String),
}

/// Believes certificates, by what a document says.
#[derive(Clone)]
pub struct ClientVerifier {
    mode: ClientCertificateMode,
    /// `None` where there is no authority.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    digest: [u8; 32],
}

/// The certificate that a client has shown, and that was believed when it did.
pub struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    /// What it says of its holder.
    pub facts: Facts,
    not_after: Timestamp,
    /// The authorities that have been seen to stand for it.
    believed_by: [u8; 32],
}

/// The certificates of authorities in a text of PEM; at least one.
fn read_authorities(text: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in CertificateDer::pem_slice_iter(text.as_bytes()).enumerate() {
        let number = index + 1;
        let certificate = certificate.map_err(|error| format!("certificate {number} cannot be read: {error}"))?;
        let added = roots.add(certificate);
        added.map_err(|error| format!("certificate {number} cannot be an authority: {error}"))?;
    }
    if roots.is_empty() {
        return Err("there is no certificate: PEM begins with `-----BEGIN CERTIFICATE-----`".to_owned());
    }
    Ok(roots)
}

impl ClientVerifier {
    /// Prepares what a document says.
    ///
    /// # Errors
    /// Where the authorities cannot be read; in words.
    pub fn new(settings: &ClientCertificates) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let digest = Sha256::digest(&settings.authorities).into();
        let mode = settings.mode;
        if settings.authorities.trim().is_empty() {
            let verifier = None;
            return Ok(Self { mode, verifier, digest });
        }
        let roots = read_authorities(&settings.authorities)?;
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = match mode {
            ClientCertificateMode::Optional => builder.allow_unauthenticated(),
            ClientCertificateMode::Required => builder,
        };
        let verifier = builder.build().map_err(|error| error.to_string())?;
        Ok(Self {
            mode,
            verifier: Some(verifier),
            digest,
        })
    }

    /// Whether a text holds certificates of authorities, in PEM.
    ///
    /// # Errors
    /// Why it does not, in words.
    pub fn check_authorities(text: &str) -> Result<(), String> {
        read_authorities(text).map(|_| ())
    }

    /// Whether clients must have a certificate.
    pub fn is_required(&self) -> bool {
        self.mode == ClientCertificateMode::Required
    }

    /// What verifies certificates in a handshake; nothing where no certificate could be believed.
    pub fn handshake(&self) -> Option<Arc<dyn ClientCertVerifier>> {
        self.verifier.clone()
    }

    /// Tells these authorities from others.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Whether a certificate is believed at an instant: connections live longer than authorities and certificates.
    pub fn believes(&self, certificate: &ClientCertificate, now: Timestamp) -> bool {
        if certificate.not_after <= now {
            return false;
        }
        if certificate.believed_by == self.digest {
            return true;
        }
        let (Some(verifier), Some((first, rest))) = (&self.verifier, certificate.chain.split_first()) else {
            return false;
        };
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        verifier.verify_client_cert(first, rest, at).is_ok()
    }
}

impl ClientCertificate {
    /// Reads what a client has shown in a handshake that `verifier` has believed; `None` where it cannot be read.
    pub fn read(chain: &[CertificateDer<'_>], verifier: &ClientVerifier) -> Option<Self> {
        let first = chain.first()?;
        let (_, parsed) = X509Certificate::from_der(first).ok()?;
        let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().ok().map(str::to_owned);
        let alternative = parsed.subject_alternative_name().ok()?;
        let names = || alternative.iter().flat_map(|names| &names.value.general_names);
        let facts = Facts {
            common_names: parsed.subject().iter_common_name().filter_map(text).collect(),
            organizations: parsed.subject().iter_organization().filter_map(text).collect(),
            dns_names: names()
                .filter_map(|name| match name {
                    GeneralName::DNSName(name) => Some((*name).to_owned()),
                    _ => None,
                })
                .collect(),
            uris: names()
                .filter_map(|name| match name {
                    GeneralName::URI(uri) => Some((*uri).to_owned()),
                    _ => None,
                })
                .collect(),
        };
        Some(Self {
            facts,
            not_after: Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()?,
            believed_by: verifier.digest,
            chain: chain
                .iter()
                .map(|certificate| certificate.clone().into_owned())
                .collect(),
        })
    }

    /// The names that an identity may know its holder by.
    pub fn subjects(&self) -> impl Iterator<Item = CertificateSubject> {
        let Facts {
            common_names,
            dns_names,
            uris,
            ..
        } = &self.facts;
        let common_names = common_names.iter().cloned().map(CertificateSubject::CommonName);
        let dns_names = dns_names.iter().cloned().map(CertificateSubject::DnsName);
        common_names
            .chain(dns_names)
            .chain(uris.iter().cloned().map(CertificateSubject::Uri))
    }
}

impl fmt::Debug for ClientVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientVerifier")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate")
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}
