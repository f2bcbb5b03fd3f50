//! A registry with TLS that believes the certificates of one authority, for tests that do not change that.

use std::sync::{Arc, LazyLock};

use registry_config::TlsFiles;
use rustls::ClientConfig;
use serde_json::{Value, json};
use wharfinger_registry::metrics::Metrics;
use wharfinger_registry::server::Limits;
use wharfinger_registry::tls::{Certificates, Tls};

use crate::client_certificates::{self, Authority, Holder};
use crate::fixture::Registry;
use crate::tls::Pair;
use crate::wire::Server;

static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::new);

/// What a registry shows, and what its clients trust.
static SHOWN: LazyLock<(Pair, Arc<Certificates>)> = LazyLock::new(|| {
    let (pair, directory) = (Pair::new(), tempfile::tempdir().unwrap());
    pair.write(directory.path());
    let files = TlsFiles {
        certificate: directory.path().join("tls.crt"),
        private_key: directory.path().join("tls.key"),
    };
    (pair, Certificates::read(files, Metrics::default()))
});

/// What the access document says about certificates of clients.
pub(crate) fn settings() -> Value {
    json!({ "authorities": AUTHORITY.pem(), "mode": "Optional" })
}

/// Lets a registry listen on a port of its own.
pub(crate) async fn start(registry: Arc<Registry>) -> Server {
    Server::start_with(registry, Some(Tls::new(SHOWN.1.clone())), Limits::default()).await
}

/// A client with a certificate whose common name is `name`.
pub(crate) fn client(name: &str) -> Arc<ClientConfig> {
    client_with(Some(&AUTHORITY.issue(name, 2040)))
}

/// A client with this certificate, or with none.
pub(crate) fn client_with(holder: Option<&Holder>) -> Arc<ClientConfig> {
    client_certificates::client(&SHOWN.0, holder)
}

/// A certificate that is over.
pub(crate) fn expired(name: &str) -> Holder {
    AUTHORITY.issue(name, 2020)
}
