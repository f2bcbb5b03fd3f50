//! Settings for the server document, checked by the functions that the registry itself calls.

use std::num::NonZeroU32;

use crds::{AuditStream, Registry, reasons};
use registry_config::{Audit, DurationText, Limits, Traces, Uploads};

use crate::outcome::Verdict;

/// What the server document takes from the spec, with every default filled in.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::registry) struct ServerSettings {
    pub(in crate::registry) limits: Limits,
    pub(in crate::registry) uploads: Uploads,
    pub(in crate::registry) audit: Option<Audit>,
    pub(in crate::registry) traces: Option<Traces>,
}

impl ServerSettings {
    /// Reads them. The schema admits only good ones; anything else would be an object older than the schema, or one of
    /// the few things that a schema cannot say.
    pub(super) fn of(registry: &Registry) -> Result<Self, Verdict> {
        let mut problems = Vec::new();
        let given = registry.spec.limits.clone().unwrap_or_default();
        let mut limits = Limits::default();
        let mut uploads = Uploads::default();
        let given_uploads = given.uploads.unwrap_or_default();
        for (field, number, into) in [
            ("connections", given.connections, &mut limits.connections),
            (
                "connectionsPerAddress",
                given.connections_per_address,
                &mut limits.connections_per_address,
            ),
            (
                "requestsPerIdentity",
                given.requests_per_identity,
                &mut limits.requests_per_identity,
            ),
            (
                "uploads.sessionsPerIdentity",
                given_uploads.sessions_per_identity,
                &mut uploads.sessions_per_identity,
            ),
        ] {
            let Some(number) = number else { continue };
            match u32::try_from(number).ok().and_then(NonZeroU32::new) {
                Some(number) => *into = number,
                None => problems.push(format!("spec.limits.{field}: {number} is less than 1")),
            }
        }
        for (field, text, into) in [
            (
                "handshakeTimeout",
                &given.handshake_timeout,
                &mut limits.handshake_timeout,
            ),
            ("idleTimeout", &given.idle_timeout, &mut limits.idle_timeout),
            ("stallTimeout", &given.stall_timeout, &mut limits.stall_timeout),
            (
                "uploads.expireAfter",
                &given_uploads.expire_after,
                &mut uploads.expire_after,
            ),
        ] {
            let Some(text) = text else { continue };
            match text.parse::<DurationText>() {
                Ok(duration) if duration >= DurationText::from_secs(1) => *into = duration,
                Ok(_) => problems.push(format!("spec.limits.{field}: `{text}` is less than `1s`")),
                Err(why) => problems.push(format!("spec.limits.{field}: {why}")),
            }
        }
        let monitoring = registry.spec.monitoring.clone().unwrap_or_default();
        let audit = monitoring.audit.map(|AuditStream::Stdout| Audit::Stdout);
        let traces = monitoring.traces.map(traces);
        if let Some(traces) = &traces {
            let found = traces.problems().into_iter();
            problems.extend(found.map(|problem| format!("spec.monitoring.{problem}")));
        }
        if !problems.is_empty() {
            return Err(Verdict::no(reasons::INVALID, problems.join("; ")));
        }
        Ok(Self {
            limits,
            uploads,
            audit,
            traces,
        })
    }
}

fn traces(given: crds::Traces) -> Traces {
    let rate = given.sampling_rate_per_million.map(u32::try_from);
    Traces {
        endpoint: given.endpoint,
        // A number below zero is one of an object older than the schema; it asks for as little as there is.
        sampling_rate_per_million: rate.map_or(Traces::MILLION, Result::unwrap_or_default),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::registry_with;
    use super::*;

    fn of(spec: &Value) -> Result<ServerSettings, Verdict> {
        ServerSettings::of(&registry_with(spec))
    }

    #[test]
    fn what_the_spec_says_stands_in_the_server_document_and_the_rest_has_its_default() {
        assert_eq!(of(&json!({})).unwrap(), ServerSettings::default());
        let settings = of(&json!({
            "limits": {
                "connections": 5,
                "requestsPerIdentity": 7,
                "stallTimeout": "5m",
                "uploads": { "expireAfter": "6h", "sessionsPerIdentity": 20 },
            },
            "monitoring": { "audit": "Stdout", "traces": { "endpoint": "http://collector:4318" } },
        }));
        let settings = settings.unwrap();
        let limits = Limits {
            connections: NonZeroU32::new(5).unwrap(),
            requests_per_identity: NonZeroU32::new(7).unwrap(),
            stall_timeout: DurationText::from_secs(300),
            ..Limits::default()
        };
        assert_eq!(settings.limits, limits);
        assert_eq!(settings.uploads.expire_after.to_string(), "6h");
        assert_eq!(settings.uploads.sessions_per_identity.get(), 20);
        assert_eq!(settings.audit, Some(Audit::Stdout));
        let traces = settings.traces.unwrap();
        assert_eq!(traces.sampling_rate_per_million, 1_000_000);
        assert_eq!(traces.address().unwrap().as_str(), "http://collector:4318/v1/traces");
    }

    #[test]
    fn what_the_registry_would_refuse_is_told_with_its_path() {
        let refused = of(&json!({
            "limits": { "connections": 0, "idleTimeout": "0s", "uploads": { "expireAfter": "soon" } },
            "monitoring": { "traces": { "endpoint": "http://collector:99999" } },
        }));
        let why = refused.unwrap_err();
        assert_eq!(why.reason, reasons::INVALID);
        for path in [
            "spec.limits.connections: 0",
            "spec.limits.idleTimeout: `0s`",
            "spec.limits.uploads.expireAfter: `soon`",
            "spec.monitoring.traces.endpoint: `http://collector:99999`",
        ] {
            assert!(why.message.contains(path), "{}", why.message);
        }
    }
}
