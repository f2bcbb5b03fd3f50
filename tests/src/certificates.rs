//! Certificates of servers and of clients.

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};

/// A certificate for 127.0.0.1 that vouches for itself, and its key; both in PEM.
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Pair {
    /// Makes one.
    ///
    /// # Errors
    /// Where the system has no random numbers.
    pub fn new() -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        Ok(Self {
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        })
    }

    /// What a Secret with it holds.
    pub fn data(&self) -> Value {
        json!({ "tls.crt": STANDARD.encode(&self.certificate), "tls.key": STANDARD.encode(&self.key) })
    }

    /// A Secret with it.
    pub fn secret(&self, name: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name },
            "type": "kubernetes.io/tls", "data": self.data(),
        })
    }
}

/// An authority of clients' certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// The certificate of a client, its key, and the server's certificate that the client trusts; all in PEM.
pub struct ClientPair {
    /// The client's certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// The server's certificate.
    pub trusted: String,
}

impl Authority {
    /// Makes one of this name.
    ///
    /// # Errors
    /// Where the system has no random numbers.
    pub fn new(name: &str) -> Result<Self> {
        let mut parameters = CertificateParams::new([])?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        Ok(Self(CertifiedIssuer::self_signed(parameters, key)?))
    }

    /// The Secret with the authority's certificate.
    pub fn secret(&self, name: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "labels": { "wharfinger.dev/credential": "true" } },
            "data": { "ca.crt": STANDARD.encode(self.0.pem()) },
        })
    }

    /// A certificate for the client `name`, who trusts `server`.
    ///
    /// # Errors
    /// Where the system has no random numbers.
    pub fn client(&self, name: &str, server: &Pair) -> Result<ClientPair> {
        let mut parameters = CertificateParams::new([format!("{name}.clients.example.com")])?;
        parameters.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.0)?;
        Ok(ClientPair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            trusted: server.certificate.clone(),
        })
    }
}
