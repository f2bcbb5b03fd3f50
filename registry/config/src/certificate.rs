//! A certificate and its private key, as the files of a TLS Secret hold them. The operator and the registry call the
//! same function, so that what the one calls usable is used by the other.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate with its chain and the private key that belongs to it, ready to be shown to clients.
#[derive(Clone)]
pub struct TlsPair {
    /// The chain and the key.
    pub key: Arc<CertifiedKey>,
    /// What the certificate says.
    pub certificate: Certificate,
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The host names and addresses that it is for (subjectAltName). Clients do not look at the common name.
    pub names: Vec<String>,
    /// From when on it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// SHA-256 of the certificate, in hex.
    pub fingerprint: String,
}

/// Why a certificate and a key are of no use. No text shows any of the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTlsPair {
    /// There is no certificate.
    #[error("there is no certificate: PEM begins with `-----BEGIN CERTIFICATE-----`")]
    NoCertificate,
    /// The certificate cannot be read.
    #[error("the certificate cannot be read: {0}")]
    Certificate(String),
    /// There is no private key.
    #[error("there is no private key: PEM begins with `-----BEGIN PRIVATE KEY-----`, and the key is not encrypted")]
    NoKey,
    /// The private key cannot be used.
    #[error(
        "the private key cannot be used: it is not RSA (2048 to 8192 bits), ECDSA (P-256, P-384, P-521) or Ed25519"
    )]
    Key,
    /// The key is that of another certificate.
    #[error("the private key does not belong to the certificate; the first certificate must be the server's own")]
    Mismatch,
}

impl TlsPair {
    /// Reads a certificate, the server's own first and then those that lead to its authority, and its private key.
    ///
    /// Whether the certificate is valid now, and for which names, is not judged here.
    ///
    /// # Errors
    /// Where no client could be served with the two.
    pub fn parse(certificate: &[u8], key: &[u8]) -> Result<Self, InvalidTlsPair> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<_, _>>()
            .map_err(|error| InvalidTlsPair::Certificate(error.to_string()))?;
        let first = chain.first().ok_or(InvalidTlsPair::NoCertificate)?;
        let facts = Certificate::read(first)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            pem::Error::NoItemsFound => InvalidTlsPair::NoKey,
            _ => InvalidTlsPair::Key,
        })?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => InvalidTlsPair::Mismatch,
            _ => InvalidTlsPair::Key,
        })?;
        Ok(Self {
            key: Arc::new(key),
            certificate: facts,
        })
    }
}

impl Certificate {
    fn read(der: &[u8]) -> Result<Self, InvalidTlsPair> {
        let unreadable = |what: &dyn fmt::Display| InvalidTlsPair::Certificate(what.to_string());
        let (_, parsed) = X509Certificate::from_der(der).map_err(|error| unreadable(&error))?;
        let alternative = parsed.subject_alternative_name().map_err(|error| unreadable(&error))?;
        let names = alternative.map(|names| names.value.general_names.iter().filter_map(name).collect());
        let time = |seconds| Timestamp::from_second(seconds).map_err(|error| unreadable(&error));
        Ok(Self {
            names: names.unwrap_or_default(),
            not_before: time(parsed.validity().not_before.timestamp())?,
            not_after: time(parsed.validity().not_after.timestamp())?,
            fingerprint: hex::encode(Sha256::digest(der)),
        })
    }

    /// Whether clients accept the certificate for `host`, a name or an address: by its own name or by a `*` in place of
    /// the first label.
    pub fn covers(&self, host: &str) -> bool {
        let wildcard = host.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        self.names.iter().any(|name| {
            name.eq_ignore_ascii_case(host)
                || wildcard
                    .as_ref()
                    .is_some_and(|wildcard| name.eq_ignore_ascii_case(wildcard))
        })
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match *bytes {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(*a, *b, *c, *d).to_string()),
            bytes => <[u8; 16]>::try_from(bytes)
                .ok()
                .map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()),
        },
        _ => None,
    }
}

impl fmt::Debug for TlsPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsPair")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};

    use super::*;

    fn pair(names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn a_pair_that_belongs_together_is_taken_with_its_names_and_end() {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut parameters = CertificateParams::new([
            "a.example".to_owned(),
            "*.b.example".to_owned(),
            "192.0.2.1".to_owned(),
            "2001:db8::1".to_owned(),
        ])
        .unwrap();
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2030, 2, 3);
        let certificate = parameters.self_signed(&key).unwrap();
        let pair = TlsPair::parse(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        let facts = &pair.certificate;
        assert_eq!(facts.names, ["a.example", "*.b.example", "192.0.2.1", "2001:db8::1"]);
        assert_eq!(facts.not_before.to_string(), "2020-01-01T00:00:00Z");
        assert_eq!(facts.not_after.to_string(), "2030-02-03T00:00:00Z");
        for (host, covered) in [
            ("a.example", true),
            ("A.Example", true),
            ("x.a.example", false),
            ("x.b.example", true),
            ("b.example", false),
            ("x.y.b.example", false),
            ("192.0.2.1", true),
            ("2001:db8::1", true),
            ("192.0.2.2", false),
        ] {
            assert_eq!(facts.covers(host), covered, "{host}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_is_wrong_and_nothing_of_the_key() {
        let (certificate, key) = pair(&["a.example"]);
        let (_, other) = pair(&["a.example"]);
        let broken = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", "AAAA");
        let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for (certificate, key, want) in [
            ("", key.as_str(), "there is no certificate"),
            (key.as_str(), key.as_str(), "there is no certificate"),
            (broken.as_str(), key.as_str(), "the certificate cannot be read"),
            (certificate.as_str(), "", "there is no private key"),
            (certificate.as_str(), certificate.as_str(), "there is no private key"),
            (certificate.as_str(), no_key, "the private key cannot be used"),
            (
                certificate.as_str(),
                other.as_str(),
                "does not belong to the certificate",
            ),
        ] {
            let error = TlsPair::parse(certificate.as_bytes(), key.as_bytes())
                .unwrap_err()
                .to_string();
            assert!(error.contains(want), "{want}: {error}");
        }
        let pair = TlsPair::parse(certificate.as_bytes(), key.as_bytes()).unwrap();
        assert!(!format!("{pair:?}").contains("PRIVATE"));
    }
}
