//! Where the registry tells what it does, beside its log and its metrics: an audit stream, and traces.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::Problem;

/// Where the audit stream goes: one line of JSON for each request, with who asked for what, from where, and what policy said.
/// It does not depend on the level of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Audit {
    /// To standard output, which nothing else is written to while the registry serves.
    Stdout,
    /// To a file, at its end. It is opened once: rotate it by copying and truncating it.
    File(PathBuf),
}

/// Where traces are sent, by OTLP over HTTP without TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Traces {
    /// Address of the collector, such as `http://collector.observability:4318`; `/v1/traces` is added where it has no path.
    pub endpoint: String,
    /// How many of a million requests are traced, unless a trusted proxy has decided it for one. Default all.
    #[serde(default = "Traces::all", rename = "samplingRatePerMillion")]
    pub sampling_rate_per_million: u32,
}

impl Traces {
    /// Every request.
    pub const MILLION: u32 = 1_000_000;

    fn all() -> u32 {
        Self::MILLION
    }

    /// The address that traces are sent to.
    ///
    /// # Errors
    /// What is wrong with the endpoint.
    pub fn address(&self) -> Result<Url, String> {
        let hint = "write scheme, host and port, such as `http://collector.observability:4318`";
        let mut url: Url = self
            .endpoint
            .parse()
            .map_err(|error| format!("`{}` is no address ({error}): {hint}", self.endpoint))?;
        if url.scheme() != "http" || !url.has_host() {
            return Err(format!(
                "`{}` is not one of `http`, which is all that traces are sent by: {hint}, of a collector near by",
                self.endpoint
            ));
        }
        if url.path() == "/" {
            url.set_path("/v1/traces");
        }
        Ok(url)
    }

    /// The part of requests that is traced, from 0 to 1.
    pub fn ratio(&self) -> f64 {
        f64::from(self.sampling_rate_per_million) / f64::from(Self::MILLION)
    }

    /// What is wrong with the settings, with paths that begin with `traces`.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Err(why) = self.address() {
            problems.push(Problem::new("traces.endpoint", why));
        }
        if self.sampling_rate_per_million > Self::MILLION {
            let message = format!("{} is more than a million", self.sampling_rate_per_million);
            problems.push(Problem::new("traces.samplingRatePerMillion", message));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traces(endpoint: &str) -> Traces {
        Traces {
            endpoint: endpoint.to_owned(),
            sampling_rate_per_million: Traces::MILLION,
        }
    }

    #[test]
    fn the_path_of_the_protocol_is_added_where_none_is_given() {
        for (endpoint, want) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("http://collector/otlp/v1/traces", "http://collector/otlp/v1/traces"),
        ] {
            assert_eq!(traces(endpoint).address().unwrap().as_str(), want);
        }
    }

    #[test]
    fn what_is_no_collector_is_a_problem_with_its_field() {
        for endpoint in [
            "collector:4318",
            "",
            "grpc://collector:4317",
            "https://collector",
            "http://",
        ] {
            let problems = traces(endpoint).problems();
            assert_eq!(problems.len(), 1, "{endpoint}");
            assert_eq!(problems[0].path, "traces.endpoint");
        }
        let too_many = Traces {
            sampling_rate_per_million: 1_000_001,
            ..traces("http://collector:4318")
        };
        assert_eq!(too_many.problems()[0].path, "traces.samplingRatePerMillion");
    }
}
