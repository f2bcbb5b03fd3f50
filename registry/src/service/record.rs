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
use registry_policy::{Action, EvaluationError};
use uuid::Uuid;

use crate::authenticate::{Principal, Proof};
use crate::body::{RequestBody, ResponseBody};
use crate::concurrency::Place;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::route::Route;
use crate::store::BoxError;

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
    identity: Option<String>,
    proof: &'static str,
    status: StatusCode,
    received: Arc<AtomicU64>,
    sent: u64,
    metrics: Metrics,
    /// Held until the response has gone out.
    place: Option<Place<super::Reader>>,
}

impl Record {
    pub(super) fn start(id: Uuid, method: Method, metrics: Metrics) -> Self {
        Self {
            id,
            method,
            started: Instant::now(),
            client: None,
            route: "unknown",
            repository: None,
            identity: None,
            proof: "",
            status: StatusCode::OK,
            received: Arc::default(),
            sent: 0,
            metrics,
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
    }

    pub(super) fn principal(&mut self, principal: &Principal) {
        self.identity.clone_from(&principal.username);
        self.proof = match principal.proof {
            Proof::Nothing => "",
            Proof::Password(_) => "password",
            Proof::Token(_) => "token",
        };
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
        response.map(|body| RecordedBody { body, record: self }.boxed_unsync())
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let received = self.received.load(Ordering::Relaxed);
        self.metrics
            .request(self.route, &self.method, self.status, received, self.sent);
        tracing::info!(
            target: TARGET,
            id = %self.id,
            client = self.client.map(tracing::field::display),
            method = %self.method,
            action = self.route,
            repository = self.repository,
            identity = self.identity,
            proof = self.proof,
            status = self.status.as_u16(),
            received,
            sent = self.sent,
            milliseconds = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "request"
        );
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
