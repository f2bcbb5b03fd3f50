//! Every kind of credential, in each state that it can be in: which of them open the registry.

use std::sync::Arc;

use wharfinger_registry::metrics::Authentication;

use crate::exchange::secured;
use crate::fixture::{Answer, Call, Registry};
use crate::mutual;
use crate::shown::{client, credential, document, exchange, publish_with_user_file, with};
use crate::wire::Server;

/// A way to show who one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    PasswordOnBase,
    PasswordForToken,
    Form,
    Refresh,
    OwnToken,
    UserFile,
    AccountAsBearer,
    AccountAsPassword,
    SubjectAsBearer,
    SubjectAsPassword,
    Certificate,
    ServerToken,
    ProxyHeader,
}

/// What is the matter with a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// There is none.
    None,
    /// Nobody has given it.
    Wrong,
    /// Its own time is over.
    Expired,
    /// Its identity's is.
    Disabled,
    Right,
    /// It is good, at another registry.
    Elsewhere,
}

/// What is expected of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    /// It is accepted, and opens what its identity may read.
    Opens,
    /// It is answered with this.
    Refused(u16),
    /// It is accepted, and whoever shows it is nobody who may read anything.
    Nobody,
    /// There is not even a connection.
    NoConnection,
    /// There is no such thing, and this is why.
    Senseless(&'static str),
}

const STATES: [State; 6] = [
    State::None,
    State::Wrong,
    State::Expired,
    State::Disabled,
    State::Right,
    State::Elsewhere,
];

/// The cells of a path, in the order of [`STATES`]: a path without them does not compile.
fn cells(path: Path) -> [Cell; 6] {
    use Cell::{NoConnection, Nobody, Opens, Refused, Senseless};
    let no = Refused(401);
    let nameless = Senseless("a password does not say for which registry it is: another's is a wrong one");
    match path {
        Path::PasswordOnBase => [no, no, no, no, Opens, nameless],
        // Whoever shows nothing gets a token that says so.
        Path::PasswordForToken => [Nobody, no, no, no, Opens, nameless],
        Path::Form => [Refused(400), no, no, no, Opens, nameless],
        Path::Refresh => [Refused(400), no, no, no, Opens, no],
        Path::UserFile => [
            no,
            no,
            Senseless("a line of a user file has no end"),
            no,
            Opens,
            nameless,
        ],
        Path::OwnToken
        | Path::AccountAsBearer
        | Path::AccountAsPassword
        | Path::SubjectAsBearer
        | Path::SubjectAsPassword
        | Path::ServerToken => [no, no, no, no, Opens, no],
        // A name that no identity has is a fact for policies.
        Path::Certificate => [no, Nobody, NoConnection, no, Opens, NoConnection],
        Path::ProxyHeader => [
            no,
            no,
            Senseless("what a proxy says counts for one request"),
            no,
            Opens,
            Senseless("a header does not say for which registry it is"),
        ],
    }
}

/// The path after another: one that is not among them is never made, which does not compile either.
fn next(path: Option<Path>) -> Option<Path> {
    Some(match path {
        None => Path::PasswordOnBase,
        Some(Path::PasswordOnBase) => Path::PasswordForToken,
        Some(Path::PasswordForToken) => Path::Form,
        Some(Path::Form) => Path::Refresh,
        Some(Path::Refresh) => Path::OwnToken,
        Some(Path::OwnToken) => Path::UserFile,
        Some(Path::UserFile) => Path::AccountAsBearer,
        Some(Path::AccountAsBearer) => Path::AccountAsPassword,
        Some(Path::AccountAsPassword) => Path::SubjectAsBearer,
        Some(Path::SubjectAsBearer) => Path::SubjectAsPassword,
        Some(Path::SubjectAsPassword) => Path::Certificate,
        Some(Path::Certificate) => Path::ServerToken,
        Some(Path::ServerToken) => Path::ProxyHeader,
        Some(Path::ProxyHeader) => return None,
    })
}

/// The paths on which somebody is counted so: a new way to be let in does not compile without one.
fn paths_of(counted: Authentication) -> &'static [Path] {
    use Authentication as Counted;
    match counted {
        Counted::Password | Counted::RememberedPassword => {
            &[Path::PasswordOnBase, Path::PasswordForToken, Path::Form, Path::UserFile]
        }
        Counted::Token => &[Path::OwnToken],
        Counted::TokenServer => &[Path::ServerToken],
        Counted::Refresh => &[Path::Refresh],
        Counted::Certificate => &[Path::Certificate],
        Counted::Oidc => &[Path::SubjectAsBearer, Path::SubjectAsPassword],
        Counted::Account => &[Path::AccountAsBearer, Path::AccountAsPassword],
        Counted::Proxy => &[Path::ProxyHeader],
        Counted::Anonymous
        | Counted::BadPassword
        | Counted::BadToken
        | Counted::BadTokenServer
        | Counted::BadRefresh
        | Counted::BadCertificate
        | Counted::BadOidc
        | Counted::OidcUnavailable
        | Counted::BadAccount
        | Counted::AccountUnavailable
        | Counted::BadProxy
        | Counted::Unreadable => &[],
    }
}

/// How whoever shows the right credential is counted.
fn counted(path: Path) -> Authentication {
    let all = [
        Authentication::Password,
        Authentication::Token,
        Authentication::TokenServer,
        Authentication::Refresh,
        Authentication::Certificate,
        Authentication::Oidc,
        Authentication::Account,
        Authentication::Proxy,
    ];
    let mut found = all.into_iter().filter(|counted| paths_of(*counted).contains(&path));
    found.next().unwrap()
}

/// What becomes of somebody who shows a credential in this state, on real connections.
async fn attempt(path: Path, state: State) -> Cell {
    let registry = Registry::with(document(path, State::Right));
    let credential = credential(&registry, path, state).await;
    if path == Path::UserFile {
        publish_with_user_file(&registry, state);
    } else {
        registry.publish(2, document(path, state));
    }
    let server = mutual::start(Arc::new(registry)).await;
    let ask = async |call: Call| secured(server.address, client(path, state), call).await;
    let shown = (state != State::None).then_some(credential);
    let (signed_in, shown) = match exchange(path, shown.as_deref()) {
        Some(call) => {
            let Some(answer) = ask(call).await else {
                return Cell::NoConnection;
            };
            if answer.status != 200 {
                return Cell::Refused(answer.status.as_u16());
            }
            let token = answer.json()["token"].as_str().unwrap().to_owned();
            (answer, Some(token))
        }
        None => match ask(with(path, shown.as_deref(), Call::get("/v2/"))).await {
            Some(answer) => (answer, shown),
            None => return Cell::NoConnection,
        },
    };
    let tags = with(path, shown.as_deref(), Call::get("/v2/team/app/tags/list"));
    let read = ask(tags).await.unwrap();
    if state == State::Right {
        check_counted(&server, path);
    }
    outcome(&signed_in, &read)
}

/// Nothing is in the repository, and that is told to whoever may read it.
fn outcome(signed_in: &Answer, read: &Answer) -> Cell {
    match (signed_in.status.as_u16(), read.status.as_u16()) {
        (200, 404) => Cell::Opens,
        (200, 401) => Cell::Nobody,
        (refused, 401) => Cell::Refused(refused),
        _ => panic!("{signed_in:?}, then {read:?}"),
    }
}

/// It was this credential that opened the registry, and no other that came along.
fn check_counted(server: &Server, path: Path) {
    let name = format!("authentications_total{{result=\"{:?}\"}}", counted(path));
    let metrics = server.registry.metrics.text();
    assert!(metrics.contains(&name), "{path:?}: {metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_each_kind_of_credential_the_right_one_opens_and_no_other() {
    let mut path = None;
    while let Some(current) = next(path) {
        for (state, want) in STATES.into_iter().zip(cells(current)) {
            if matches!(want, Cell::Senseless(_)) {
                continue;
            }
            assert_eq!(attempt(current, state).await, want, "{current:?} {state:?}");
        }
        path = Some(current);
    }
}
