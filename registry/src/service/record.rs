//! What is written about a request when its response has gone out: one line, and the counters.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use jiff::Timestamp;
use registry_policy::{Action, Audited, Decision, EvaluationError, Outcome};
use tracing::Span;
use uuid::Uuid;

use crate::audit::{Audit, Decided, Entry};
use crate::authenticate::{Principal, Proof};
use crate::body::{RequestBody, ResponseBody};
use crate::concurrency::Place;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::route::Route;
use crate::store::BoxError;
use crate::traces;

/// The target of these lines, so that they can be chosen by it.
const TARGET: &str = "wharfinger_registry::request";

/// A request and what became of it. It is written when it is dropped, which is when the response has gone out or its
/// client has gone away. Neither URIs nor headers are kept: they may hold secrets.
pub(super) struct Record {
    id: Uuid,
    method: Method,
    started: Instant,
    client: Option<IpAddr>,
    route: &'static str,
    repository: Option<String>,
    reference: Option<String>,
    tags: Vec<String>,
    identity: Option<String>,
    proof: &'static str,
    /// Why credentials were not accepted, where they were not.
    rejected: Option<String>,
    status: StatusCode,
    received: Arc<AtomicU64>,
    sent: u64,
    metrics: Metrics,
    audit: Option<Audit>,
    /// What policy said, for the audit stream.
    decisions: Vec<Decided>,
    /// Ends with the record.
    span: Span,
    /// Held until the response has gone out.
    place: Option<Place<super::Reader>>,
}

impl Record {
    pub(super) fn start(id: Uuid, method: Method, metrics: Metrics, audit: Option<Audit>) -> Self {
        Self {
            id,
            method,
            started: Instant::now(),
            client: None,
            route: "unknown",
            repository: None,
            reference: None,
            tags: Vec::new(),
            identity: None,
            proof: "",
            rejected: None,
            status: StatusCode::OK,
            received: Arc::default(),
            sent: 0,
            metrics,
            audit,
            decisions: Vec::new(),
            span: Span::none(),
            place: None,
        }
    }

    pub(super) fn client(&mut self, address: Option<IpAddr>) {
        self.client = address;
    }

    pub(super) fn preflight(&mut self) {
        self.route = "preflight";
    }

    /// Keeps a place until the response has gone out.
    pub(super) fn hold(&mut self, place: Option<Place<super::Reader>>) {
        self.place = place;
    }

    pub(super) fn route(&mut self, route: &Route) {
        self.route = route.name();
        self.repository = route.repository().map(ToString::to_string);
        if self.audit.is_some() {
            self.reference = route.reference();
            self.tags = route.tags().iter().map(ToString::to_string).collect();
        }
    }

    pub(super) fn principal(&mut self, principal: &Principal) {
        self.identity.clone_from(&principal.username);
        self.proof = match principal.proof {
            Proof::Nothing => "",
            Proof::Password(_) => "password",
            Proof::Refresh { .. } => "refresh",
            Proof::Certificate => "certificate",
            Proof::Proxy => "proxy",
            Proof::Issuer { credential, .. } => credential,
            Proof::Token(_) => "token",
            Proof::TokenServer(_) => "token-server",
        };
    }

    /// Notes why credentials were not accepted, or not enough.
    pub(super) fn rejected(&mut self, why: &impl ToString) {
        self.rejected = Some(why.to_string());
    }

    /// Counts the bytes of the request's body as they are read.
    pub(super) fn count_received(&self, body: RequestBody) -> RequestBody {
        let received = self.received.clone();
        body.map_frame(move |frame| {
            if let Some(data) = frame.data_ref() {
                received.fetch_add(data.len() as u64, Ordering::Relaxed);
            }
            frame
        })
        .boxed_unsync()
    }

    /// Logs a failure of the registry's own; the client's are in the status.
    pub(super) fn failed(&self, error: &Error) {
        let cause = error as &dyn std::error::Error;
        if error.response().status().is_server_error() {
            tracing::error!(target: TARGET, id = %self.id, action = self.route, repository = self.repository, error = cause, "request failed");
        } else {
            tracing::debug!(target: TARGET, id = %self.id, action = self.route, repository = self.repository, error = cause, "request refused");
        }
    }

    /// Begins the request's span; `parent` is where it says of which trace it is part.
    pub(super) fn trace(&mut self, parent: Option<&http::HeaderMap>) -> Span {
        self.span = tracing::info_span!(
            target: traces::TARGET,
            "request",
            otel.kind = "server",
            otel.status_code = tracing::field::Empty,
            http.request.method = %self.method,
            http.response.status_code = tracing::field::Empty,
            client.address = self.client.map(tracing::field::display),
            user.name = tracing::field::Empty,
            wharfinger.request.id = %self.id,
            wharfinger.repository = tracing::field::Empty,
        );
        if let Some(headers) = parent {
            traces::continue_from(&self.span, headers);
        }
        self.span.clone()
    }

    /// Keeps what policy said for the audit stream.
    pub(super) fn decided(&mut self, action: Action, decision: &Decision) {
        if self.audit.is_none() {
            return;
        }
        let by = match &decision.outcome {
            Outcome::Allowed { policy, rule } | Outcome::Denied { policy, rule, .. } => {
                Some((policy.clone(), rule.clone()))
            }
            Outcome::AllowedSignedIn | Outcome::NoRuleMatched { .. } => None,
        };
        let (policy, rule) = by.unzip();
        self.decisions.push(Decided {
            action,
            allowed: decision.is_allowed(),
            policy,
            rule,
            audited: decision.audited.clone(),
        });
    }

    /// Logs a rule of a policy that is tried out.
    pub(super) fn audited(&self, action: Action, audited: &Audited) {
        let Audited { policy, rule, effect } = audited;
        let (identity, repository) = (self.identity.as_deref(), self.repository.as_deref());
        tracing::info!(target: TARGET, id = %self.id, identity, repository, %action, policy, rule, ?effect, "matched by a policy in audit mode");
    }

    pub(super) fn denied(&self, action: Action, by: Option<(&String, &String)>) {
        let (policy, rule) = by.unzip();
        let (identity, repository) = (self.identity.as_deref(), self.repository.as_deref());
        tracing::info!(target: TARGET, id = %self.id, identity, repository, %action, policy, rule, "denied by policy");
    }

    pub(super) fn evaluation_error(&self, error: &EvaluationError) {
        let EvaluationError { policy, rule, message } = error;
        tracing::warn!(target: TARGET, id = %self.id, policy, rule, message, "a policy's condition cannot be evaluated");
    }

    /// Hands the record to the response, with which it ends.
    pub(super) fn finish(mut self, response: Response<ResponseBody>) -> Response<ResponseBody> {
        self.status = response.status();
        self.metrics.answered(self.route, self.started.elapsed());
        response.map(|body| RecordedBody { body, record: self }.boxed_unsync())
    }
}

impl Record {
    fn log(&self, received: u64, milliseconds: u64) {
        tracing::info!(
            target: TARGET,
            id = %self.id,
            client = self.client.map(tracing::field::display),
            method = %self.method,
            action = self.route,
            repository = self.repository,
            identity = self.identity,
            proof = self.proof,
            rejected = self.rejected,
            status = self.status.as_u16(),
            received,
            sent = self.sent,
            milliseconds,
            "request"
        );
    }

    fn audit(&self, received: u64, milliseconds: u64) {
        let Some(audit) = &self.audit else { return };
        audit.write(&Entry {
            time: Timestamp::now(),
            id: self.id,
            client: self.client,
            identity: self.identity.as_deref(),
            proof: self.proof,
            rejected: self.rejected.as_deref(),
            method: self.method.as_str(),
            action: self.route,
            repository: self.repository.as_deref(),
            reference: self.reference.as_deref(),
            tags: &self.tags,
            decisions: &self.decisions,
            status: self.status.as_u16(),
            received,
            sent: self.sent,
            milliseconds,
        });
    }

    fn end_span(&self) {
        if self.span.is_disabled() {
            return;
        }
        traces::name(&self.span, self.route);
        self.span.record("http.response.status_code", self.status.as_u16());
        if self.status.is_server_error() {
            self.span.record("otel.status_code", "ERROR");
        }
        for (field, value) in [
            ("user.name", &self.identity),
            ("wharfinger.repository", &self.repository),
        ] {
            if let Some(value) = value {
                self.span.record(field, value);
            }
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let received = self.received.load(Ordering::Relaxed);
        let milliseconds = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.metrics
            .request(self.route, &self.method, self.status, received, self.sent);
        self.log(received, milliseconds);
        self.audit(received, milliseconds);
        self.end_span();
    }
}

/// A response's body that counts itself.
struct RecordedBody {
    body: ResponseBody,
    record: Record,
}

impl Body for RecordedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.record.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        if let Poll::Ready(Some(Err(error))) = &polled {
            tracing::error!(target: TARGET, id = %self.record.id, error = error.as_ref() as &dyn std::error::Error, "the response broke off");
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
