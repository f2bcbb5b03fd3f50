//! What the registry counts, and the text in which Prometheus reads it. Labels are bounded: no names of repositories,
//! identities or policies.

mod store;

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry as MetricsRegistry};

pub use store::StoreMetrics;

/// Upper bounds of the classes that durations are counted in, in seconds.
const DURATIONS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0];

/// Durations by labels.
type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

/// The counters of one registry. Cloning gives another handle to the same counters.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    seconds: Durations<SecondsLabels>,
    bytes_sent: Counter,
    bytes_received: Counter,
    authentications: Family<AuthenticationLabels, Counter>,
    decisions: Family<DecisionLabels, Counter>,
    audit_matches: Family<AuditLabels, Counter>,
    evaluation_errors: Counter,
    issuer_requests: Family<IssuerLabels, Counter>,
    refused_documents: Counter,
    refused_certificates: Counter,
    certificate_end: Gauge,
    refused_connections: Counter,
    refused_requests: Counter,
    audit_lost: Counter,
    store: StoreMetrics,
    revision: Gauge<u64, AtomicU64>,
    all: Arc<MetricsRegistry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    method: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SecondsLabels {
    route: &'static str,
}

/// How a request was authenticated, or why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Authentication {
    /// No credential came.
    Anonymous,
    /// A password that was verified before and is remembered.
    RememberedPassword,
    /// A password that was verified now.
    Password,
    /// A password that is not accepted, or a user that does not exist.
    BadPassword,
    /// A token.
    Token,
    /// A token that is not accepted.
    BadToken,
    /// A token of the token server.
    TokenServer,
    /// A token of the token server that is not accepted.
    BadTokenServer,
    /// A refresh token.
    Refresh,
    /// A refresh token that is not accepted.
    BadRefresh,
    /// A client certificate, and nothing else.
    Certificate,
    /// No client certificate that is believed, where there must be one.
    BadCertificate,
    /// An OpenID Connect token.
    Oidc,
    /// An OpenID Connect token that is not accepted.
    BadOidc,
    /// An OpenID Connect token whose issuer's keys cannot be read.
    OidcUnavailable,
    /// A token of a ServiceAccount.
    Account,
    /// A token of a ServiceAccount that is not accepted.
    BadAccount,
    /// A token of a ServiceAccount that the API server is to be asked about, and cannot be.
    AccountUnavailable,
    /// A trusted proxy that names somebody.
    Proxy,
    /// A trusted proxy that names somebody who may not sign in.
    BadProxy,
    /// A credential that could not be read.
    Unreadable,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AuthenticationLabels {
    result: Authentication,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    action: &'static str,
    decision: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AuditLabels {
    action: &'static str,
    effect: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerLabels {
    result: &'static str,
}

/// A new metric among `all`.
fn add<M: Metric + Clone + Default>(all: &mut MetricsRegistry, name: &str, help: &str) -> M {
    let metric = M::default();
    all.register(name, help, metric.clone());
    metric
}

/// New durations among `all`.
fn add_durations<L>(all: &mut MetricsRegistry, name: &str, help: &str) -> Durations<L>
where
    L: EncodeLabelSet + Clone + Eq + Hash + Debug + Send + Sync + 'static,
{
    let durations: Durations<L> = Family::new_with_constructor(|| Histogram::new(DURATIONS));
    all.register(name, help, durations.clone());
    durations
}

impl Default for Metrics {
    fn default() -> Self {
        let mut all = MetricsRegistry::with_prefix("wharfinger_registry");
        let requests = add(
            &mut all,
            "requests",
            "Requests answered, by route, method and class of status",
        );
        let seconds = add_durations(
            &mut all,
            "request_seconds",
            "How long it took until the answer began, by route; what is pushed is part of it, what is pulled is not",
        );
        let bytes_sent = add(&mut all, "sent_bytes", "Bytes of response bodies");
        let bytes_received = add(&mut all, "received_bytes", "Bytes of request bodies");
        let authentications = add(&mut all, "authentications", "Requests authenticated, by result");
        let decisions = add(&mut all, "policy_decisions", "Policy decisions, by action and outcome");
        let audit_matches = add(
            &mut all,
            "policy_audit_matches",
            "Rules of policies in audit mode that matched, by action and by what they would have been a reason for",
        );
        let evaluation_errors = add(
            &mut all,
            "policy_evaluation_errors",
            "Policy conditions that could not be evaluated; a Deny counted as matching, an Allow as not matching",
        );
        let issuer_requests = add(
            &mut all,
            "issuer_key_requests",
            "How often issuers of OpenID Connect tokens were asked for their keys, by `read` or `failed`",
        );
        let refused_documents = add(
            &mut all,
            "access_documents_refused",
            "Access documents that were not taken",
        );
        let refused_certificates = add(
            &mut all,
            "tls_certificates_refused",
            "TLS certificates that were not taken",
        );
        let certificate_end = add(
            &mut all,
            "tls_certificate_not_after_seconds",
            "Until when the TLS certificate in use is valid, in seconds since 1970; 0 without one",
        );
        let refused_connections = add(
            &mut all,
            "connections_refused",
            "Connections closed because their address had as many as it may have",
        );
        let refused_requests = add(
            &mut all,
            "requests_refused",
            "Requests answered with 429 because their identity had as many under way as it may have",
        );
        let audit_lost = add(
            &mut all,
            "audit_lines_lost",
            "Lines of the audit stream that could not be written",
        );
        let store = StoreMetrics::among(&mut all);
        let revision = add(
            &mut all,
            "access_document_revision",
            "Revision of the access document in force",
        );
        Self {
            requests,
            seconds,
            bytes_sent,
            bytes_received,
            authentications,
            decisions,
            audit_matches,
            evaluation_errors,
            issuer_requests,
            refused_documents,
            refused_certificates,
            certificate_end,
            refused_connections,
            refused_requests,
            audit_lost,
            store,
            revision,
            all: Arc::new(all),
        }
    }
}

impl Metrics {
    /// Counts an answered request and the bytes of its bodies.
    pub(crate) fn request(
        &self,
        route: &'static str,
        method: &http::Method,
        status: http::StatusCode,
        received: u64,
        sent: u64,
    ) {
        let labels = RequestLabels {
            route,
            method: method_label(method),
            status: status_class(status),
        };
        self.requests.get_or_create(&labels).inc();
        self.bytes_received.inc_by(received);
        self.bytes_sent.inc_by(sent);
    }

    /// Counts how long an answer let itself be waited for.
    pub(crate) fn answered(&self, route: &'static str, after: Duration) {
        self.seconds
            .get_or_create(&SecondsLabels { route })
            .observe(after.as_secs_f64());
    }

    /// The counters of the store.
    pub fn store(&self) -> &StoreMetrics {
        &self.store
    }

    pub(crate) fn audit_lost(&self) {
        self.audit_lost.inc();
    }

    pub(crate) fn authentication(&self, result: Authentication) {
        self.authentications
            .get_or_create(&AuthenticationLabels { result })
            .inc();
    }

    pub(crate) fn decision(&self, action: registry_policy::Action, allowed: bool, errors: usize) {
        let decision = if allowed { "allowed" } else { "denied" };
        self.decisions
            .get_or_create(&DecisionLabels {
                action: action.as_str(),
                decision,
            })
            .inc();
        self.evaluation_errors.inc_by(errors as u64);
    }

    pub(crate) fn audited(&self, action: registry_policy::Action, effect: registry_policy::Effect) {
        let effect = match effect {
            registry_policy::Effect::Allow => "allow",
            registry_policy::Effect::Deny => "deny",
        };
        let labels = AuditLabels {
            action: action.as_str(),
            effect,
        };
        self.audit_matches.get_or_create(&labels).inc();
    }

    pub(crate) fn issuer_asked(&self, has_answered: bool) {
        let result = if has_answered { "read" } else { "failed" };
        self.issuer_requests.get_or_create(&IssuerLabels { result }).inc();
    }

    pub(crate) fn document_refused(&self) {
        self.refused_documents.inc();
    }

    pub(crate) fn document_accepted(&self, revision: u64) {
        self.revision.set(revision);
    }

    pub(crate) fn certificate_accepted(&self, not_after: jiff::Timestamp) {
        self.certificate_end.set(not_after.as_second());
    }

    pub(crate) fn certificate_refused(&self) {
        self.refused_certificates.inc();
    }

    pub(crate) fn connection_refused(&self) {
        self.refused_connections.inc();
    }

    pub(crate) fn request_refused(&self) {
        self.refused_requests.inc();
    }

    /// All counters in the `OpenMetrics` text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a `String` cannot fail.
        let _ = encode(&mut text, &self.all);
        text
    }
}

fn method_label(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

fn status_class(status: http::StatusCode) -> &'static str {
    match status.as_u16() {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}
