//! Waiting until the example's objects are ready, and telling what each of them says meanwhile.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use node::{Node, Progress};

/// One line for each object: its name, both generations, and its condition Ready.
const COLUMNS: &str = r#"--output=jsonpath={range .items[*]}{.kind} {.metadata.name}{"\t"}{.metadata.generation}{"\t"}{.status.conditions[?(@.type=="Ready")].observedGeneration}{"\t"}{.status.conditions[?(@.type=="Ready")].status}{"\t"}{.status.conditions[?(@.type=="Ready")].reason}{"\t"}{.status.conditions[?(@.type=="Ready")].message}{"\n"}{end}"#;
const PATIENCE: Duration = Duration::from_mins(3);

/// Returns when every object of ours in the namespace `default` is Ready, in its latest form.
pub(crate) fn wait(node: &Node, progress: &Progress) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut told = BTreeMap::new();
    loop {
        let text = node.kubectl(&["get", "registries,registryidentities,accesspolicies", COLUMNS])?;
        let objects: Vec<Object> = text.lines().filter_map(Object::parse).collect();
        for object in &objects {
            if told.insert(object.name.clone(), object.says.clone()).as_ref() != Some(&object.says) {
                progress.step(format!("{}: {}", object.name, object.says));
            }
        }
        if !objects.is_empty() && objects.iter().all(|object| object.ready) {
            return Ok(());
        }
        if Instant::now() > deadline {
            let states = node.kubectl(&["get", "all,registries,registryidentities,accesspolicies"])?;
            let events = node.kubectl(&["get", "events", "--field-selector=type=Warning"])?;
            bail!("not ready after {} s:\n{states}\n{events}", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Returns when the registry answers at this port of 127.0.0.1: a Service leads to a Pod only some time after the Pod is
/// ready.
pub(crate) fn reachable(port: u16) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask(port).unwrap_or_default();
        if answer.starts_with("HTTP/1.") {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("nothing answers at 127.0.0.1:{port}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn ask(port: u16) -> std::io::Result<String> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    connection.write_all(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}

#[derive(Debug, PartialEq, Eq)]
struct Object {
    name: String,
    ready: bool,
    says: String,
}

impl Object {
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, generation, observed, status, reason, message] = fields[..] else {
            return None;
        };
        let ready = status == "True" && generation == observed;
        let says = match (ready, reason) {
            (true, _) => "ready".to_owned(),
            (false, "") => "not seen by the operator yet".to_owned(),
            (false, _) => format!("{reason}: {message}"),
        };
        Some(Self {
            name: name.to_owned(),
            ready,
            says,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_ready_when_its_latest_form_is() {
        for (line, ready, says) in [
            ("Registry main\t2\t2\tTrue\tOk\t", true, "ready"),
            ("Registry main\t2\t1\tTrue\tOk\told", false, "Ok: old"),
            (
                "Registry main\t1\t1\tFalse\tPending\t0 of 1 Pods",
                false,
                "Pending: 0 of 1 Pods",
            ),
            ("Registry main\t1\t\t\t\t", false, "not seen by the operator yet"),
        ] {
            let want = Object {
                name: "Registry main".into(),
                ready,
                says: says.into(),
            };
            assert_eq!(Object::parse(line), Some(want), "{line}");
        }
    }
}
