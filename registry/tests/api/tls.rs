//! The data port with TLS: who can connect, and what happens when the files change under open connections.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Version;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use registry_config::TlsFiles;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::task::spawn_blocking;
use wharfinger_registry::metrics::Metrics;
use wharfinger_registry::server::Limits;
use wharfinger_registry::tls::{self as registry_tls, Certificates};

use crate::fixture::{Answer, PASSWORD, Registry};
use crate::wire::{Connection, Server, basic, receive};

pub(crate) const NAME: &str = "registry.test";

/// A certificate that is its own authority, and its key.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new([NAME.to_owned()]).unwrap();
        parameters.not_after = date_time_ymd(2040, 1, 1);
        Self {
            certificate: parameters.self_signed(&key).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }

    /// Settings of a client that trusts this certificate alone.
    pub(crate) fn client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&[u8]],
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }

    pub(crate) fn write(&self, directory: &Path) {
        fs::write(directory.join("tls.crt"), &self.certificate).unwrap();
        fs::write(directory.join("tls.key"), &self.key).unwrap();
    }
}

/// A registry with TLS, and the directory of its files.
pub(crate) struct Secured {
    pub(crate) server: Server,
    directory: TempDir,
    certificates: Arc<Certificates>,
    metrics: Metrics,
}

impl Secured {
    pub(crate) async fn start(prepare: impl FnOnce(&Path), limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        prepare(directory.path());
        let files = TlsFiles {
            certificate: directory.path().join("tls.crt"),
            private_key: directory.path().join("tls.key"),
        };
        let registry = Registry::new();
        let metrics = registry.metrics.clone();
        let certificates = Certificates::read(files, metrics.clone());
        tokio::spawn(certificates.clone().follow());
        let server = Server::start_with(registry, Some(registry_tls::Tls::new(certificates.clone())), limits).await;
        Self {
            server,
            directory,
            certificates,
            metrics,
        }
    }

    async fn wait(&self, what: &str, condition: impl Fn() -> bool) {
        let started = Instant::now();
        while !condition() {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "{what}: {:?}",
                self.certificates.status()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether a new connection is shown `pair`'s certificate.
    async fn shows(&self, pair: &Pair) -> bool {
        let (address, client) = (self.server.address, pair.client(&[&TLS13], &[]));
        spawn_blocking(move || dial(address, client).is_ok()).await.unwrap()
    }
}

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

pub(crate) fn dial(address: SocketAddr, client: Arc<ClientConfig>) -> std::io::Result<Tls> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let name = ServerName::try_from(NAME).unwrap();
    let mut tls = StreamOwned::new(ClientConnection::new(client, name).unwrap(), stream);
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock)?;
    }
    Ok(tls)
}

/// Sends HEAD for a path.
pub(crate) fn head(tls: &mut Tls, path: &str, headers: &str) -> Answer {
    tls.write_all(format!("HEAD {path} HTTP/1.1\r\nHost: {NAME}:5443\r\n{headers}\r\n").as_bytes())
        .unwrap();
    receive(&mut BufReader::new(tls), true).unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_tls_serve_and_challenges_name_https() {
    let pair = Pair::new();
    let secured = Secured::start(|path| pair.write(path), Limits::default()).await;
    let address = secured.server.address;
    for (version, protocol) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let client = pair.client(&[version], &[b"http/1.1"]);
        spawn_blocking(move || {
            let mut tls = dial(address, client).unwrap();
            assert_eq!(tls.conn.protocol_version(), Some(protocol));
            assert_eq!(tls.conn.alpn_protocol(), Some(b"http/1.1".as_slice()));
            let refused = head(&mut tls, "/v2/", "");
            assert_eq!(refused.status, 401, "{refused:?}");
            let challenge = refused.header("www-authenticate").unwrap();
            assert!(
                challenge.contains("realm=\"https://registry.test:5443/token\""),
                "{challenge}"
            );
            let ok = head(&mut tls, "/v2/", &basic("puller", PASSWORD));
            assert_eq!(ok.status, 200, "{ok:?}");
        })
        .await
        .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_to_new_connections_and_open_ones_go_on() {
    let (old, new) = (Pair::new(), Pair::new());
    let secured = Secured::start(|path| old.write(path), Limits::default()).await;
    let (address, client) = (secured.server.address, old.client(&[&TLS13], &[]));
    let user = basic("puller", PASSWORD);
    let mut open = spawn_blocking(move || dial(address, client).unwrap()).await.unwrap();
    assert_eq!(head(&mut open, "/v2/", &user).status, 200);
    let before = secured.certificates.status().in_use;
    new.write(secured.directory.path());
    secured
        .wait("the new certificate", || secured.certificates.status().in_use != before)
        .await;
    assert!(secured.shows(&new).await && !secured.shows(&old).await);
    assert_eq!(head(&mut open, "/v2/", &user).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_swap_of_a_mounted_secret_is_followed() {
    let (old, new) = (Pair::new(), Pair::new());
    let prepare = |path: &Path| {
        for (name, pair) in [("..1", &old), ("..2", &new)] {
            fs::create_dir(path.join(name)).unwrap();
            pair.write(&path.join(name));
        }
        symlink("..1", path.join("..data")).unwrap();
        symlink("..data/tls.crt", path.join("tls.crt")).unwrap();
        symlink("..data/tls.key", path.join("tls.key")).unwrap();
    };
    let secured = Secured::start(prepare, Limits::default()).await;
    assert!(secured.shows(&old).await);
    let (before, path) = (secured.certificates.status().in_use, secured.directory.path());
    symlink("..2", path.join("..data_tmp")).unwrap();
    fs::rename(path.join("..data_tmp"), path.join("..data")).unwrap();
    secured
        .wait("the swap", || secured.certificates.status().in_use != before)
        .await;
    assert!(secured.shows(&new).await);
    assert_eq!(secured.certificates.status().refused, None);
}

/// Replaces a file in one step. One that is written in place could be read while it is still empty, which is one more refusal.
fn replace(directory: &Path, name: &str, content: &str) {
    let draft = directory.join("draft");
    fs::write(&draft, content).unwrap();
    fs::rename(draft, directory.join(name)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_of_no_use_keeps_the_old_one_and_says_so() {
    let (good, other) = (Pair::new(), Pair::new());
    let secured = Secured::start(|path| good.write(path), Limits::default()).await;
    let path = secured.directory.path();
    let refused = |want: &'static str| {
        let certificates = secured.certificates.clone();
        move || certificates.status().refused.is_some_and(|why| why.contains(want))
    };
    replace(path, "tls.key", &other.key);
    secured
        .wait("another key", refused("does not belong to the certificate"))
        .await;
    replace(path, "tls.crt", "nonsense");
    secured.wait("no certificate", refused("there is no certificate")).await;
    fs::remove_file(path.join("tls.key")).unwrap();
    secured.wait("no key", refused("cannot read")).await;
    assert!(secured.shows(&good).await);
    assert!(
        secured.metrics.text().contains("tls_certificates_refused_total 3"),
        "{}",
        secured.metrics.text()
    );
    assert!(
        secured
            .metrics
            .text()
            .contains("tls_certificate_not_after_seconds 2208988800"),
        "{}",
        secured.metrics.text()
    );
    other.write(path);
    secured
        .wait("a good one", || secured.certificates.status().refused.is_none())
        .await;
    assert!(secured.shows(&other).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_there_is_no_plaintext_instead() {
    let pair = Pair::new();
    let secured = Secured::start(|_| {}, Limits::default()).await;
    assert!(secured.certificates.status().refused.unwrap().contains("cannot read"));
    let address = secured.server.address;
    let plain = move || {
        let mut connection = Connection::open(address);
        connection.write("GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut answer = Vec::new();
        // Nothing, or an alert; the connection may also be reset.
        let _ = connection.stream.read_to_end(&mut answer);
        assert!(!answer.windows(4).any(|window| window == b"HTTP"), "{answer:?}");
    };
    spawn_blocking(plain).await.unwrap();
    assert!(!secured.shows(&pair).await);
    pair.write(secured.directory.path());
    secured
        .wait("the first certificate", || {
            secured.certificates.status().in_use.is_some()
        })
        .await;
    assert!(secured.shows(&pair).await);
    spawn_blocking(plain).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_end_is_given_up() {
    let limits = Limits {
        handshake: Duration::from_millis(300),
        ..Limits::default()
    };
    let pair = Pair::new();
    let secured = Secured::start(|path| pair.write(path), limits).await;
    let address = secured.server.address;
    spawn_blocking(move || {
        for beginning in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
            let mut connection = Connection::open(address);
            let started = Instant::now();
            connection.stream.get_mut().write_all(beginning).unwrap();
            let mut answer = Vec::new();
            let _ = connection.stream.read_to_end(&mut answer);
            let elapsed = started.elapsed();
            assert!(
                elapsed > Duration::from_millis(250) && elapsed < Duration::from_secs(10),
                "{elapsed:?}"
            );
        }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_chosen_by_those_who_offer_it() {
    let pair = Pair::new();
    let secured = Secured::start(|path| pair.write(path), Limits::default()).await;
    let stream = tokio::net::TcpStream::connect(secured.server.address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(pair.client(&[&TLS13], &[b"h2", b"http/1.1"]));
    let stream = connector
        .connect(ServerName::try_from(NAME).unwrap(), stream)
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://registry.test:5443/v2/").body(()).unwrap();
    let response = client.send_request(request, true).unwrap().0.await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (401, Version::HTTP_2));
    let challenge = response.headers()["www-authenticate"].to_str().unwrap();
    assert!(
        challenge.contains("realm=\"https://registry.test:5443/token\""),
        "{challenge}"
    );
}
