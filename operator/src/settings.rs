//! What the operator is told when it starts.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Settings of the operator, from its command line and environment.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Image of the registries whose spec names none.
    #[arg(long, env = "WHARFINGER_REGISTRY_IMAGE")]
    pub registry_image: String,

    /// A Registry may name an image that begins with one of these; none: only the default image.
    #[arg(
        long = "allowed-image-prefix",
        env = "WHARFINGER_ALLOWED_IMAGE_PREFIXES",
        value_delimiter = ','
    )]
    pub allowed_image_prefixes: Vec<String>,

    /// Tells this installation from others that may see the same objects: namespace and release.
    #[arg(long, env = "WHARFINGER_INSTALLATION")]
    pub installation: String,

    /// Namespace of the operator, for its Lease.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: String,

    /// Name of the operator's Pod, which it holds the Lease as.
    #[arg(long, env = "POD_NAME")]
    pub pod_name: String,

    /// Address and port of /livez, /readyz and /metrics.
    #[arg(long, default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// How log lines are written.
    #[arg(long, env = "WHARFINGER_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Libraries that print the headers and bodies of what they send when asked for detail, and so Secrets: they stay at
/// `info` whatever `RUST_LOG` says.
const QUIET: [&str; 9] = [
    "hyper",
    "hyper_util",
    "h2",
    "rustls",
    "reqwest",
    "tower",
    "kube_client",
    "kube_runtime",
    "kube",
];

impl LogFormat {
    /// Begins to write log lines to standard error, at the level of `RUST_LOG` (default `info`).
    pub fn init(self) {
        let mut filter = EnvFilter::builder()
            .with_default_directive(tracing::Level::INFO.into())
            .from_env_lossy();
        for library in QUIET {
            let directive = format!("{library}=info").parse().expect("a constant directive");
            filter = filter.add_directive(directive);
        }
        let registry = tracing_subscriber::registry().with(filter);
        let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        match self {
            Self::Text => registry.with(layer).init(),
            Self::Json => registry.with(layer.json()).init(),
        }
    }
}
