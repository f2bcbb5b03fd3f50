//! Clients that come through nginx, on a port of its own, as the tutorials set it up.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result};
use faults::http::{Connection, free_address};
use faults::server::{Program, Server};
use neighbours::{Child, Contents, Image, expect, location};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// More than 31 bits count, in pieces that are no power of two.
const PIECES: usize = 2049;
const PIECE: usize = 1024 * 1024 + 1;

/// nginx in front of a registry.
struct Proxy {
    address: SocketAddr,
    _child: Child,
    _folder: TempDir,
}

impl Proxy {
    /// `$host` is the name without its port, as in most tutorials: whatever the registry were to build from it would be wrong.
    fn start(registry: SocketAddr) -> Result<Self> {
        let (folder, address) = (tempfile::tempdir()?, free_address()?);
        let at = folder.path().display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|name| format!("{name}_temp_path {at}/{name};")).join(" ");
        let settings = format!(
            "daemon off; master_process off; pid {at}/pid; error_log stderr;\n\
             events {{}}\n\
             http {{\n\
               access_log off; {temporary}\n\
               server {{\n\
                 listen {address};\n\
                 client_max_body_size 0;\n\
                 proxy_request_buffering off;\n\
                 proxy_buffering off;\n\
                 proxy_http_version 1.1;\n\
                 location / {{\n\
                   proxy_pass http://{registry};\n\
                   proxy_set_header Host $host;\n\
                   proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
                   proxy_set_header X-Forwarded-Proto https;\n\
                   proxy_set_header X-Forwarded-Host registry.example.com;\n\
                   proxy_set_header X-Forwarded-Port 44301;\n\
                 }}\n\
               }}\n\
             }}\n"
        );
        let path = folder.path().join("nginx.conf");
        fs::write(&path, settings)?;
        let mut command = Command::new("/usr/sbin/nginx");
        command
            .arg("-p")
            .arg(folder.path())
            .arg("-e")
            .arg("stderr")
            .arg("-c")
            .arg(&path);
        Ok(Self {
            address,
            _child: Child::start(&mut command)?.listens(address)?,
            _folder: folder,
        })
    }

    fn connect(&self) -> Result<Connection> {
        Ok(Connection::open(self.address)?)
    }
}

fn start(root: &TempDir, content: &str) -> Result<(Server, Proxy)> {
    let program = Program::find(root.path())?.with("", content)?;
    let server = program.start(|command| command.spawn().context("cannot start the registry"))?;
    let proxy = Proxy::start(server.address)?;
    Ok((server, proxy))
}

#[test]
fn images_go_through_a_proxy_that_hides_the_port() -> Result<()> {
    let root = tempfile::tempdir()?;
    let (_server, proxy) = start(&root, "service: test")?;
    let mut connection = proxy.connect()?;
    let mut contents = Contents::default();
    // Each upload follows the location that the registry gives, through the proxy.
    contents.push(&mut connection, "team/app", "v1", &Image::oci("proxied"))?;
    contents.check(&mut connection)?;
    let begun = expect(
        202,
        connection.ask("POST", "/v2/team/app/blobs/uploads/", &[], b"")?,
        "an upload",
    )?;
    let location = begun.header("location").unwrap_or_default();
    assert!(location.starts_with("/v2/"), "{location}");
    Ok(())
}

#[test]
fn a_proxy_that_is_trusted_says_where_tokens_are_asked_for() -> Result<()> {
    for (content, want) in [
        (
            "trustedProxies: [127.0.0.0/8]",
            "realm=\"https://registry.example.com:44301/token\"",
        ),
        ("service: test", "realm=\"http://registry/token\""),
    ] {
        let root = tempfile::tempdir()?;
        let (_server, proxy) = start(&root, content)?;
        let refused = expect(401, proxy.connect()?.ask("GET", "/v2/", &[], b"")?, "/v2/")?;
        let challenge = refused.header("www-authenticate").unwrap_or_default();
        assert!(challenge.contains(want), "{challenge}");
    }
    Ok(())
}

#[test]
fn a_blob_of_more_than_two_gibibytes_of_unknown_length_arrives_whole() -> Result<()> {
    let root = tempfile::tempdir()?;
    let (_server, proxy) = start(&root, "service: test")?;
    let mut connection = proxy.connect()?;
    let begun = expect(
        202,
        connection.ask("POST", "/v2/team/app/blobs/uploads/", &[], b"")?,
        "an upload",
    )?;
    let piece = vec![7; PIECE];
    let pieces = || std::iter::repeat_n(piece.as_slice(), PIECES);
    let sent = connection.send_chunks("PATCH", &location(&begun)?, pieces())?;
    let sent = expect(202, sent, "a chunk")?;
    assert_eq!(sent.header("range"), Some(format!("0-{}", PIECES * PIECE - 1).as_str()));
    let mut hash = Sha256::new();
    pieces().for_each(|piece| hash.update(piece));
    let digest = format!("sha256:{}", hex::encode(hash.finalize()));
    let path = format!("{}?digest={digest}", location(&sent)?);
    expect(201, connection.ask("PUT", &path, &[], b"")?, &path)?;
    let path = format!("/v2/team/app/blobs/{digest}");
    let found = expect(200, connection.ask("HEAD", &path, &[], b"")?, &path)?;
    assert_eq!(
        found.header("content-length"),
        Some((PIECES * PIECE).to_string().as_str())
    );
    let end = [("Range", "bytes=-5")];
    let end = expect(206, connection.ask("GET", &path, &end, b"")?, &path)?;
    assert_eq!(end.body, [7; 5]);
    Ok(())
}
