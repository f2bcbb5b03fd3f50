//! `serve`: the registry, from its documents to its end.

use std::fs;
use std::future::IntoFuture;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Context, bail};
use registry_config::{AccessSecret, ServerConfig, Storage};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use super::ServeArguments;
use crate::access::{Current, file, secret};
use crate::admin::{self, Admin};
use crate::audit::Audit;
use crate::authenticate::Authenticator;
use crate::issuer_keys::IssuerKeys;
use crate::logging;
use crate::metrics::Metrics;
use crate::password::Passwords;
use crate::server::{Limits, Server};
use crate::service::Service;
use crate::store::{FilesystemStore, Measured, Store};
use crate::throttle::Throttle;
use crate::tls::{Certificates, Tls};
use crate::token::{Key, OidcTokens, Reviews, ServerTokens, ServiceAccounts, Tokens};
use crate::traces::Traces;

/// Stack of each thread: an expression may nest as deep as its checks allow.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// Serves until the process is told to stop.
pub(super) fn run(arguments: ServeArguments) -> anyhow::Result<()> {
    let config = read_config(&arguments.config)?;
    let traces = config.traces.as_ref().map(Traces::start).transpose()?;
    logging::start(arguments.log_format, traces.as_ref());
    let source = source(&config, arguments.access, arguments.htpasswd)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build()
        .context("cannot start the threads")?;
    let metrics = Metrics::default();
    let audit = config
        .audit
        .as_ref()
        .map(|to| Audit::start(to, metrics.clone()))
        .transpose()?;
    // Nothing may return from here on before the stream is let go of: its writer waits for that.
    let (audit, audit_writer) = audit.unzip();
    let served = runtime.block_on(serve(config, source, arguments.drain, metrics, audit));
    // In this order: requests that were not let end still have something to say.
    drop(runtime);
    drop(audit_writer);
    drop(traces);
    served
}

/// Where the access document comes from.
enum Source {
    Files(file::Files),
    Secret(AccessSecret),
}

/// Reads a server document, or says everything that is wrong with it.
pub(super) fn read_config(path: &Path) -> anyhow::Result<ServerConfig> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read the server document `{}`", path.display()))?;
    let config = ServerConfig::accept(&text);
    config.or_else(|error| {
        bail!(
            "the server document is refused:\n{}",
            registry_config::describe_problems(path, &text, "", &error).join("\n")
        )
    })
}

fn source(config: &ServerConfig, access: Option<PathBuf>, htpasswd: Option<PathBuf>) -> anyhow::Result<Source> {
    match (&config.access_secret, access) {
        (Some(secret), None) => Ok(Source::Secret(secret.clone())),
        (None, Some(document)) => Ok(Source::Files(file::Files { document, htpasswd })),
        (Some(_), Some(_)) => {
            bail!("the server document names an `accessSecret`: leave out `--access`, or the one in the document")
        }
        (None, None) => {
            bail!("name an access document with `--access`, since the server document names no `accessSecret`")
        }
    }
}

async fn serve(
    config: ServerConfig,
    source: Source,
    drain: Duration,
    metrics: Metrics,
    audit: Option<Audit>,
) -> anyhow::Result<()> {
    let current = Arc::new(Current::new(Arc::new(Key::generate()?), metrics.clone()));
    let Storage::Filesystem(storage) = &config.storage;
    let store = FilesystemStore::open(&storage.root, &config.uploads, metrics.store())?;
    let store: Arc<dyn Store> = Arc::new(Measured::new(store, metrics.store().clone()));
    // Before anybody is told that this process listens: whoever stops it then expects an orderly end.
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let stopping = Arc::new(AtomicBool::new(false));

    let certificates = config
        .tls
        .clone()
        .map(|files| Certificates::read(files, metrics.clone()));
    let tls = certificates.clone().map(Tls::new);
    if let Some(tls) = &tls {
        tls.acceptor(None).context("cannot set up TLS")?;
    }
    let follow_certificates = certificates.clone().map_or_else(
        || tokio::spawn(std::future::pending()),
        |certificates| tokio::spawn(certificates.follow()),
    );

    let admin = Admin {
        certificates,
        current: current.clone(),
        store: store.clone(),
        metrics: metrics.clone(),
        stopping: stopping.clone(),
    };
    let listener = listen("adminListen", config.admin_listen).await?;
    let admin = tokio::spawn(axum::serve(listener, admin::router(admin)).into_future());

    let reviews = Reviews::new(match &source {
        Source::Files(_) => None,
        Source::Secret(_) => Some(secret::client),
    });
    let follower = follow(source, &current).await?;
    let listener = listen("listen", config.listen).await?;
    let passwords = Passwords::new(available_parallelism().map_or(1, usize::from))?;
    let authenticator = Authenticator {
        current,
        passwords,
        throttle: Throttle::default(),
        tokens: Tokens::default(),
        service_accounts: ServiceAccounts::default(),
        reviews,
        oidc: OidcTokens::new(IssuerKeys::new(metrics.clone())),
        server_tokens: ServerTokens::default(),
        metrics,
    };
    let readings = config.limits.requests_per_identity.get() as usize;
    let server = Server {
        service: Arc::new(Service::new(store, authenticator, readings).with_audit(audit)),
        tls,
        limits: Limits::from(&config.limits),
        drain,
    };

    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopping.store(true, Ordering::Relaxed);
    };
    tokio::select! {
        () = server.serve(listener, stop) => Ok(()),
        // Neither ends by itself. A registry that no longer follows its document would let revoked users in.
        ended = follower => bail!("the access document is no longer followed: {ended:?}"),
        ended = follow_certificates => bail!("the TLS certificate is no longer followed: {ended:?}"),
        ended = admin => bail!("the admin port is no longer served: {ended:?}"),
    }
}

/// Reads the access document and begins to follow it. A file must be right at the start; a Secret may come later.
async fn follow(source: Source, current: &Arc<Current>) -> anyhow::Result<JoinHandle<()>> {
    match source {
        Source::Files(files) => {
            file::load(&files, current).await?;
            Ok(tokio::spawn(file::follow(files, current.clone())))
        }
        Source::Secret(settings) => Ok(tokio::spawn(secret::follow(settings, current.clone(), secret::client))),
    }
}

async fn listen(field: &str, address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on `{field}` {address}"))?;
    let address = listener
        .local_addr()
        .context("the system does not say where it listens")?;
    tracing::info!(%address, "listening for `{field}`");
    Ok(listener)
}
