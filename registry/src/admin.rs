//! The admin port: probes, metrics and status, for whoever runs the registry. Never on the port that clients reach.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use registry_config::FORMAT_VERSIONS;
use serde_json::json;

use crate::access::Current;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::tls::{Certificates, TlsStatus};

/// What the admin port tells about.
#[derive(Clone)]
pub struct Admin {
    /// The access document in force.
    pub current: Arc<Current>,
    /// Where content is kept.
    pub store: Arc<dyn Store>,
    /// The certificate of the data port; `None` where it has no TLS.
    pub certificates: Option<Arc<Certificates>>,
    /// The counters.
    pub metrics: Metrics,
    /// Set when the process is to stop, so that no new work is sent here.
    pub stopping: Arc<AtomicBool>,
}

/// The pages of the admin port.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .route("/metrics", get(metrics))
        .layer(map_response(as_declared))
        .with_state(admin)
}

/// Tells browsers to take a body for what its `Content-Type` says.
async fn as_declared(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Whether requests can be answered. The body says why not.
async fn readyz(State(admin): State<Admin>) -> Response {
    let not_ready = |reason: String| (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response();
    if admin.stopping.load(Ordering::Relaxed) {
        return not_ready("stopping".to_owned());
    }
    if admin.current.snapshot().is_none() {
        let refused = admin.current.status().refused;
        let why = refused
            .map(|refused| format!("; the one offered is refused: {}", refused.reason))
            .unwrap_or_default();
        return not_ready(format!("no access document has been read yet{why}"));
    }
    if let Some(tls) = admin.certificates.as_ref().map(|certificates| certificates.status())
        && tls.in_use.is_none()
    {
        let why = tls.refused.unwrap_or_default();
        return not_ready(format!("there is no TLS certificate that can be used: {why}"));
    }
    match admin.store.probe().await {
        Ok(()) => "ok\n".into_response(),
        Err(error) => {
            let uid = rustix::process::geteuid().as_raw();
            let cause = std::error::Error::source(&error)
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            not_ready(format!("the store is not usable as uid {uid}: {error}{cause}"))
        }
    }
}

/// Which access document and which certificate are in use; no name of an identity, policy or repository stands here.
async fn status(State(admin): State<Admin>) -> Response {
    let status = admin.current.status();
    let (revision, digest) = status
        .in_force
        .map(|in_force| (in_force.revision, in_force.digest))
        .unzip();
    let refused = status
        .refused
        .map(|refused| json!({ "revision": refused.revision, "reason": refused.reason }));
    let tls = admin.certificates.as_ref().map(|certificates| {
        let TlsStatus { in_use, refused } = certificates.status();
        let (fingerprint, not_after) = in_use
            .map(|certificate| (certificate.fingerprint, certificate.not_after.to_string()))
            .unzip();
        json!({ "fingerprint": fingerprint, "notAfter": not_after, "refused": refused })
    });
    Json(json!({
        "revision": revision,
        "digest": digest,
        "formatVersions": FORMAT_VERSIONS,
        "refused": refused,
        "tls": tls,
    }))
    .into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], admin.metrics.text()).into_response()
}
