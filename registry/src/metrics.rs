//! What the registry counts, and the text in which Prometheus reads it. Labels are bounded: no names of repositories,
//! identities or policies.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry as MetricsRegistry;

/// The counters of one registry. Cloning gives another handle to the same counters.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    bytes_sent: Counter,
    bytes_received: Counter,
    authentications: Family<AuthenticationLabels, Counter>,
    decisions: Family<DecisionLabels, Counter>,
    evaluation_errors: Counter,
    refused_documents: Counter,
    revision: Gauge<u64, AtomicU64>,
    all: Arc<MetricsRegistry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    method: &'static str,
    status: &'static str,
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

impl Default for Metrics {
    fn default() -> Self {
        let mut all = MetricsRegistry::with_prefix("wharfinger_registry");
        let requests = Family::default();
        all.register(
            "requests",
            "Requests answered, by route, method and class of status",
            requests.clone(),
        );
        let bytes_sent = Counter::default();
        all.register("sent_bytes", "Bytes of response bodies", bytes_sent.clone());
        let bytes_received = Counter::default();
        all.register("received_bytes", "Bytes of request bodies", bytes_received.clone());
        let authentications = Family::default();
        all.register(
            "authentications",
            "Requests authenticated, by result",
            authentications.clone(),
        );
        let decisions = Family::default();
        all.register(
            "policy_decisions",
            "Policy decisions, by action and outcome",
            decisions.clone(),
        );
        let evaluation_errors = Counter::default();
        let help =
            "Policy conditions that could not be evaluated; a Deny counted as matching, an Allow as not matching";
        all.register("policy_evaluation_errors", help, evaluation_errors.clone());
        let refused_documents = Counter::default();
        all.register(
            "access_documents_refused",
            "Access documents that were not taken",
            refused_documents.clone(),
        );
        let revision = Gauge::default();
        all.register(
            "access_document_revision",
            "Revision of the access document in force",
            revision.clone(),
        );
        Self {
            requests,
            bytes_sent,
            bytes_received,
            authentications,
            decisions,
            evaluation_errors,
            refused_documents,
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

    pub(crate) fn document_refused(&self) {
        self.refused_documents.inc();
    }

    pub(crate) fn document_accepted(&self, revision: u64) {
        self.revision.set(revision);
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
