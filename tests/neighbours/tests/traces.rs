//! What a collector of OpenTelemetry, with its own receiver, is sent.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use faults::http::{Reply, free_address};
use faults::server::{Program, Server};
use neighbours::{Child, Image, wait};
use tempfile::TempDir;

/// A collector that prints what it is sent.
struct Collector {
    child: Child,
    _settings: TempDir,
}

impl Collector {
    fn start(address: SocketAddr) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let settings = folder.path().join("collector.yaml");
        let text = format!(
            "receivers: {{otlp: {{protocols: {{http: {{endpoint: '{address}'}}}}}}}}\n\
             exporters: {{debug: {{verbosity: detailed}}}}\n\
             service:\n\
             \x20 telemetry: {{metrics: {{level: none}}}}\n\
             \x20 pipelines: {{traces: {{receivers: [otlp], exporters: [debug]}}}}\n"
        );
        fs::write(&settings, text)?;
        let folder_of_programs = std::env::var_os("WHARFINGER_COLLECTOR").context(
            "WHARFINGER_COLLECTOR does not name the collector's folder: run `cargo xtask test --only neighbours`",
        )?;
        let mut command = Command::new(Path::new(&folder_of_programs).join("collector"));
        command.arg("--config").arg(&settings);
        Ok(Self {
            child: Child::start(&mut command)?.listens(address)?,
            _settings: folder,
        })
    }

    /// The spans that have come, once those of these requests are among them.
    fn spans(&self, requests: &[&Reply]) -> Result<Vec<Span>> {
        self.child.wait("spans", |said| {
            // What was printed whole ends so.
            let spans = spans(&said[..said.rfind("{\"kind\": \"exporter\"")?]);
            let has_come = |reply: &&Reply| spans.iter().any(|span| span.attribute(REQUEST_ID) == request_id(reply));
            requests.iter().all(has_come).then_some(spans)
        })
    }
}

const REQUEST_ID: &str = "wharfinger.request.id";

fn request_id(reply: &Reply) -> &str {
    reply.header("x-request-id").unwrap_or_default()
}

/// A span as the collector prints it.
#[derive(Debug, Default)]
struct Span {
    fields: BTreeMap<String, String>,
    attributes: BTreeMap<String, String>,
}

impl Span {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

fn spans(said: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    for line in said.lines() {
        if line.starts_with("Span #") {
            spans.push(Span::default());
            continue;
        }
        let Some(span) = spans.last_mut() else { continue };
        if let Some(attribute) = line.trim().strip_prefix("-> ") {
            let (name, value) = attribute.split_once(": ").unwrap_or((attribute, ""));
            // What stands before it is its type.
            let value = value
                .split_once('(')
                .map_or(value, |(_, value)| value.trim_end_matches(')'));
            span.attributes.insert(name.to_owned(), value.to_owned());
        } else if let Some((name, value)) = line.trim().split_once(" : ").or_else(|| line.trim().split_once(": ")) {
            span.fields.insert(name.trim().to_owned(), value.trim().to_owned());
        }
    }
    spans
}

fn start(root: &Path, collector: SocketAddr, more: &str, content: &str) -> Result<Server> {
    let settings = format!("traces: {{endpoint: 'http://{collector}'{more}}}");
    let program = Program::find(root)?.with(&settings, content)?;
    program.start(|command| command.spawn().context("cannot start the registry"))
}

fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> Result<Reply> {
    let mut connection = faults::http::Connection::open(server.address)?;
    Ok(connection.ask("GET", path, headers, b"")?)
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

#[test]
fn each_request_is_a_span_and_what_the_store_did_for_it_is_below() -> Result<()> {
    let address = free_address()?;
    let collector = Collector::start(address)?;
    let root = tempfile::tempdir()?;
    let mut server = start(root.path(), address, "", "service: test")?;
    let mut connection = faults::http::Connection::open(server.address)?;
    let mut contents = neighbours::Contents::default();
    contents.push(&mut connection, "team/app", "v1", &Image::oci("traced"))?;
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let pulled = get(&server, "/v2/team/app/manifests/v1", &[("traceparent", &traceparent)])?;
    assert_eq!(pulled.status, 200);
    let missing = get(&server, "/v2/team/app/manifests/v2", &[])?;
    assert_eq!(missing.status, 404);
    // What is under way is sent before the process ends.
    server.stop()?;

    let spans = collector.spans(&[&pulled, &missing])?;
    let of = |reply: &Reply| {
        let id = request_id(reply);
        let mut found = spans.iter().filter(|span| span.attribute(REQUEST_ID) == id);
        let span = found.next().with_context(|| format!("no span of {id} in {spans:#?}"))?;
        anyhow::ensure!(found.next().is_none(), "two spans of one request");
        Ok(span)
    };
    let request = of(&pulled)?;
    assert_eq!(
        (request.field("Name"), request.field("Kind")),
        ("get-manifest", "Server")
    );
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("wharfinger.repository", "team/app"),
        ("client.address", "127.0.0.1"),
    ] {
        assert_eq!(request.attribute(name), value, "{name} of {request:#?}");
    }
    let below: Vec<&str> = spans
        .iter()
        .filter(|span| span.field("Parent ID") == request.field("ID"))
        .map(|span| span.field("Name"))
        .collect();
    assert_eq!(below, ["read-manifest"]);
    assert_eq!(of(&missing)?.attribute("http.response.status_code"), "404");
    // Whoever is no trusted proxy does not say of which trace a request is part.
    assert_eq!(request.field("Parent ID"), "");
    assert_ne!(request.field("Trace ID"), TRACE);
    assert!(
        spans
            .iter()
            .any(|span| span.field("Name") == "put-manifest" && span.field("Parent ID").is_empty())
    );
    Ok(())
}

#[test]
fn a_trusted_proxy_says_of_which_trace_a_request_is_and_whether_it_is_sampled() -> Result<()> {
    let address = free_address()?;
    let collector = Collector::start(address)?;
    let root = tempfile::tempdir()?;
    let mut server = start(
        root.path(),
        address,
        ", samplingRatePerMillion: 0",
        "trustedProxies: [127.0.0.0/8]",
    )?;
    get(&server, "/v2/team/app/tags/list", &[])?;
    let not_sampled = format!("00-{}-{PARENT}-00", TRACE.replace('0', "1"));
    get(&server, "/v2/team/app/tags/list", &[("traceparent", &not_sampled)])?;
    let sampled = format!("00-{TRACE}-{PARENT}-01");
    let traced = get(&server, "/v2/team/app/tags/list", &[("traceparent", &sampled)])?;
    server.stop()?;
    let spans = collector.spans(&[&traced])?;
    assert!(spans.iter().all(|span| span.field("Trace ID") == TRACE), "{spans:#?}");
    let request = spans.iter().find(|span| span.field("Parent ID") == PARENT);
    let request = request.context("the proxy's span is the parent of none")?;
    assert_eq!(request.attribute(REQUEST_ID), request_id(&traced));
    Ok(())
}

#[test]
fn without_its_collector_a_registry_serves_and_says_that_it_is_missing() -> Result<()> {
    let root = tempfile::tempdir()?;
    let mut server = start(root.path(), free_address()?, "", "service: test")?;
    assert_eq!(get(&server, "/v2/team/app/tags/list", &[])?.status, 404);
    let words = ["opentelemetry", "ExportError"];
    wait(
        "complaint",
        || server.log(),
        |log| {
            log.lines()
                .any(|line| words.iter().all(|word| line.contains(word)))
                .then_some(())
        },
    )?;
    assert_eq!(get(&server, "/v2/team/app/tags/list", &[])?.status, 404);
    server.stop()
}
