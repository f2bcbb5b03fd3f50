//! Whether a principal may do what a route asks for: the one place where that is decided.
//!
//! Pure: a route, a principal and a snapshot in, a verdict out. [`Authorized`] can be made here only, and handlers take
//! nothing else, so no handler runs for somebody who was not let through.

mod facts;

use std::net::IpAddr;
use std::sync::Arc;

use http::Method;
use jiff::Timestamp;
use registry_config::IdentityEntry;
use registry_policy::{Action, Caller, Decision, Request};

use crate::access::{self, Snapshot};
use crate::authenticate::{Principal, Proof};
use crate::oci::{Digest, RepositoryName};
use crate::route::{
    CompleteUpload, DeleteBlob, DeleteManifest, GetBlob, GetManifest, GetReferrers, ListCatalog, ListTags, PutManifest,
    Route, Session, StartUpload,
};
use crate::store::Owner;
use crate::token::{self, AccessClaim, Grant, uid};
use facts::Facts;

/// A request that may be carried out, with what it was decided by.
#[derive(Debug)]
pub struct Authorized<R> {
    route: R,
    context: Context,
}

/// What a handler may know about the caller.
#[derive(Debug, Clone)]
pub struct Context {
    snapshot: Arc<Snapshot>,
    principal: Principal,
    client_ip: Option<IpAddr>,
    /// When the request came.
    at: Timestamp,
    method: Method,
    may_mount: bool,
}

/// An [`Authorized<Route>`], taken apart by the kind of its route.
#[derive(Debug)]
pub enum Task {
    /// [`Route::Base`]
    Base,
    /// [`Route::Token`]
    Token(Authorized<()>),
    /// [`Route::Keys`]
    Keys(Authorized<()>),
    /// [`Route::ListCatalog`]
    ListCatalog(Authorized<ListCatalog>),
    /// [`Route::ListTags`]
    ListTags(Authorized<ListTags>),
    /// [`Route::GetBlob`]
    GetBlob(Authorized<GetBlob>),
    /// [`Route::DeleteBlob`]
    DeleteBlob(Authorized<DeleteBlob>),
    /// [`Route::GetManifest`]
    GetManifest(Authorized<GetManifest>),
    /// [`Route::PutManifest`]
    PutManifest(Authorized<PutManifest>),
    /// [`Route::DeleteManifest`]
    DeleteManifest(Authorized<DeleteManifest>),
    /// [`Route::GetReferrers`]
    GetReferrers(Authorized<GetReferrers>),
    /// [`Route::StartUpload`]
    StartUpload(Authorized<StartUpload>),
    /// [`Route::GetUpload`]
    GetUpload(Authorized<Session>),
    /// [`Route::UpdateUpload`]
    UpdateUpload(Authorized<Session>),
    /// [`Route::CompleteUpload`]
    CompleteUpload(Authorized<CompleteUpload>),
    /// [`Route::CancelUpload`]
    CancelUpload(Authorized<Session>),
}

/// What came of a request, and what policy said on the way.
#[derive(Debug)]
pub struct Verdict {
    /// The request, if it may be carried out.
    pub result: Result<Authorized<Route>, Refusal>,
    /// Each decision that was made, the one that refused last; to be logged and counted.
    pub decisions: Vec<(Action, Decision)>,
}

/// Why a request may not be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody has signed in, and that is needed.
    Anonymous,
    /// Policy allows it, but the token was not made for it.
    InsufficientScope,
    /// Policy refuses it to this identity.
    Denied {
        /// What the client is told.
        message: String,
    },
}

/// Decides whether `principal` may do what `route` asks for at the instant `at`.
pub fn authorize(
    route: Route,
    method: &Method,
    principal: Principal,
    snapshot: Arc<Snapshot>,
    client_ip: Option<IpAddr>,
    at: Timestamp,
) -> Verdict {
    let mut context = Context {
        snapshot,
        principal,
        client_ip,
        at,
        method: method.clone(),
        may_mount: false,
    };
    let mut decisions = Vec::new();
    let refusal = refusal(&route, &context, &mut decisions);
    let result = if let Some(refusal) = refusal {
        Err(refusal)
    } else {
        context.may_mount = may_mount(&route, &context, &mut decisions);
        Ok(Authorized { route, context })
    };
    Verdict { result, decisions }
}

/// Whether a blob may be taken over into the repository of a route that asks for it. Where it may not, the route is an
/// ordinary upload: whether the blob is anywhere is not told.
fn may_mount(route: &Route, context: &Context, decisions: &mut Vec<(Action, Decision)>) -> bool {
    if !matches!(route, Route::StartUpload(StartUpload { mount: Some(_), .. })) {
        return false;
    }
    let facts = Facts::of(route);
    let decision = context.decide(&facts.request(Action::MountBlob, context.method.as_str()));
    let may = decision.is_allowed() && context.token_opens(Action::MountBlob, facts.repository);
    decisions.push((Action::MountBlob, decision));
    may
}

fn refusal(route: &Route, context: &Context, decisions: &mut Vec<(Action, Decision)>) -> Option<Refusal> {
    let actions = match route {
        // Never decided by policy: the token endpoint is for those who have not signed in yet, public keys are for everybody, and the base
        // is open to whoever has shown anything valid, an anonymous token included.
        Route::Token | Route::Keys => return None,
        Route::Base => {
            return matches!(context.principal.proof, Proof::Nothing).then_some(Refusal::Anonymous);
        }
        route => actions(route),
    };
    let facts = Facts::of(route);
    for action in &actions {
        let request = facts.request(*action, context.method.as_str());
        let decision = context.decide(&request);
        let refusal = (!decision.is_allowed()).then(|| context.refuse(&request, decision.message()));
        decisions.push((*action, decision));
        if refusal.is_some() {
            return refusal;
        }
    }
    let narrow = actions
        .iter()
        .any(|action| !context.token_opens(*action, facts.repository));
    narrow.then_some(Refusal::InsufficientScope)
}

/// The actions that policy must allow for a route, in order.
fn actions(route: &Route) -> Vec<Action> {
    match route {
        Route::Base | Route::Token | Route::Keys => vec![],
        Route::ListCatalog(_) => vec![Action::ListCatalog],
        Route::ListTags(_) => vec![Action::ListTags],
        Route::GetBlob(_) => vec![Action::GetBlob],
        Route::DeleteBlob(_) => vec![Action::DeleteBlob],
        Route::GetManifest(_) => vec![Action::GetManifest],
        Route::PutManifest(_) => vec![Action::PutManifest],
        Route::DeleteManifest(_) => vec![Action::DeleteManifest],
        Route::GetReferrers(_) => vec![Action::GetReferrers],
        // A blob that comes with its first request is an upload that is started and completed.
        Route::StartUpload(StartUpload { digest: Some(_), .. }) => vec![Action::StartUpload, Action::CompleteUpload],
        Route::StartUpload(_) => vec![Action::StartUpload],
        Route::GetUpload(_) => vec![Action::GetUpload],
        Route::UpdateUpload(_) => vec![Action::UpdateUpload],
        Route::CompleteUpload(_) => vec![Action::CompleteUpload],
        Route::CancelUpload(_) => vec![Action::CancelUpload],
    }
}

impl Context {
    /// The access document that the request is decided by.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Who is asking.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The identity who is asking; `None` is an anonymous caller.
    pub fn identity(&self) -> Option<&IdentityEntry> {
        let vouched = self.principal.vouched.as_deref();
        if let Some(identity) = vouched.and_then(|vouched| vouched.identity.as_ref()) {
            return Some(identity);
        }
        self.principal
            .username
            .as_deref()
            .and_then(|username| self.snapshot.access().identity(username))
    }

    /// The caller as upload sessions remember it.
    pub fn owner(&self) -> Owner {
        match self.identity() {
            Some(identity) => Owner::Identity {
                username: identity.username.clone(),
                uid: uid(identity).to_owned(),
            },
            None => Owner::Anonymous(self.client_ip),
        }
    }

    /// The caller as policies see it.
    pub fn caller(&self) -> Caller<'_> {
        access::caller(self.identity(), &self.principal, self.client_ip, self.at)
    }

    /// What policy says about `request`.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        self.snapshot.access().policies.decide(&self.caller(), request)
    }

    /// What a caller is told whom policy refuses. A named identity learns what it may not do; whose rules there are
    /// besides, it does not.
    fn refuse(&self, request: &Request<'_>, message: Option<&str>) -> Refusal {
        let Some(username) = &self.principal.username else {
            return Refusal::Anonymous;
        };
        let place = match request.repository {
            Some(repository) => format!("in `{repository}`"),
            None => "on this registry".to_owned(),
        };
        let mut text = format!("`{username}` may not {} {place}", request.action);
        if self.snapshot.access().policies.is_empty() {
            text.push_str(": no AccessPolicy that decides applies to this registry yet, so nothing is allowed");
        } else if let Some(message) = message {
            text.push_str(": ");
            text.push_str(message);
        }
        Refusal::Denied { message: text }
    }

    /// Whether the token, if that is what the caller came with, was made for `action`.
    fn token_opens(&self, action: Action, repository: Option<&str>) -> bool {
        match &self.principal.proof {
            Proof::Nothing
            | Proof::Password(_)
            | Proof::Refresh { .. }
            | Proof::Proxy
            | Proof::Certificate
            | Proof::Issuer { .. } => true,
            Proof::Token(claims) => opens_action(&claims.access, action, repository),
            Proof::TokenServer(access) => opens_action(access, action, repository),
        }
    }
}

/// Whether what a token opens has `action` in it.
fn opens_action(access: &[AccessClaim], action: Action, repository: Option<&str>) -> bool {
    match (Grant::of(action), repository) {
        (Some(grant), Some(repository)) => token::opens(access, repository, grant),
        (None, _) => token::opens_catalog(access),
        (Some(_), None) => false,
    }
}

impl Authorized<StartUpload> {
    /// Whether `blob` may be taken over from `source`: mounting must be allowed here, and reading it there, within what
    /// the token opens. What anybody may read without a token is within every token.
    pub fn may_mount_from(&self, source: &RepositoryName, blob: &Digest) -> bool {
        let context = &self.context;
        let read = Facts {
            repository: Some(source.as_str()),
            digest: Some(blob.as_str()),
            ..Facts::default()
        };
        let read = read.request(Action::GetBlob, "GET");
        let may_read = || context.decide(&read).is_allowed() && context.token_opens(Action::GetBlob, read.repository);
        let is_public = || {
            let anybody = access::caller(None, &Principal::ANONYMOUS, context.client_ip, context.at);
            context.snapshot.access().policies.decide(&anybody, &read).is_allowed()
        };
        context.may_mount && (may_read() || is_public())
    }
}

impl<R> Authorized<R> {
    /// What is to be done.
    pub fn route(&self) -> &R {
        &self.route
    }

    /// Who asked, and by which document that was decided.
    pub fn context(&self) -> &Context {
        &self.context
    }
}

impl Authorized<Route> {
    /// Takes the request apart by the kind of its route.
    pub fn into_task(self) -> Task {
        fn of<R>(route: R, context: Context) -> Authorized<R> {
            Authorized { route, context }
        }
        let Self { route, context } = self;
        match route {
            Route::Base => Task::Base,
            Route::Token => Task::Token(of((), context)),
            Route::Keys => Task::Keys(of((), context)),
            Route::ListCatalog(route) => Task::ListCatalog(of(route, context)),
            Route::ListTags(route) => Task::ListTags(of(route, context)),
            Route::GetBlob(route) => Task::GetBlob(of(route, context)),
            Route::DeleteBlob(route) => Task::DeleteBlob(of(route, context)),
            Route::GetManifest(route) => Task::GetManifest(of(route, context)),
            Route::PutManifest(route) => Task::PutManifest(of(route, context)),
            Route::DeleteManifest(route) => Task::DeleteManifest(of(route, context)),
            Route::GetReferrers(route) => Task::GetReferrers(of(route, context)),
            Route::StartUpload(route) => Task::StartUpload(of(route, context)),
            Route::GetUpload(route) => Task::GetUpload(of(route, context)),
            Route::UpdateUpload(route) => Task::UpdateUpload(of(route, context)),
            Route::CompleteUpload(route) => Task::CompleteUpload(of(route, context)),
            Route::CancelUpload(route) => Task::CancelUpload(of(route, context)),
        }
    }
}
