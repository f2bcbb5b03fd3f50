//! What the binary tells of its work: metrics, and the audit stream.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::fixture::{Answer, MANIFEST, digest};
use crate::standalone::{Standalone, write_documents};
use crate::wire::{Connection, basic};

fn start(settings: &str, level: &str) -> Standalone {
    start_with(
        include_str!("../../../examples/standalone/access.yaml"),
        settings,
        level,
    )
}

/// A registry with this access document, and more in its server document.
pub(crate) fn start_with(access: &str, settings: &str, level: &str) -> Standalone {
    let directory = tempfile::tempdir().unwrap();
    write_documents(directory.path());
    fs::write(directory.path().join("access.yaml"), access).unwrap();
    let path = directory.path().join("server.yaml");
    let document = fs::read_to_string(&path).unwrap();
    let settings = settings.replace("DIRECTORY", directory.path().to_str().unwrap());
    fs::write(&path, format!("{document}\n{settings}\n")).unwrap();
    Standalone::start_in(directory, level, "json")
}

fn send(connection: &mut Connection, line: &str, headers: &str, body: &str) -> Answer {
    let headers = format!("{headers}Content-Length: {}\r\n", body.len());
    connection.write(&format!(
        "{line} HTTP/1.1\r\nHost: registry.test\r\n{headers}\r\n{body}"
    ));
    connection.read().unwrap()
}

/// The metrics, by name and labels.
fn metrics(registry: &Standalone) -> BTreeMap<String, String> {
    let text = Connection::open(registry.address("adminListen"))
        .ask("GET /metrics", "")
        .text();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.map(|line| line.rsplit_once(' ').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn requests_the_store_and_what_came_from_memory_are_counted() {
    let registry = start("", "info");
    let mut connection = Connection::open(registry.address("listen"));
    let signed_in = basic("demo", "demo");
    let config = "{}";
    let blob = digest(config.as_bytes());
    let upload = format!("POST /v2/team/app/blobs/uploads/?digest={blob}");
    assert_eq!(send(&mut connection, &upload, &signed_in, config).status, 201);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": "application/json", "digest": blob.as_str(), "size": config.len() },
        "layers": [],
    })
    .to_string();
    let headers = format!("{signed_in}Content-Type: {MANIFEST}\r\n");
    let put = send(&mut connection, "PUT /v2/team/app/manifests/v1", &headers, &manifest);
    assert_eq!(put.status, 201, "{}", put.text());
    for _ in 0..3 {
        assert_eq!(connection.ask("GET /v2/team/app/manifests/v1", &signed_in).status, 200);
    }
    let unknown = digest(b"unknown");
    assert_eq!(
        connection
            .ask(&format!("GET /v2/team/app/blobs/{unknown}"), &signed_in)
            .status,
        404
    );
    let open = connection.ask("POST /v2/team/app/blobs/uploads/", &signed_in);
    assert_eq!(open.status, 202);

    let found = metrics(&registry);
    for (name, value) in [
        (
            "requests_total{route=\"get-manifest\",method=\"GET\",status=\"2xx\"}",
            3,
        ),
        ("request_seconds_count{route=\"get-manifest\"}", 3),
        ("request_seconds_bucket{le=\"+Inf\",route=\"put-manifest\"}", 1),
        (
            "policy_decisions_total{action=\"get-manifest\",decision=\"allowed\"}",
            3,
        ),
        ("authentications_total{result=\"Password\"}", 1),
        ("authentications_total{result=\"RememberedPassword\"}", 6),
        ("store_operations_total{operation=\"put-manifest\",result=\"Done\"}", 1),
        ("store_operations_total{operation=\"read-manifest\",result=\"Done\"}", 3),
        ("store_operations_total{operation=\"open-blob\",result=\"Refused\"}", 1),
        ("store_operation_seconds_count{operation=\"complete-upload\"}", 1),
        ("manifest_cache_total{result=\"Miss\"}", 1),
        ("manifest_cache_total{result=\"Hit\"}", 2),
        ("upload_sessions", 1),
        ("received_bytes_total", 2 + manifest.len()),
        ("audit_lines_lost_total", 0),
    ] {
        let name = format!("wharfinger_registry_{name}");
        assert_eq!(found.get(&name), Some(&value.to_string()), "{name} in {found:#?}");
    }
    // Names of people, repositories and tags are never labels: there is no bound on how many there are.
    let names = found
        .keys()
        .filter(|name| ["demo", "team", "v1"].iter().any(|word| name.contains(word)));
    assert_eq!(names.collect::<Vec<_>>(), Vec::<&String>::new());

    assert_eq!(
        connection
            .ask(&format!("DELETE {}", open.header("location").unwrap()), &signed_in)
            .status,
        204
    );
    assert_eq!(metrics(&registry)["wharfinger_registry_upload_sessions"], "0");
}

/// The lines of an audit stream once there are `count` of them.
pub(crate) fn lines(registry: &Standalone, path: &Path, count: usize) -> Vec<Value> {
    let text = registry.wait("the audit stream", || {
        fs::read_to_string(path)
            .ok()
            .filter(|text| text.lines().count() >= count)
    });
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

/// Sends a request and returns the id that it was answered with.
fn ask(registry: &Standalone, connection: &mut Connection, line: &str, headers: &str, body: &str) -> String {
    if !line.starts_with("HEAD") {
        let reply = send(connection, line, headers, body);
        return reply.header("x-request-id").unwrap().to_owned();
    }
    // Its length is that of a body which does not come.
    let mut connection = Connection::open(registry.address("listen"));
    connection.write(&format!(
        "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"
    ));
    let mut head = String::new();
    connection.stream.read_to_string(&mut head).unwrap();
    let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: "));
    id.unwrap().to_owned()
}

#[test]
fn each_request_is_one_line_of_the_audit_stream_whatever_the_level_of_the_log() {
    let registry = start(
        "audit: {file: DIRECTORY/audit.jsonl}",
        "error,wharfinger_registry::cli=info",
    );
    let mut connection = Connection::open(registry.address("listen"));
    let path = registry.directory.path().join("audit.jsonl");
    let (right, wrong) = (basic("demo", "demo"), basic("demo", "not-the-password"));
    let pushed = digest(b"layer");
    let requests = [
        ("GET /v2/", "", ""),
        ("GET /v2/team/app/tags/list", wrong.as_str(), ""),
        ("GET /v2/private/app/manifests/v1", "", ""),
        ("HEAD /v2/public/app/manifests/v1", right.as_str(), ""),
        (
            &format!("POST /v2/team/app/blobs/uploads/?digest={pushed}"),
            right.as_str(),
            "layer",
        ),
        ("GET /nowhere?password=not-the-password", "", ""),
    ];
    let ids = requests.map(|(line, headers, body)| ask(&registry, &mut connection, line, headers, body));
    let lines = lines(&registry, &path, requests.len());
    let said: Vec<&str> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(said, ids);
    let told = |line: &Value| {
        let fields = [
            "identity",
            "proof",
            "action",
            "repository",
            "reference",
            "status",
            "received",
        ];
        fields.map(|field| line[field].clone())
    };
    assert_eq!(
        told(&lines[0]),
        [
            json!(null),
            json!(""),
            json!("get-api-version"),
            json!(null),
            json!(null),
            json!(401),
            json!(0)
        ]
    );
    assert_eq!(
        told(&lines[1])[2..6],
        [json!("list-tags"), json!("team/app"), json!(null), json!(401)]
    );
    assert_eq!(
        told(&lines[3])[..6],
        [
            json!("demo"),
            json!("password"),
            json!("get-manifest"),
            json!("public/app"),
            json!("v1"),
            json!(404)
        ]
    );
    assert_eq!(told(&lines[4])[4..], [json!(pushed.as_str()), json!(201), json!(5)]);
    assert_eq!(
        told(&lines[5])[2..6],
        [json!("unknown"), json!(null), json!(null), json!(404)]
    );

    // What policy said: nothing before anybody was known, then with policy and rule.
    assert_eq!(lines[1]["decisions"], json!([]));
    let refused = json!([{ "action": "get-manifest", "allowed": false, "policy": null, "rule": null }]);
    assert_eq!(lines[2]["decisions"], refused);
    let actions: Vec<_> = lines[4]["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|decision| &decision["action"])
        .collect();
    assert_eq!(actions, ["start-upload", "complete-upload"]);
    for decision in lines[4]["decisions"].as_array().unwrap() {
        assert_eq!(decision["allowed"], true);
        assert!(
            decision["policy"].is_string() && decision["rule"].is_string(),
            "{decision}"
        );
    }
    assert!(
        lines
            .iter()
            .all(|line| line["client"] == "127.0.0.1" && line["time"].as_str().unwrap().ends_with('Z'))
    );
    let text = fs::read_to_string(&path).unwrap();
    for secret in ["not-the-password", "Basic", right.trim().rsplit(' ').next().unwrap()] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let log = registry.log();
    assert!(!log.contains("\"request\""), "{log}");
}

#[test]
fn the_log_and_the_audit_stream_say_why_credentials_were_not_accepted() {
    let registry = start("audit: {file: DIRECTORY/audit.jsonl}", "info");
    let mut connection = Connection::open(registry.address("listen"));
    let token = "Authorization: Bearer not.a.token\r\n".to_owned();
    let wrong = Some("username or password is wrong");
    let requests = [
        ("GET /v2/", basic("demo", "wrong"), wrong),
        ("GET /token", basic("nobody", "wrong"), wrong),
        ("GET /v2/", token, Some("the token cannot be read")),
        ("GET /v2/", String::new(), None),
    ];
    for (line, headers, why) in &requests {
        let reply = connection.ask(line, headers);
        assert_eq!(reply.status, 401, "{line}");
        let id = reply.header("x-request-id").unwrap().to_owned();
        registry.wait("the line of the request", || {
            let log = registry.log();
            let said = log
                .lines()
                .find(|said| said.contains(&id) && said.contains("milliseconds"))?;
            let expected = why.map(|why| format!("\"rejected\":\"{why}\""));
            assert!(said.contains(expected.as_deref().unwrap_or_default()), "{said}");
            assert_eq!(said.contains("rejected"), why.is_some(), "{said}");
            Some(())
        });
    }
    let audited = lines(
        &registry,
        &registry.directory.path().join("audit.jsonl"),
        requests.len(),
    );
    for (line, (_, _, why)) in audited.iter().zip(requests) {
        assert_eq!(line["rejected"].as_str(), why);
    }
}

#[test]
fn the_audit_stream_goes_on_where_it_was_and_to_standard_output_where_asked() {
    let registry = start("audit: stdout", "info");
    Connection::open(registry.address("listen")).ask("GET /v2/", "");
    let line = registry.wait("a line", || registry.output().lines().next().map(str::to_owned));
    assert_eq!(
        serde_json::from_str::<Value>(&line).unwrap()["action"],
        "get-api-version"
    );
    assert_eq!(
        registry
            .log()
            .lines()
            .filter(|line| line.contains("\"decisions\""))
            .count(),
        0
    );

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let setting = format!("audit: {{file: {}}}", path.display());
    for count in 1..3 {
        let registry = start(&setting, "info");
        Connection::open(registry.address("listen")).ask("GET /v2/", "");
        lines(&registry, &path, count);
    }
}

#[test]
fn what_is_told_to_nowhere_is_said_before_anything_is_served() {
    for (setting, want) in [
        (
            "audit: {file: /nowhere/audit.jsonl}",
            "cannot open the audit stream `/nowhere/audit.jsonl`",
        ),
        ("audit: somewhere", "unknown variant `somewhere`"),
        ("traces: {endpoint: 'collector:4318'}", "traces.endpoint"),
        (
            "traces: {endpoint: 'http://collector:4318', samplingRatePerMillion: 2000000}",
            "more than a million",
        ),
    ] {
        let mut registry = start(setting, "info");
        let status = registry.child.wait().unwrap();
        assert_eq!(status.code(), Some(1), "{setting}");
        registry.wait(want, || registry.log().contains(want).then_some(()));
        assert!(!registry.log().contains("listening"), "{setting}");
    }
}

#[test]
fn a_start_that_fails_ends_although_there_is_an_audit_stream() {
    let directory = tempfile::tempdir().unwrap();
    write_documents(directory.path());
    let path = directory.path().join("server.yaml");
    let document = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{document}\naudit: stdout\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wharfinger-registry"));
    let ended = command.args(["serve", "--config"]).arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("`--access`"), "{said}");
}
