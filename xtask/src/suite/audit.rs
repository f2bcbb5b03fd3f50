//! What the API server's audit log says about the operator: the chart's rights must have been enough for all it did.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, bail};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::cluster::RELEASE;

/// How soon a request that was refused must have been let through to have had the right all along: an API server that has
/// just started refuses everybody until it has read the roles.
const STARTING: SignedDuration = SignedDuration::from_secs(30);

/// Fails if the API server ever refused an operator, of whatever installation, for want of a right.
pub(crate) fn check(log: &Path) -> Result<String> {
    let file = File::open(log).with_context(|| format!("cannot open the audit log `{}`", log.display()))?;
    let mut requests = 0_usize;
    let mut allowed: HashMap<String, BTreeSet<Timestamp>> = HashMap::new();
    let mut refused: Vec<(String, Timestamp, String)> = Vec::new();
    for line in BufReader::new(file).lines() {
        let Ok(event) = serde_json::from_str::<Value>(&line?) else {
            continue;
        };
        if !is_operator(&event) {
            continue;
        }
        requests += usize::from(event["stage"] == "ResponseComplete");
        let at: Timestamp = text(&event["requestReceivedTimestamp"])
            .parse()
            .context("an event without a time")?;
        // A namespace that is being deleted refuses new objects with the same code, whatever the rights.
        let is_allowed = event["annotations"]["authorization.k8s.io/decision"] == "allow";
        if event["responseStatus"]["code"] != 403 || is_allowed {
            allowed.entry(right(&event)).or_default().insert(at);
        } else if event["stage"] == "ResponseComplete" {
            refused.push((right(&event), at, what(&event)));
        }
    }
    if requests == 0 {
        bail!("the audit log knows no request of the operator, so nothing is proven");
    }
    let (early, refused): (Vec<_>, Vec<_>) = refused.into_iter().partition(|(right, at, _)| {
        let later = allowed.get(right).and_then(|times| times.range(at..).next());
        later.is_some_and(|later| later.duration_since(*at) < STARTING)
    });
    if !refused.is_empty() {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for (_, _, what) in refused {
            *counts.entry(what).or_default() += 1;
        }
        let list: Vec<String> = counts
            .iter()
            .map(|(what, times)| format!("{what} ({times} times)"))
            .collect();
        bail!("the API server refused the operator: {}", list.join("; "));
    }
    let starting = match early.len() {
        0 => String::new(),
        count => format!(" but {count} by an API server that was starting"),
    };
    Ok(format!("{requests} requests of the operator, none refused{starting}"))
}

/// The chart names its service account after its release, alone or with the chart's name behind.
fn is_operator(event: &Value) -> bool {
    let account = event["user"]["username"]
        .as_str()
        .and_then(|name| name.strip_prefix("system:serviceaccount:"));
    let name = account
        .and_then(|account| account.split_once(':'))
        .map(|(_, name)| name);
    name.is_some_and(|name| name == RELEASE || name.ends_with(&format!("-{RELEASE}")))
}

/// Who asks for what: the same where the same right is needed.
fn right(event: &Value) -> String {
    let object = &event["objectRef"];
    let words = [
        &event["user"]["username"],
        &event["verb"],
        &object["resource"],
        &object["subresource"],
        &object["namespace"],
    ];
    words.map(text).join(" ")
}

fn what(event: &Value) -> String {
    let object = &event["objectRef"];
    let resource = [text(&object["resource"]), text(&object["subresource"])].join("/");
    let reason = &event["annotations"]["authorization.k8s.io/reason"];
    format!(
        "{} {} {}/{} by {} {}",
        text(&event["verb"]),
        resource.trim_end_matches('/'),
        text(&object["namespace"]),
        text(&object["name"]),
        text(&event["user"]["username"]),
        text(reason)
    )
    .trim_end()
    .to_owned()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"stage":"ResponseComplete","requestReceivedTimestamp":"2026-01-01T00:00:00.000000Z","verb":"patch","user":{"username":"system:serviceaccount:system:wharfinger"},
        "objectRef":{"resource":"registries","subresource":"status","namespace":"a","name":"main"},"responseStatus":{"code":200}}"#;

    fn verdict(lines: &[String]) -> Result<String> {
        let name = format!("audit-{}-{:?}.jsonl", std::process::id(), std::thread::current().id());
        let log = std::env::temp_dir().join(name);
        std::fs::write(&log, lines.join("\n")).unwrap();
        let verdict = check(&log);
        std::fs::remove_file(&log).unwrap();
        verdict
    }

    #[test]
    fn a_refused_request_of_the_operator_fails_and_is_named() {
        let event = EVENT.replace('\n', "");
        assert!(verdict(std::slice::from_ref(&event)).unwrap().starts_with("1 requests"));
        let refused = event.replace("200", "403");
        let error = verdict(&[event.clone(), refused.replace("00:00:00", "00:00:01")]);
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("patch registries/status a/main by system:serviceaccount:system:wharfinger (1 times)"),
            "{error}"
        );
        let going = refused.replacen('{', r#"{"annotations":{"authorization.k8s.io/decision":"allow"},"#, 1);
        assert!(verdict(&[going]).is_ok());
        let soon = event.replace("00:00:00", "00:00:29");
        let said = verdict(&[refused.clone(), soon.clone()]).unwrap();
        assert!(said.contains("1 by an API server that was starting"), "{said}");
        assert!(verdict(&[refused.clone(), soon.replace("00:00:29", "00:00:31")]).is_err());
        assert!(
            verdict(&[refused.clone(), soon.replace("\"a\"", "\"b\"")]).is_err(),
            "another right"
        );
        let second = refused.replace("system:wharfinger", "other:second-wharfinger");
        assert!(verdict(&[event.clone(), second]).is_err());
        let somebody = refused.replace("system:wharfinger", "system:somebody");
        assert!(verdict(&[event, somebody]).is_ok());
    }

    #[test]
    fn a_log_without_the_operator_proves_nothing() {
        assert!(verdict(&["not json".to_owned()]).is_err());
    }
}
