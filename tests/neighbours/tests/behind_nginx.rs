//! Clients that come through nginx, on a port of its own, as the tutorials set it up.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use faults::http::{Connection, free_address};
use faults::server::{Program, Server};
use neighbours::{Child, Contents, Image, expect, location};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// More than 31 bits count, in pieces that are no power of two.
const PIECES: usize = 2049;
const PIECE: usize = 1024 * 1024 + 1;

/// Where nginx connects from that signs people in, so that the registry can tell it from everybody else on this machine.
const NGINX: &str = "127.0.0.2";

/// Who may come through it. The passwords are `correct horse`, under a scheme that the registry itself does not take.
const USERS: &str = "phil:$apr1$wharfing$2pBHU94v9UgcFMo4IGxno/\nbob:$apr1$wharfing$2pBHU94v9UgcFMo4IGxno/\n";
const PHIL: (&str, &str) = ("Authorization", "Basic cGhpbDpjb3JyZWN0IGhvcnNl");
const BOB: (&str, &str) = ("Authorization", "Basic Ym9iOmNvcnJlY3QgaG9yc2U=");
const PHIL_WITH_A_WRONG_PASSWORD: (&str, &str) = ("Authorization", "Basic cGhpbDp3cm9uZw==");

/// Whoever has signed in reads, and phil writes; the registry itself knows nobody.
const ACCESS: &str = "\
kind: AccessIndex
formatVersion: 1
content:
  trustedProxies: [127.0.0.2/32]
  userHeader: X-Remote-User
  identities: []
  policies:
    - name: everybody-reads
      effect: Allow
      subjects: [{any: Authenticated}]
      rules: [{name: read, repositories: ['**'], role: pull}]
    - name: phil-writes
      effect: Allow
      subjects: [{identity: phil}]
      rules: [{name: write, repositories: ['**'], role: push}]
";

/// nginx in front of a registry.
struct Proxy {
    address: SocketAddr,
    _child: Child,
    _folder: TempDir,
}

impl Proxy {
    /// `$host` is the name without its port, as in most tutorials: whatever the registry were to build from it would be wrong.
    fn start(registry: SocketAddr) -> Result<Self> {
        Self::with(|_| {
            Ok(format!(
                "location / {{\n\
                   proxy_pass http://{registry};\n\
                   proxy_set_header Host $host;\n\
                   proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
                   proxy_set_header X-Forwarded-Proto https;\n\
                   proxy_set_header X-Forwarded-Host registry.example.com;\n\
                   proxy_set_header X-Forwarded-Port 44301;\n\
                 }}\n"
            ))
        })
    }

    /// What the page about nginx says to set where nginx signs people in, after `edit`. nginx comes from [`NGINX`].
    fn that_signs_people_in(registry: SocketAddr, edit: impl FnOnce(String) -> Result<String>) -> Result<Self> {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/migrate/registry2-nginx.md");
        let page = fs::read_to_string(page)?;
        let block = page
            .split("```nginx\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next());
        let block = edit(block.context("the page says nothing about nginx")?.to_owned())?;
        Self::with(|folder| {
            let users = folder.join("registry_auth");
            fs::write(&users, USERS)?;
            let block = replace(&block, "/etc/nginx/registry_auth", &users.display().to_string())?;
            let block = replace(&block, "http://registry:5000", &format!("http://{registry}"))?;
            replace(&block, "location / {", &format!("location / {{ proxy_bind {NGINX};"))
        })
    }

    /// nginx with some places, which may have files in its folder.
    fn with(places: impl FnOnce(&Path) -> Result<String>) -> Result<Self> {
        let (folder, address) = (tempfile::tempdir()?, free_address()?);
        let at = folder.path().display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|name| format!("{name}_temp_path {at}/{name};")).join(" ");
        let places = places(folder.path())?;
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
                 {places}\
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

/// Puts something in the place of what must be there.
fn replace(text: &str, from: &str, to: &str) -> Result<String> {
    ensure!(text.contains(from), "there is no `{from}` in {text}");
    Ok(text.replace(from, to))
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

const UPLOADS: &str = "/v2/team/app/blobs/uploads/";
const TAGS: &str = "/v2/team/app/tags/list";

/// A registry that knows nobody but by nginx's word.
fn start_without_users(root: &TempDir) -> Result<Server> {
    let program = Program::find(root.path())?.with_access(ACCESS)?;
    program.start(|command| command.spawn().context("cannot start the registry"))
}

#[test]
fn whom_nginx_has_signed_in_may_what_policies_allow_to_that_name() -> Result<()> {
    let root = tempfile::tempdir()?;
    let server = start_without_users(&root)?;
    let proxy = Proxy::that_signs_people_in(server.address, Ok)?;
    let mut connection = proxy.connect()?;
    let refused = expect(401, connection.ask("GET", "/v2/", &[], b"")?, "nobody")?;
    assert_eq!(
        refused.header("www-authenticate"),
        Some("Basic realm=\"Restricted Access\"")
    );
    let wrong = [PHIL_WITH_A_WRONG_PASSWORD];
    expect(401, connection.ask("GET", "/v2/", &wrong, b"")?, "a wrong password")?;
    for who in [PHIL, BOB] {
        expect(200, connection.ask("GET", "/v2/", &[who], b"")?, "a login")?;
        // Nothing was pushed yet, and whoever may not read would not learn that.
        expect(404, connection.ask("GET", TAGS, &[who], b"")?, "a reader")?;
    }
    expect(202, connection.ask("POST", UPLOADS, &[PHIL], b"")?, "phil writes")?;
    expect(403, connection.ask("POST", UPLOADS, &[BOB], b"")?, "bob reads")?;
    Ok(())
}

#[test]
fn nobody_becomes_somebody_by_sending_the_header_of_nginx() -> Result<()> {
    let root = tempfile::tempdir()?;
    let server = start_without_users(&root)?;
    let proxy = Proxy::that_signs_people_in(server.address, Ok)?;
    for name in ["X-Remote-User", "x-remote-user", "X_Remote_User"] {
        let claim = (name, "phil");
        let mut through = proxy.connect()?;
        expect(401, through.ask("GET", "/v2/", &[claim], b"")?, "nobody through nginx")?;
        expect(
            403,
            through.ask("POST", UPLOADS, &[BOB, claim], b"")?,
            "bob through nginx",
        )?;
        expect(
            403,
            through.ask("POST", UPLOADS, &[claim, BOB, claim], b"")?,
            "bob, twice",
        )?;
        let mut direct = Connection::open(server.address)?;
        expect(401, direct.ask("GET", "/v2/", &[claim], b"")?, "nobody past nginx")?;
        expect(401, direct.ask("GET", TAGS, &[claim], b"")?, "nobody past nginx")?;
        expect(401, direct.ask("POST", UPLOADS, &[claim], b"")?, "nobody past nginx")?;
        let claims = [claim, ("X-Forwarded-For", NGINX), BOB];
        expect(401, direct.ask("POST", UPLOADS, &claims, b"")?, "bob past nginx")?;
    }
    Ok(())
}

#[test]
fn a_password_that_was_for_nginx_must_not_be_passed_on() -> Result<()> {
    let root = tempfile::tempdir()?;
    let server = start_without_users(&root)?;
    let proxy = Proxy::that_signs_people_in(server.address, |block| {
        replace(&block, "proxy_set_header      Authorization \"\";", "")
    })?;
    let refused = proxy.connect()?.ask("GET", "/v2/", &[PHIL], b"")?;
    expect(401, refused, "phil, whom the registry does not know")?;
    Ok(())
}
