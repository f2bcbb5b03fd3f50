//! Logs: to standard error, for people or as JSON.

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::traces::{self, Traces};

/// How log lines look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts logging, at the level that `RUST_LOG` says; `info` where it says none. Traces do not depend on the level.
pub fn start(format: LogFormat, traces: Option<&Traces>) {
    let level = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env_lossy();
    let lines = match format {
        LogFormat::Text => fmt::layer().with_writer(std::io::stderr).with_ansi(false).boxed(),
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(std::io::stderr)
            .boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter_fn(may_be_logged)).with_filter(level))
        .with(traces.map(Traces::layer))
        .init();
}

/// Below `info`, libraries may write whole requests, with tokens and passwords in their headers, and whole Secrets. Our
/// own lines never hold a secret at any level, so only they are shown there, whatever `RUST_LOG` says.
fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    let ours = ["wharfinger_registry", "registry_policy", "registry_config"];
    let root = metadata.target().split("::").next().unwrap_or_default();
    metadata.target() != traces::TARGET && (*metadata.level() <= Level::INFO || ours.contains(&root))
}
