//! The binary with documents in files: the examples, edits, mistakes, and a store that is in use.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use argon2::PasswordVerifier;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tempfile::TempDir;

use crate::fixture::hash;
use crate::wire::{Connection, basic};

const SERVER: &str = include_str!("../../../examples/standalone/server.yaml");
const ACCESS: &str = include_str!("../../../examples/standalone/access.yaml");
const SOON: Duration = Duration::from_secs(20);

fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_wharfinger-registry"))
}

/// A registry from the examples, on ports of its own.
pub(crate) struct Standalone {
    pub(crate) child: Child,
    log: Arc<Mutex<String>>,
    output: Arc<Mutex<String>>,
    pub(crate) directory: TempDir,
}

impl Drop for Standalone {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn write_documents(directory: &Path) {
    let server = SERVER
        .replace("127.0.0.1:5000", "127.0.0.1:0")
        .replace("127.0.0.1:5001", "127.0.0.1:0");
    let server = server.replace("./data", directory.join("data").to_str().unwrap());
    fs::write(directory.join("server.yaml"), server).unwrap();
    fs::write(directory.join("access.yaml"), ACCESS).unwrap();
}

/// What is written to `from`, as it comes.
fn copy(from: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let copy = text.clone();
    thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let mut text = copy.lock().unwrap();
            text.push_str(&line.unwrap());
            text.push('\n');
        }
    });
    text
}

fn serve(directory: &Path) -> Command {
    let mut command = binary();
    command
        .arg("serve")
        .arg("--config")
        .arg(directory.join("server.yaml"))
        .arg("--access")
        .arg(directory.join("access.yaml"));
    command
}

impl Standalone {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        write_documents(directory.path());
        Self::start_in(directory, "info", "text")
    }

    pub(crate) fn start_in(directory: TempDir, level: &str, format: &str) -> Self {
        let mut command = serve(directory.path());
        command.env("RUST_LOG", level).args(["--log-format", format]);
        Self::run(directory, command)
    }

    /// With more arguments.
    pub(crate) fn start_with(directory: TempDir, arguments: &[&str]) -> Self {
        let mut command = serve(directory.path());
        command.env("RUST_LOG", "info").args(arguments);
        Self::run(directory, command)
    }

    fn run(directory: TempDir, mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Self {
            log: copy(child.stderr.take().unwrap()),
            output: copy(child.stdout.take().unwrap()),
            child,
            directory,
        }
    }

    pub(crate) fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn wait<T>(&self, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(value) = condition() {
                return value;
            }
            assert!(started.elapsed() < SOON, "{what}:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn address(&self, field: &str) -> SocketAddr {
        self.wait(field, || {
            let log = self.log();
            let line = log
                .lines()
                .find(|line| line.contains(&format!("listening for `{field}`")))?;
            line.split(['=', '"']).find_map(|word| word.trim().parse().ok())
        })
    }

    fn edit(&self, change: impl Fn(String) -> String) {
        let path = self.directory.path().join("access.yaml");
        fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
    }
}

#[test]
fn the_examples_serve_what_their_comments_say() {
    let registry = Standalone::start();
    let mut connection = Connection::open(registry.address("listen"));
    assert_eq!(connection.ask("GET /v2/", "").status, 401);
    assert_eq!(connection.ask("GET /v2/", &basic("demo", "demo")).status, 200);
    assert_eq!(connection.ask("GET /v2/", &basic("demo", "wrong")).status, 401);
    // Anonymous pull of public/**, which has nothing yet.
    assert_eq!(connection.ask("GET /v2/public/app/manifests/v1", "").status, 404);
    assert_eq!(connection.ask("GET /v2/private/app/manifests/v1", "").status, 401);
    assert_eq!(
        connection
            .ask("POST /v2/any/thing/blobs/uploads/", &basic("demo", "demo"))
            .status,
        202
    );
    assert_eq!(
        connection
            .ask("DELETE /v2/any/thing/manifests/v1", &basic("demo", "demo"))
            .status,
        404
    );

    let mut admin = Connection::open(registry.address("adminListen"));
    for (path, status, text) in [
        ("livez", 200, "ok"),
        ("readyz", 200, "ok"),
        ("status", 200, "\"revision\":0"),
        ("metrics", 200, "# EOF"),
        ("v2/", 404, ""),
    ] {
        let reply = admin.ask(&format!("GET /{path}"), "");
        assert!(
            reply.status == status && reply.text().contains(text),
            "{path}: {reply:?}"
        );
    }
}

#[test]
fn an_edit_of_the_file_holds_and_a_mistake_in_it_changes_nothing() {
    let registry = Standalone::start();
    let mut connection = Connection::open(registry.address("listen"));
    let mut admin = Connection::open(registry.address("adminListen"));
    let mut status = |password: &str| connection.ask("GET /v2/", &basic("demo", password)).status;
    let mut refused =
        || serde_json::from_slice::<serde_json::Value>(&admin.ask("GET /status", "").body).unwrap()["refused"].clone();
    assert_eq!(status("demo"), 200);
    let old = ACCESS.split('"').find(|part| part.starts_with("$argon2id")).unwrap();

    registry.edit(|text| text.replace(old, &hash("in place")));
    registry.wait("an edit in place", || (status("in place") == 200).then_some(()));
    assert_eq!(status("demo"), 401);

    registry.edit(|text| text.replace("role: admin", "role: emperor"));
    let refusal = registry.wait("a mistake", || Some(refused()).filter(|refused| !refused.is_null()));
    assert!(refusal["reason"].as_str().unwrap().contains("line"), "{refusal}");
    let path = registry.directory.path().join("access.yaml");
    let line = ACCESS.lines().position(|line| line.contains("role: admin")).unwrap() + 1;
    let place = format!("{}:{line}:", path.display());
    registry.wait("the place in the log", || registry.log().contains(&place).then_some(()));
    assert_eq!(status("in place"), 200, "what was in force stays in force");

    // Editors write a new file and rename it.
    let new = registry.directory.path().join("new.yaml");
    fs::write(&new, ACCESS.replace(old, &hash("renamed"))).unwrap();
    fs::rename(&new, &path).unwrap();
    registry.wait("a rename", || (status("renamed") == 200).then_some(()));
    assert!(refused().is_null());
    fs::remove_file(&path).unwrap();
    registry.wait("a removal", || Some(refused()).filter(|refused| !refused.is_null()));
    assert_eq!(status("renamed"), 200, "a removed file locks nobody out");
}

#[test]
fn a_mounted_file_is_followed_through_the_kubelets_links() {
    let directory = tempfile::tempdir().unwrap();
    write_documents(directory.path());
    let version = |name: &str, password: &str| {
        let path = directory.path().join(name);
        fs::create_dir(&path).unwrap();
        let old = ACCESS.split('"').find(|part| part.starts_with("$argon2id")).unwrap();
        fs::write(path.join("access.yaml"), ACCESS.replace(old, &hash(password))).unwrap();
    };
    version("..1", "one");
    version("..2", "two");
    fs::remove_file(directory.path().join("access.yaml")).unwrap();
    std::os::unix::fs::symlink("..1", directory.path().join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/access.yaml", directory.path().join("access.yaml")).unwrap();
    let registry = Standalone::start_in(directory, "info", "text");
    let mut connection = Connection::open(registry.address("listen"));
    assert_eq!(connection.ask("GET /v2/", &basic("demo", "one")).status, 200);
    let path = registry.directory.path();
    std::os::unix::fs::symlink("..2", path.join("..data_tmp")).unwrap();
    fs::rename(path.join("..data_tmp"), path.join("..data")).unwrap();
    registry.wait("the swap", || {
        (connection.ask("GET /v2/", &basic("demo", "two")).status == 200).then_some(())
    });
    assert_eq!(connection.ask("GET /v2/", &basic("demo", "one")).status, 401);
}

#[test]
fn a_second_process_on_the_same_store_is_refused_and_the_first_goes_on() {
    let registry = Standalone::start();
    let mut connection = Connection::open(registry.address("listen"));
    let second = serve(registry.directory.path()).output().unwrap();
    let error = String::from_utf8(second.stderr).unwrap();
    let data = registry.directory.path().join("data");
    assert!(!second.status.success());
    let last = error.lines().last().unwrap();
    assert!(
        last.starts_with(&format!(
            "error: the storage root `{}` is in use by another process",
            data.display()
        )),
        "{error}"
    );
    assert_eq!(connection.ask("GET /v2/", &basic("demo", "demo")).status, 200);
}

#[test]
fn a_store_survives_its_process() {
    let mut registry = Standalone::start();
    let demo = basic("demo", "demo");
    let digest = crate::fixture::digest(b"content");
    let mut connection = Connection::open(registry.address("listen"));
    let location = connection
        .ask("POST /v2/a/blobs/uploads/", &demo)
        .header("location")
        .unwrap()
        .to_owned();
    connection.write(&format!(
        "PATCH {location} HTTP/1.1\r\nHost: x\r\n{demo}Content-Length: 3\r\n\r\ncon"
    ));
    assert_eq!(connection.read().unwrap().status, 202);
    registry.child.kill().unwrap();
    registry.child.wait().unwrap();
    let directory = std::mem::replace(&mut registry.directory, tempfile::tempdir().unwrap());
    let again = Standalone::start_in(directory, "info", "text");
    let mut connection = Connection::open(again.address("listen"));
    connection.write(&format!(
        "PUT {location}?digest={digest} HTTP/1.1\r\nHost: x\r\n{demo}Content-Length: 4\r\n\r\ntent"
    ));
    let reply = connection.read().unwrap();
    assert_eq!(reply.status, 201, "{reply:?}");
    assert_eq!(
        connection.ask(&format!("GET /v2/a/blobs/{digest}"), &demo).body,
        "content"
    );
}

#[test]
fn stopping_ends_the_process_without_an_error() {
    let mut registry = Standalone::start();
    registry.address("listen");
    let pid = rustix::process::Pid::from_child(&registry.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(registry.child.wait().unwrap().success(), "{}", registry.log());
}

#[test]
fn no_secret_is_in_the_log_at_any_level() {
    let directory = tempfile::tempdir().unwrap();
    write_documents(directory.path());
    let registry = Standalone::start_in(directory, "trace", "json");
    let mut connection = Connection::open(registry.address("listen"));
    let wrong = "wrong-but-secret";
    let token = connection
        .ask("GET /token?scope=repository:a:pull", &basic("demo", "demo"))
        .text();
    let token = serde_json::from_str::<serde_json::Value>(&token).unwrap()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    for headers in [
        basic("demo", wrong),
        basic(wrong, "demo"),
        format!("Authorization: Bearer {token}\r\n"),
        format!("Authorization: Bearer {token}x\r\n"),
    ] {
        connection.ask("GET /v2/a/tags/list", &headers);
    }
    connection.ask(&format!("GET /token?password={wrong}"), "");
    connection.ask(&format!("GET /{wrong}"), "");
    let form = format!("grant_type=password&service=x&client_id=x&username=demo&password={wrong}");
    connection.write(&format!(
        "POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    ));
    assert_eq!(connection.read().unwrap().status, 401);
    registry.wait("the log", || {
        (registry.log().matches("\"get-token\"").count() >= 3).then_some(())
    });
    let log = registry.log();
    let old = ACCESS.split('"').find(|part| part.starts_with("$argon2id")).unwrap();
    let signature = token.rsplit('.').next().unwrap();
    let encoded = STANDARD.encode(format!("demo:{wrong}"));
    for secret in [
        wrong,
        token.as_str(),
        signature,
        old,
        encoded.as_str(),
        &STANDARD.encode("demo:demo"),
        "password=",
        "Basic ",
        "Bearer ",
    ] {
        assert!(!log.contains(secret), "`{secret}` is in the log:\n{log}");
    }
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        // What libraries write below `info` is nobody's promise, so none of it is there.
        let is_ours = line["target"].as_str().unwrap().starts_with("wharfinger_registry");
        assert!(
            is_ours || !["TRACE", "DEBUG"].contains(&line["level"].as_str().unwrap()),
            "{line}"
        );
    }
    assert!(log.contains("\"identity\":\"demo\""), "{log}");
}

#[test]
fn each_request_is_logged_under_the_name_of_its_action() {
    let directory = tempfile::tempdir().unwrap();
    write_documents(directory.path());
    let registry = Standalone::start_in(directory, "info", "json");
    let mut connection = Connection::open(registry.address("listen"));
    let demo = basic("demo", "demo");
    // What was asked for, by the identifier of each request.
    let mut expected = BTreeMap::new();
    let mut send = |line: &str, body: &str, (status, action): (u16, &'static str)| {
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let length = body.len();
        let headers = format!("{demo}Content-Type: {media_type}\r\nContent-Length: {length}\r\n");
        let reply = connection.ask_with(line, &headers, body);
        assert_eq!(reply.status, status, "{line}: {reply:?}");
        let method = line.split(' ').next().unwrap().to_owned();
        expected.insert(
            reply.header("x-request-id").unwrap().to_owned(),
            (method, action, status),
        );
        reply.header("location").unwrap_or_default().to_owned()
    };
    let blob = crate::fixture::digest(b"{}");
    let uploads = "POST /v2/a/app/blobs/uploads/";
    send("GET /v2/", "", (200, "get-api-version"));
    send("HEAD /v2/", "", (200, "get-api-version"));
    send("GET /token", "", (200, "get-token"));
    let session = send(uploads, "", (202, "start-upload"));
    send(&format!("GET {session}"), "", (204, "get-upload"));
    send(&format!("HEAD {session}"), "", (204, "get-upload"));
    send(&format!("PATCH {session}"), "{", (202, "update-upload"));
    send(&format!("PUT {session}?digest={blob}"), "}", (201, "complete-upload"));
    let session = send(uploads, "", (202, "start-upload"));
    send(&format!("DELETE {session}"), "", (204, "cancel-upload"));
    send(&format!("{uploads}?digest={blob}"), "{}", (201, "start-upload"));
    let mount = format!("POST /v2/b/blobs/uploads/?mount={blob}&from");
    send(&format!("{mount}=a/app"), "", (201, "mount-blob"));
    // What becomes an upload was a mount all the same.
    send(&format!("{mount}=c"), "", (202, "mount-blob"));
    let config = format!(r#"{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{blob}","size":2}}"#);
    let manifest = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#);
    send("PUT /v2/a/app/manifests/v1", &manifest, (201, "put-manifest"));
    for (path, action) in [
        ("_catalog", "list-catalog"),
        ("a/app/tags/list", "list-tags"),
        ("a/app/manifests/v1", "get-manifest"),
        (&format!("a/app/blobs/{blob}"), "get-blob"),
        (&format!("a/app/referrers/{blob}"), "get-referrers"),
    ] {
        send(&format!("GET /v2/{path}"), "", (200, action));
        send(&format!("HEAD /v2/{path}"), "", (200, action));
    }
    send("DELETE /v2/a/app/manifests/v1", "", (202, "delete-manifest"));
    send(&format!("DELETE /v2/a/app/blobs/{blob}"), "", (202, "delete-blob"));

    let logged = registry.wait("a line for each request", || {
        let lines = registry.log();
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let lines: BTreeMap<_, _> = lines
            .filter(|line| line["message"] == "request")
            .map(|line| (line["id"].as_str().unwrap().to_owned(), line))
            .collect();
        (lines.len() >= expected.len()).then_some(lines)
    });
    assert_eq!(logged.len(), expected.len());
    for (id, (method, action, status)) in expected {
        let line = &logged[&id];
        assert_eq!(
            (&line["method"], &line["action"], &line["status"], &line["identity"]),
            (&json!(method), &json!(action), &json!(status), &json!("demo")),
            "{line}"
        );
    }
}

#[test]
fn no_answer_is_to_be_sniffed() {
    let directory = tempfile::tempdir().unwrap();
    write_documents(directory.path());
    let cors = "content:\n  cors: { allowedOrigins: [\"https://ui.example.com\"] }\n";
    let access = ACCESS.replace("content:\n", cors);
    fs::write(directory.path().join("access.yaml"), access).unwrap();
    let registry = Standalone::start_in(directory, "info", "text");
    let [listen, admin] = ["listen", "adminListen"].map(|field| registry.address(field));
    let preflight = "Origin: https://ui.example.com\r\nAccess-Control-Request-Method: GET\r\n";
    for (address, line, headers, status) in [
        (listen, "GET /v2/", "", 401),
        (listen, "GET /v2/", &*basic("demo", "demo"), 200),
        (listen, "GET /token", "", 200),
        (listen, "GET /v2/public/app/tags/list", "", 404),
        (listen, "GET /nowhere", "", 404),
        (listen, "DELETE /v2/", "", 405),
        (listen, "OPTIONS /v2/", preflight, 204),
        (admin, "GET /livez", "", 200),
        (admin, "GET /readyz", "", 200),
        (admin, "GET /status", "", 200),
        (admin, "GET /metrics", "", 200),
        (admin, "GET /nowhere", "", 404),
        (admin, "DELETE /livez", "", 405),
    ] {
        let reply = Connection::open(address).ask(line, headers);
        assert_eq!(
            (reply.status.as_u16(), reply.header("x-content-type-options")),
            (status, Some("nosniff")),
            "{line}: {reply:?}"
        );
    }
}

fn check(server: &str, access: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("server.yaml"), server).unwrap();
    fs::write(directory.path().join("access.yaml"), access).unwrap();
    binary()
        .current_dir(directory.path())
        .args(["check", "--config", "server.yaml", "--access", "access.yaml"])
        .output()
        .unwrap()
}

#[test]
fn check_lists_every_problem_with_its_place() {
    let good = check(SERVER, ACCESS);
    assert!(good.status.success() && good.stdout.is_empty(), "{good:?}");

    let access = ACCESS
        .replace("- identity: demo\n", "[]\n")
        .replace("repositories: [\"public/**\"]", "repositories: [\"public/[a]\"]")
        .replace(
            "role: pull\n",
            "role: pull\n          when: \"request.nonsense == 'x'\"\n",
        )
        .replace("subjects:\n        []", "subjects: []");
    let server = SERVER.replace("adminListen: 127.0.0.1:5001", "adminListen: 127.0.0.1:5000");
    let bad = check(&server, &access);
    let output = String::from_utf8(bad.stdout).unwrap();
    assert_eq!(bad.status.code(), Some(1), "{output}");
    let line = |text: &str, word: &str| text.lines().position(|line| line.contains(word)).unwrap() + 1;
    for (file, text, word, path) in [
        ("server.yaml", &server, "adminListen", "adminListen: "),
        ("access.yaml", &access, "subjects: []", "content.policies[0].subjects: "),
        (
            "access.yaml",
            &access,
            "public/[a]",
            "content.policies[1].rules[0].repositories[0]: ",
        ),
        (
            "access.yaml",
            &access,
            "nonsense",
            "content.policies[1].rules[0].when: line 1, column ",
        ),
    ] {
        let place = format!("{file}:{}:", line(text, word));
        let found = output
            .lines()
            .any(|line| line.starts_with(&place) && line.contains(path));
        assert!(found, "{place} {path}\n{output}");
    }
    assert_eq!(
        output
            .lines()
            .filter(|line| line.starts_with("access.yaml:") || line.starts_with("server.yaml:"))
            .count(),
        4,
        "{output}"
    );

    for (from, to) in [
        ("kind: AccessIndex", "kind: Other"),
        ("groups:", "gruppen:"),
        ("formatVersion: 1", "formatVersion: 9"),
    ] {
        let output = String::from_utf8(check(SERVER, &ACCESS.replacen(from, to, 1)).stdout).unwrap();
        let place = format!("access.yaml:{}:", line(ACCESS, from));
        assert!(
            output.starts_with(&place) && output.lines().count() == 1,
            "{place} {output}"
        );
    }
    // Of hashes that are none, each is told.
    let users = "  - username: a\n    passwords: [{hash: secret}]\n  - username: b\n    passwords: [{hash: $1$x$y}]\n";
    let users = format!("kind: AccessIndex\nformatVersion: 1\ncontent:\n  identities:\n{users}");
    let output = String::from_utf8(check(SERVER, &users).stdout).unwrap();
    let places: Vec<&str> = output.lines().filter_map(|line| line.split(": ").next()).collect();
    assert_eq!(places, ["access.yaml:6:24", "access.yaml:8:24"], "{output}");
    let output = String::from_utf8(check(SERVER, "a: [").stdout).unwrap();
    assert!(output.starts_with("access.yaml:1:"), "{output}");
}

#[test]
fn hash_password_reads_one_password_and_prints_what_a_document_takes() {
    let run = |arguments: &[&str]| {
        let mut command = binary();
        command.arg("hash-password").args(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Whoever is refused for the arguments reads nothing.
        let _ = child.stdin.take().unwrap().write_all(b"secret\n");
        child.wait_with_output().unwrap()
    };
    for (arguments, beginning) in [
        (&[][..], "$argon2id$v=19$m=19456,t=2,p=1$"),
        (
            &["--memory", "46Mi", "--iterations", "1"],
            "$argon2id$v=19$m=47104,t=1,p=1$",
        ),
    ] {
        let output = String::from_utf8(run(arguments).stdout).unwrap();
        let hash = output.strip_suffix('\n').unwrap();
        assert!(hash.starts_with(beginning), "{hash}");
        assert!(argon2::Argon2::default().verify_password(b"secret", hash).is_ok());
    }
    let refused = run(&["--iterations", "1"]);
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && why.contains("too easy to guess"), "{why}");
}

#[test]
fn a_start_that_cannot_succeed_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    write_documents(directory.path());
    let path = directory.path();
    let last_line = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr)
            .unwrap()
            .lines()
            .last()
            .unwrap()
            .to_owned()
    };
    let without = last_line(binary().args(["serve", "--config"]).arg(path.join("server.yaml")));
    assert!(without.contains("name an access document with `--access`"), "{without}");
    let missing = last_line(binary().args(["serve", "--config"]).arg(path.join("none.yaml")));
    assert!(missing.contains("none.yaml"), "{missing}");
    // A file stands where the store should be.
    fs::write(path.join("data"), "").unwrap();
    let refused = last_line(&mut serve(path));
    let uid = rustix::process::geteuid().as_raw();
    let want = format!("cannot write `{}` as uid {uid}", path.join("data/wharfinger").display());
    assert!(refused.contains(&want), "{refused}");
}
