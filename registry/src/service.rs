//! One request from its head to its log line: parse, authenticate, authorise, handle, answer.

mod record;

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use jiff::Timestamp;
use registry_policy::Outcome;
use tracing::Instrument;
use uuid::Uuid;

use crate::access::Snapshot;
use crate::audit::Audit;
use crate::authenticate::{self, Authenticator, Credentials, Principal, Rejection};
use crate::authorize::{self, Authorized, Refusal, Task, Verdict};
use crate::body::{RequestBody, ResponseBody};
use crate::challenge::{self, NoHost, Problem};
use crate::client::{Client, Connection};
use crate::concurrency::{PerKey, Place};
use crate::error::Error;
use crate::handlers::token::TokenRequest;
use crate::handlers::{self, Input};
use crate::route::{self, Route};
use crate::store::Store;
use crate::token::TokenError;
use record::Record;

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The registry as a service: requests in, responses out. It knows nothing of sockets.
pub struct Service {
    /// Where content is kept.
    pub store: Arc<dyn Store>,
    /// Tells who is asking; knows the access document in force.
    pub authenticator: Authenticator,
    readings: PerKey<Reader>,
    audit: Option<Audit>,
}

/// Whose readings are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Reader {
    Identity(String),
    Anonymous(Option<IpAddr>),
}

impl Service {
    /// A registry that keeps its content in `store`. Each identity, and each address without one, may read
    /// `readings` things at once.
    pub fn new(store: Arc<dyn Store>, authenticator: Authenticator, readings: usize) -> Self {
        Self {
            store,
            authenticator,
            readings: PerKey::new(readings),
            audit: None,
        }
    }

    /// The same, with an audit stream.
    #[must_use]
    pub fn with_audit(self, audit: Option<Audit>) -> Self {
        Self { audit, ..self }
    }

    /// Answers a request that came over `connection`.
    pub async fn respond(&self, request: Request<RequestBody>, connection: Connection) -> Response<ResponseBody> {
        let id = Uuid::new_v4();
        let mut record = Record::start(
            id,
            request.method().clone(),
            self.authenticator.metrics.clone(),
            self.audit.clone(),
        );
        let (head, body) = request.into_parts();
        let body = record.count_received(body);
        let snapshot = self.authenticator.current.snapshot();
        let access = snapshot.as_ref().map(|snapshot| snapshot.access());
        let client = Client::of(
            connection,
            access
                .map(|access| access.trusted_proxies.as_slice())
                .unwrap_or_default(),
            access.and_then(|access| access.user_header.as_ref()),
            &head.uri,
            &head.headers,
        );
        record.client(client.address);
        let span = record.trace(client.is_proxied.then_some(&head.headers));
        let cors = snapshot.as_ref().and_then(|snapshot| snapshot.cors());
        let mut response = if let Some(response) = cors.and_then(|cors| cors.preflight(&head)) {
            record.preflight();
            response
        } else {
            let answer = self.answer(&head, body, &client, snapshot.clone(), &mut record);
            answer.instrument(span).await.unwrap_or_else(|error| {
                record.failed(&error);
                error.response()
            })
        };
        let headers = response.headers_mut();
        headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
            headers.insert(REQUEST_ID, id);
        }
        if let Some(cors) = cors {
            cors.decorate(head.headers.get(header::ORIGIN), headers);
        }
        record.finish(response)
    }

    async fn answer(
        &self,
        head: &http::request::Parts,
        body: RequestBody,
        client: &Client<'_>,
        snapshot: Option<Arc<Snapshot>>,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Error> {
        let route = route::parse(&head.method, &head.uri)?;
        record.route(&route);
        let snapshot = snapshot.ok_or(Error::NoDocument)?;
        if !snapshot.access().is_open_to(client.address) {
            return Err(Error::Source(client.address));
        }
        let request = match route {
            Route::Token => return self.token(head, body, client, snapshot, record).await,
            // Whoever asks is told, and so who asks is not asked.
            Route::Keys => {
                let (principal, now) = (Principal::ANONYMOUS, Timestamp::now());
                let verdict = authorize::authorize(route, &head.method, principal, snapshot, client.address, now);
                verdict.result.map_err(|_| Error::Route(route::RouteError::Unknown))?
            }
            route => {
                let credentials = Credentials::from_headers(&head.headers);
                self.admit(head, route, &credentials, client, snapshot, record).await?
            }
        };
        let input = Input {
            store: self.store.as_ref(),
            headers: &head.headers,
            body,
        };
        handlers::handle(request.into_task(), input).await
    }

    /// A place for one more reading; nothing else is ever held back, because clients take it for a failure.
    fn reading(
        &self,
        method: &Method,
        route: &Route,
        principal: &Principal,
        client: &Client<'_>,
    ) -> Result<Option<Place<Reader>>, Error> {
        if !matches!(*method, Method::GET | Method::HEAD) || matches!(route, Route::Base | Route::Token) {
            return Ok(None);
        }
        let reader = match &principal.username {
            Some(username) => Reader::Identity(username.clone()),
            None => Reader::Anonymous(client.address),
        };
        self.readings.enter(reader).map(Some).ok_or_else(|| {
            self.authenticator.metrics.request_refused();
            Error::TooManyRequests
        })
    }

    /// Authenticates and authorises a request of the distribution API.
    async fn admit(
        &self,
        head: &http::request::Parts,
        route: Route,
        credentials: &Credentials,
        client: &Client<'_>,
        mut snapshot: Arc<Snapshot>,
        record: &mut Record,
    ) -> Result<Authorized<Route>, Error> {
        let unauthorized = |snapshot: &Snapshot, route: &Route, problem, reason: &str| {
            let (required, reason) = (challenge::required(route), reason.to_owned());
            match challenge::challenge(&snapshot.access().content, client.base().as_deref(), route, problem) {
                Ok(challenge) => Error::Unauthorized {
                    challenge,
                    required,
                    reason,
                },
                Err(error @ NoHost) => Error::Host(error),
            }
        };
        let principal = match self
            .authenticator
            .authenticate(credentials, client, &mut snapshot)
            .await
        {
            Ok(principal) => principal,
            Err(rejection) => {
                record.rejected(&rejection);
                let problem = match rejection {
                    Rejection::Token(TokenError::IssuerUnavailable) => {
                        return Err(Error::IssuerUnavailable(rejection.to_string()));
                    }
                    Rejection::Token(_) => Problem::InvalidToken,
                    Rejection::Unreadable
                    | Rejection::Password
                    | Rejection::BearerName
                    | Rejection::Certificate
                    | Rejection::NotInForce => Problem::None,
                };
                return Err(unauthorized(&snapshot, &route, problem, &rejection.to_string()));
            }
        };
        record.principal(&principal);
        record.hold(self.reading(&head.method, &route, &principal, client)?);
        let refused = (route.clone(), snapshot.clone());
        let verdict = authorize::authorize(
            route,
            &head.method,
            principal,
            snapshot,
            client.address,
            Timestamp::now(),
        );
        self.note(&verdict, record);
        verdict.result.map_err(|refusal| {
            let (route, snapshot) = refused;
            match refusal {
                Refusal::Anonymous => unauthorized(
                    &snapshot,
                    &route,
                    Problem::None,
                    "authentication required: sign in first",
                ),
                Refusal::InsufficientScope => {
                    let reason = "the token was not made for this: ask for one with the scope in the challenge";
                    record.rejected(&reason);
                    unauthorized(&snapshot, &route, Problem::InsufficientScope, reason)
                }
                Refusal::Denied { message } => Error::Denied(message),
            }
        })
    }

    /// Answers the token endpoint: credentials come with it in their own way, and a wrong password is answered in its
    /// own way too.
    async fn token(
        &self,
        head: &http::request::Parts,
        body: RequestBody,
        client: &Client<'_>,
        mut snapshot: Arc<Snapshot>,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Error> {
        let TokenRequest {
            credentials,
            scopes,
            offline,
        } = TokenRequest::read(&head.method, &head.uri, &head.headers, body).await?;
        let gives_refresh = snapshot.access().content.token.refresh_lifetime.is_some();
        if matches!(credentials, Credentials::Refresh(_)) && !gives_refresh {
            return Err(Error::GrantType);
        }
        let principal = match &credentials {
            // One of the registry's own would be exchanged for another for ever.
            Credentials::Bearer(token) if !authenticate::is_from_elsewhere(&snapshot, token) => {
                Err("the token endpoint takes a username and a password, or a token of a ServiceAccount or of an OpenID Connect issuer, not one that opens the registry already".to_owned())
            }
            other => {
                let authenticated = self.authenticator.authenticate(other, client, &mut snapshot).await;
                let authenticated = authenticated.inspect_err(|rejection| record.rejected(rejection));
                match authenticated {
                    Err(rejection @ Rejection::Token(TokenError::IssuerUnavailable)) => {
                        return Err(Error::IssuerUnavailable(rejection.to_string()));
                    }
                    result => result.map_err(|rejection| rejection.to_string()),
                }
            }
        };
        let principal: Principal = principal.map_err(|reason| Error::TokenDenied {
            challenge: challenge::basic(&snapshot.access().content),
            reason,
        })?;
        record.principal(&principal);
        let verdict = authorize::authorize(
            Route::Token,
            &head.method,
            principal,
            snapshot,
            client.address,
            Timestamp::now(),
        );
        match verdict.result.map(Authorized::into_task) {
            Ok(Task::Token(request)) => {
                handlers::token::issue(&request, &scopes, offline, &self.authenticator.tokens, Timestamp::now())
            }
            // The token endpoint is open to everybody.
            Ok(_) | Err(_) => Err(Error::Route(route::RouteError::Unknown)),
        }
    }

    /// Counts and logs what policy said.
    fn note(&self, verdict: &Verdict, record: &mut Record) {
        for (action, decision) in &verdict.decisions {
            record.decided(*action, decision);
            self.authenticator
                .metrics
                .decision(*action, decision.is_allowed(), decision.errors.len());
            for error in &decision.errors {
                record.evaluation_error(error);
            }
            for audited in &decision.audited {
                self.authenticator.metrics.audited(*action, audited.effect);
                record.audited(*action, audited);
            }
            match &decision.outcome {
                Outcome::Allowed { .. } | Outcome::AllowedSignedIn => {}
                Outcome::Denied { policy, rule, .. } => record.denied(*action, Some((policy, rule))),
                Outcome::NoRuleMatched { .. } => record.denied(*action, None),
            }
        }
    }
}
