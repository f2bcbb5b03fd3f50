//! What the API server's audit log says about the operator: the chart's rights must have been enough for all it did.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cluster::RELEASE;

/// Fails if the API server ever refused an operator, of whatever installation, for want of a right.
pub(crate) fn check(log: &Path) -> Result<String> {
    let file = File::open(log).with_context(|| format!("cannot open the audit log `{}`", log.display()))?;
    let mut requests = 0_usize;
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    for line in BufReader::new(file).lines() {
        let Ok(event) = serde_json::from_str::<Value>(&line?) else {
            continue;
        };
        if is_operator(&event) && event["stage"] == "ResponseComplete" {
            requests += 1;
            // A namespace that is being deleted refuses new objects with the same code, whatever the rights.
            let is_allowed = event["annotations"]["authorization.k8s.io/decision"] == "allow";
            if event["responseStatus"]["code"] == 403 && !is_allowed {
                *refused.entry(what(&event)).or_default() += 1;
            }
        }
    }
    if requests == 0 {
        bail!("the audit log knows no request of the operator, so nothing is proven");
    }
    if !refused.is_empty() {
        let list: Vec<String> = refused
            .iter()
            .map(|(what, times)| format!("{what} ({times} times)"))
            .collect();
        bail!("the API server refused the operator: {}", list.join("; "));
    }
    Ok(format!("{requests} requests of the operator, none refused"))
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

fn what(event: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = &event["objectRef"];
    let resource = [text(&object["resource"]), text(&object["subresource"])].join("/");
    let reason = &event["annotations"]["authorization.k8s.io/reason"];
    format!(
        "{} {} {}/{} {}",
        text(&event["verb"]),
        resource.trim_end_matches('/'),
        text(&object["namespace"]),
        text(&object["name"]),
        text(reason)
    )
    .trim_end()
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"stage":"ResponseComplete","verb":"patch","user":{"username":"system:serviceaccount:system:wharfinger"},
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
        let error = verdict(&[event.clone(), refused.clone()]).unwrap_err().to_string();
        assert!(error.contains("patch registries/status a/main (1 times)"), "{error}");
        let going = refused.replacen('{', r#"{"annotations":{"authorization.k8s.io/decision":"allow"},"#, 1);
        assert!(verdict(&[going]).is_ok());
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
