//! What the API server did, by its audit log.

use std::fs::File;
use std::io::{BufRead, BufReader};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::Value;

use crate::cluster::text;
use crate::environment;

/// One request that was answered.
#[derive(Debug, Clone)]
pub struct Request {
    /// When it came.
    pub at: Timestamp,
    /// Who sent it.
    pub user: String,
    /// What was to be done: get, list, watch, create, update, patch, delete, ...
    pub verb: String,
    /// With what kind of object, in the plural.
    pub resource: String,
    /// With what part of it, such as `status`; mostly none.
    pub subresource: String,
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// How it was answered.
    pub code: u64,
}

impl Request {
    /// Whether it changed, or was to change, anything.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

/// All requests of a user since a time, in their order.
///
/// # Errors
/// Where there is no audit log.
pub fn requests(since: Timestamp, user: impl Fn(&str) -> bool) -> Result<Vec<Request>> {
    let log = environment::node()?.audit_log();
    let file = File::open(&log).with_context(|| format!("cannot open the audit log `{}`", log.display()))?;
    let mut found = Vec::new();
    for line in BufReader::new(file).lines() {
        // The last line may be half written.
        let Ok(event) = serde_json::from_str::<Value>(&line?) else {
            continue;
        };
        if event["stage"] != "ResponseComplete" || !user(&text(&event["user"]["username"])) {
            continue;
        }
        let at: Timestamp = text(&event["requestReceivedTimestamp"]).parse()?;
        if at < since {
            continue;
        }
        let object = &event["objectRef"];
        found.push(Request {
            at,
            user: text(&event["user"]["username"]),
            verb: text(&event["verb"]),
            resource: text(&object["resource"]),
            subresource: text(&object["subresource"]),
            namespace: text(&object["namespace"]),
            name: text(&object["name"]),
            code: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
        });
    }
    Ok(found)
}
