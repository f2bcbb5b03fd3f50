//! Certificates of clients, on real connections.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use wharfinger_registry::server::Limits;

use crate::fixture::{PASSWORD, content};
use crate::standalone::{Standalone, write_documents};
use crate::tls::{Pair, Secured, Tls, dial, head};
use crate::wire::basic;

/// An authority that issues certificates to clients.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut parameters = CertificateParams::new([]).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, "clients");
        Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate of `name` in the organization `Example`, until the end of a year.
    pub(crate) fn issue(&self, name: &str, year: i32) -> Holder {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new([format!("{name}.clients.example.com")]).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.distinguished_name.push(DnType::OrganizationName, "Example");
        let uri = format!("spiffe://example.com/{name}");
        parameters.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        parameters.not_after = date_time_ymd(year, 12, 31);
        Holder {
            certificate: parameters.signed_by(&key, &self.0).unwrap().der().to_vec(),
            key: key.serialize_pem(),
        }
    }
}

/// A client's certificate and its key.
pub(crate) struct Holder {
    certificate: Vec<u8>,
    key: String,
}

/// Settings of a client that trusts `server`, with a certificate or without.
pub(crate) fn client(server: &Pair, holder: Option<&Holder>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(server.der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match holder {
        None => builder.with_no_client_auth(),
        Some(holder) => {
            let key = PrivateKeyDer::from_pem_slice(holder.key.as_bytes()).unwrap();
            let chain = vec![holder.certificate.clone().into()];
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    })
}

/// `builder` is known by its certificate; whoever is of `Example` may pull `certified/**`, and `robot` by its URI `robots/**`.
fn with(authorities: &str, mode: &str) -> Value {
    let mut content = content();
    content["clientCertificates"] = json!({ "authorities": authorities, "mode": mode });
    content["identities"].as_array_mut().unwrap().push(json!({
        "username": "builder", "groups": ["ci"], "certificateSubjects": [{ "commonName": "ci" }, { "dnsName": "x.example.com" }],
    }));
    let policy = |name: &str, subject: Value, repositories: &str, when: &str| {
        json!({
            "name": name, "effect": "Allow", "subjects": [subject],
            "rules": [{ "name": "all", "repositories": [repositories], "role": "pull", "when": when }],
        })
    };
    let everyone = || json!({ "any": "Everyone" });
    content["policies"].as_array_mut().unwrap().extend([
        policy(
            "certified",
            everyone(),
            "certified/**",
            "'Example' in identity.certificate.organizations",
        ),
        policy(
            "robots",
            everyone(),
            "robots/**",
            "identity.certificate.uris.exists(u, u == 'spiffe://example.com/robot')",
        ),
        policy(
            "domains",
            everyone(),
            "domains/**",
            "identity.certificate.dns_names.exists(n, n.glob('*.clients.example.com'))",
        ),
        policy("ci", json!({ "group": "ci" }), "ci/**", "true"),
    ]);
    content
}

/// The status of asking for a tag list on a connection.
fn status(tls: &mut Tls, path: &str, headers: &str) -> u16 {
    head(tls, path, headers).status.as_u16()
}

async fn connect(address: SocketAddr, client: Arc<ClientConfig>) -> std::io::Result<Tls> {
    spawn_blocking(move || dial(address, client)).await.unwrap()
}

/// Whether a client gets as far as an answer. With TLS 1.3 a handshake is over for the client before it was refused.
async fn is_answered(address: SocketAddr, client: Arc<ClientConfig>) -> bool {
    let Ok(mut tls) = connect(address, client).await else {
        return false;
    };
    spawn_blocking(move || {
        use std::io::{Read, Write};
        let sent = tls.write_all(b"GET /v2/ HTTP/1.1\r\nHost: registry.test\r\nConnection: close\r\n\r\n");
        sent.is_ok() && tls.read(&mut [0; 16]).is_ok_and(|length| length > 0)
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_facts_for_policies_and_an_identity_where_one_names_it() {
    let (server, authority) = (Pair::new(), Authority::new());
    let secured = Secured::start(|path| server.write(path), Limits::default()).await;
    let registry = secured.server.registry.clone();
    registry.publish(2, with(&authority.pem(), "Optional"));
    let address = secured.server.address;
    let tags = |repository: &str| format!("/v2/{repository}/tags/list");
    for (holder, expected) in [
        // Neither name nor right, but for what the certificate says; and the base is open.
        (
            Some(authority.issue("robot", 2040)),
            [
                ("/v2/", 200),
                ("certified/a", 404),
                ("robots/a", 404),
                ("domains/a", 404),
                ("ci/a", 401),
                ("team/a", 401),
            ],
        ),
        (
            Some(authority.issue("ci", 2040)),
            [
                ("/v2/", 200),
                ("certified/a", 404),
                ("robots/a", 403),
                ("domains/a", 404),
                ("ci/a", 404),
                ("team/a", 403),
            ],
        ),
        (
            None,
            [
                ("/v2/", 401),
                ("certified/a", 401),
                ("robots/a", 401),
                ("domains/a", 401),
                ("ci/a", 401),
                ("team/a", 401),
            ],
        ),
    ] {
        let name = holder.as_ref().map_or("none", |_| "some");
        let mut tls = connect(address, client(&server, holder.as_ref())).await.unwrap();
        spawn_blocking(move || {
            for (repository, want) in expected {
                let path = if repository == "/v2/" {
                    repository.to_owned()
                } else {
                    tags(repository)
                };
                assert_eq!(status(&mut tls, &path, ""), want, "{name} {repository}");
            }
            // A password says who it is; the certificate still says what it says.
            assert_eq!(status(&mut tls, &tags("team/a"), &basic("puller", PASSWORD)), 404);
            let certified = if name == "some" { 404 } else { 403 };
            assert_eq!(
                status(&mut tls, &tags("certified/a"), &basic("puller", PASSWORD)),
                certified
            );
            assert_eq!(status(&mut tls, "/v2/", &basic("puller", "wrong")), 401);
        })
        .await
        .unwrap();
    }
    // Whose identity's time is over is nobody, not somebody without a name.
    let mut over = with(&authority.pem(), "Optional");
    over["identities"].as_array_mut().unwrap().last_mut().unwrap()["notAfter"] = json!("2020-01-01T00:00:00Z");
    registry.publish(3, over);
    let holder = authority.issue("ci", 2040);
    let mut tls = connect(address, client(&server, Some(&holder))).await.unwrap();
    spawn_blocking(move || {
        assert_eq!(status(&mut tls, "/v2/", ""), 401);
        assert_eq!(status(&mut tls, &tags("certified/a"), ""), 401);
    })
    .await
    .unwrap();
    // A certificate of another authority, or of none, ends the handshake.
    for other in [Authority::new().issue("ci", 2040), authority.issue("ci", 2020)] {
        assert!(!is_answered(address, client(&server, Some(&other))).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_from_elsewhere_takes_another_name_of_a_certificate_that_is_known_at_home() {
    let (server, authority) = (Pair::new(), Authority::new());
    let secured = Secured::start(|path| server.write(path), Limits::default()).await;
    let mut content = with(&authority.pem(), "Optional");
    let identities = content["identities"].as_array_mut().unwrap();
    identities.push(json!({
        "username": "team-a.taker", "home": false, "certificateSubjects": [{ "commonName": "deploy" }, { "commonName": "other" }],
    }));
    identities.push(json!({
        "username": "deployer", "groups": ["ci"], "certificateSubjects": [{ "uri": "spiffe://example.com/deploy" }],
    }));
    secured.server.registry.clone().publish(2, content);
    for (name, want) in [("deploy", 404), ("other", 403)] {
        let holder = authority.issue(name, 2040);
        let mut tls = connect(secured.server.address, client(&server, Some(&holder)))
            .await
            .unwrap();
        let found = spawn_blocking(move || status(&mut tls, "/v2/ci/a/tags/list", ""))
            .await
            .unwrap();
        assert_eq!(found, want, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_certificate_is_required_nobody_gets_further_without_one() {
    let (server, authority) = (Pair::new(), Authority::new());
    let secured = Secured::start(|path| server.write(path), Limits::default()).await;
    let (registry, address) = (secured.server.registry.clone(), secured.server.address);
    // Connections that were opened before are asked as well.
    let mut before = connect(address, client(&server, None)).await.unwrap();
    registry.publish(2, with(&authority.pem(), "Required"));
    spawn_blocking(move || {
        for headers in [String::new(), basic("admin", PASSWORD)] {
            assert_eq!(status(&mut before, "/v2/", &headers), 401);
        }
    })
    .await
    .unwrap();
    assert!(!is_answered(address, client(&server, None)).await);
    assert!(is_answered(address, client(&server, Some(&authority.issue("ci", 2040)))).await);
    // Without any authority nobody's is believed, and so nobody gets in.
    registry.publish(3, with("", "Required"));
    let mut tls = connect(address, client(&server, None)).await.unwrap();
    spawn_blocking(move || assert_eq!(status(&mut tls, "/v2/", &basic("admin", PASSWORD)), 401))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_refused_without_a_certificate_hears_why_after_the_request_was_sent_too() {
    let (server, authority) = (Pair::new(), Authority::new());
    let secured = Secured::start(|path| server.write(path), Limits::default()).await;
    secured.server.registry.publish(2, with(&authority.pem(), "Required"));
    let mut tls = connect(secured.server.address, client(&server, None)).await.unwrap();
    let error = spawn_blocking(move || {
        use std::io::{Read, Write};
        // By the second piece the answer to the first one has come, which must not be a reset.
        for piece in ["PUT /v2/a HTTP/1.1\r\n", "Host: registry.test\r\n", "\r\n"] {
            std::thread::sleep(Duration::from_millis(30));
            tls.write_all(piece.as_bytes()).unwrap();
        }
        tls.read(&mut [0; 16]).unwrap_err()
    })
    .await
    .unwrap();
    let why = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    let expected = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
    assert_eq!(why, Some(&expected), "{error}");
}

#[test]
fn the_log_says_why_a_certificate_is_refused() {
    let (server, authority) = (Pair::new(), Authority::new());
    let directory = tempfile::tempdir().unwrap();
    write_documents(directory.path());
    server.write(directory.path());
    let add = |file: &str, mark: &str, more: &str| {
        let path = directory.path().join(file);
        let document = fs::read_to_string(&path).unwrap();
        assert!(document.contains(mark), "{document}");
        fs::write(&path, document.replacen(mark, &format!("{mark}{more}"), 1)).unwrap();
    };
    let files =
        json!({ "certificate": directory.path().join("tls.crt"), "privateKey": directory.path().join("tls.key") });
    add("server.yaml", "formatVersion: 1\n", &format!("tls: {files}\n"));
    let asked = json!({ "authorities": authority.pem(), "mode": "Required" });
    add(
        "access.yaml",
        "\ncontent:\n",
        &format!("  clientCertificates: {asked}\n"),
    );
    let registry = Standalone::start_in(directory, "info", "text");
    let address = registry.address("listen");
    let (stranger, late) = (Authority::new().issue("ci", 2040), authority.issue("ci", 2020));
    for (holder, why) in [
        (None, "there is none"),
        (Some(&stranger), "its signature"),
        (Some(&late), "certificate expired"),
    ] {
        // With TLS 1.2 the handshake fails for the client, with 1.3 the first read.
        if let Ok(mut tls) = dial(address, client(&server, holder)) {
            std::io::Read::read(&mut tls, &mut [0; 16]).unwrap_err();
        }
        registry.wait(why, || {
            let log = registry.log();
            log.lines()
                .any(|line| line.contains("client certificate refused") && line.contains(why))
                .then_some(())
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_taken_away_takes_its_certificates_with_it_on_open_connections_too() {
    let (server, old, new) = (Pair::new(), Authority::new(), Authority::new());
    let secured = Secured::start(|path| server.write(path), Limits::default()).await;
    let (registry, address) = (secured.server.registry.clone(), secured.server.address);
    registry.publish(2, with(&old.pem(), "Optional"));
    let holder = old.issue("ci", 2040);
    let settings = client(&server, Some(&holder));
    let mut open = connect(address, settings.clone()).await.unwrap();
    let path = "/v2/ci/a/tags/list";
    spawn_blocking(move || {
        assert_eq!(status(&mut open, path, ""), 404);
        // An authority more changes nothing.
        registry.publish(3, with(&(old.pem() + &new.pem()), "Optional"));
        assert_eq!(status(&mut open, path, ""), 404);
        registry.publish(4, with(&new.pem(), "Optional"));
        assert_eq!(status(&mut open, path, ""), 401);
        registry.publish(5, content());
        assert_eq!(status(&mut open, path, ""), 401);
        registry.publish(6, with(&new.pem(), "Optional"));
    })
    .await
    .unwrap();
    // Nor does a session that could be resumed bring it back.
    assert!(!is_answered(address, settings).await);
}

#[test]
fn authorities_that_cannot_be_read_are_a_problem_of_the_document() {
    for (authorities, part) in [
        ("nonsense", "there is no certificate"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "certificate 1 cannot be an authority",
        ),
    ] {
        let content = serde_json::from_value(with(authorities, "Optional")).unwrap();
        let problems = registry_config::Access::compile(content).unwrap_err();
        assert_eq!(problems[0].path, "clientCertificates.authorities");
        assert!(problems[0].message.contains(part), "{}", problems[0]);
    }
}
