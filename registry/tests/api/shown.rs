//! How each kind of credential is made, in each state, and how it is shown: what `credentials` has its cells for.

use std::fs;
use std::sync::{Arc, LazyLock};

use http::Method;
use rustls::ClientConfig;
use serde_json::{Value, json};
use wharfinger_registry::access::file::{self, Files};

use crate::client_certificates::Authority;
use crate::cluster::{Cluster, SigningKey};
use crate::credentials::{Path, State};
use crate::fixture::{Call, PASSWORD, Registry, content};
use crate::forged_tokens::TestKey;
use crate::issuer::Offline;
use crate::mutual;
use crate::token_server;

static OWN: LazyLock<TestKey> = LazyLock::new(TestKey::new);
static SERVER: LazyLock<token_server::Server> = LazyLock::new(token_server::Server::new);
static FORGER: LazyLock<SigningKey> = LazyLock::new(SigningKey::new);

const SCOPE: &str = "repository:team/app:pull";
const USER: &str = "puller";

/// A registry that takes all of them, and where `puller`'s is in this state.
pub(crate) fn document(path: Path, state: State) -> Value {
    let mut content = content();
    content["token"] = json!({ "refreshLifetime": "24h", "keys": [OWN.entry("k")] });
    content["serviceAccounts"] = Cluster::settings();
    content["oidc"] = json!([Offline::settings()]);
    content["tokenServer"] = SERVER.settings();
    content["clientCertificates"] = mutual::settings();
    if path == Path::ProxyHeader {
        let is_trusted = state != State::Wrong;
        let network = if is_trusted { "127.0.0.0/8" } else { "192.0.2.0/24" };
        content["trustedProxies"] = json!([network]);
        content["userHeader"] = json!("X-Forwarded-User");
    }
    let puller = &mut content["identities"][0];
    puller["serviceAccounts"] = json!([{ "namespace": "ci", "name": USER }]);
    puller["oidcSubjects"] = json!([{ "issuer": Offline::URL, "subject": USER }]);
    puller["certificateSubjects"] = json!([{ "commonName": USER }]);
    match state {
        State::Disabled => puller["notAfter"] = json!("2020-01-01T00:00:00Z"),
        State::Expired => puller["passwords"][0]["notAfter"] = json!("2020-01-01T00:00:00Z"),
        State::None | State::Wrong | State::Right | State::Elsewhere => {}
    }
    content
}

/// Puts a user file beside the document, in which `puller` stands alone unless somebody has locked that name.
pub(crate) fn publish_with_user_file(registry: &Registry, state: State) {
    let mut content = document(Path::UserFile, state);
    if state == State::Disabled {
        content["identities"][0]["passwords"] = json!([]);
    } else {
        content["identities"].as_array_mut().unwrap().remove(0);
    }
    let directory = registry.directory.path();
    let files = Files {
        document: directory.join("access.yaml"),
        htpasswd: Some(directory.join("htpasswd")),
    };
    let index = json!({ "kind": "AccessIndex", "formatVersion": 1, "revision": 2, "content": content });
    fs::write(&files.document, index.to_string()).unwrap();
    let line = format!("{USER}:{}\n", bcrypt::hash(PASSWORD, 4).unwrap());
    fs::write(directory.join("htpasswd"), line).unwrap();
    let contents = file::read(&files, registry.current.own_key()).unwrap_or_else(|error| panic!("{error}"));
    registry.current.enforce(contents.snapshot);
}

/// The claims of a token in this state.
fn claims(mut good: Value, state: State) -> Value {
    match state {
        State::Expired => good["exp"] = json!(jiff::Timestamp::now().as_second() - 1),
        State::Elsewhere => good["aud"] = json!("registry.other"),
        State::None | State::Wrong | State::Disabled | State::Right => {}
    }
    good
}

/// A token in this state like `good`, which the registry has made.
fn own(good: &str, state: State) -> String {
    let header = jsonwebtoken::decode_header(good).unwrap();
    let claims = claims(OWN.claims(good), state);
    let other = TestKey::new();
    let key = if state == State::Wrong { &other } else { &*OWN };
    key.sign(&header, &claims)
}

fn foreign(key: &SigningKey, good: Value, state: State) -> String {
    let key = if state == State::Wrong { &FORGER } else { key };
    key.sign("k1", &claims(good, state))
}

/// What `puller` shows: a password, a token, or a name.
pub(crate) async fn credential(registry: &Registry, path: Path, state: State) -> String {
    let password = if state == State::Wrong { "wrong" } else { PASSWORD };
    match path {
        Path::PasswordOnBase | Path::PasswordForToken | Path::Form | Path::UserFile => password.to_owned(),
        Path::Refresh => {
            let call = Call::get("/token?offline_token=true").basic(USER, PASSWORD);
            let given = registry.send(call).await.json()["refresh_token"].clone();
            own(given.as_str().unwrap(), state)
        }
        Path::OwnToken => own(&registry.token(USER, SCOPE).await, state),
        Path::AccountAsBearer | Path::AccountAsPassword => foreign(Cluster::key(), Cluster::claims(USER), state),
        Path::SubjectAsBearer | Path::SubjectAsPassword => foreign(Offline::key(), Offline::claims(USER), state),
        Path::ServerToken => {
            let other = token_server::Server::new();
            let server = if state == State::Wrong { &other } else { &*SERVER };
            server.token(&claims(token_server::claims(USER, &[("team/app", &["pull"])]), state))
        }
        Path::Certificate | Path::ProxyHeader => USER.to_owned(),
    }
}

/// Who connects: for one path the certificate is the credential, and the others have none.
pub(crate) fn client(path: Path, state: State) -> Arc<ClientConfig> {
    match (path, state) {
        (Path::Certificate, State::Wrong) => mutual::client("stranger"),
        (Path::Certificate, State::Expired) => mutual::client_with(Some(&mutual::expired(USER))),
        (Path::Certificate, State::Elsewhere) => mutual::client_with(Some(&Authority::new().issue(USER, 2040))),
        (Path::Certificate, State::Right | State::Disabled) => mutual::client(USER),
        _ => mutual::client_with(None),
    }
}

fn form(grant: &str, more: &[(&str, &str)]) -> Call {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs([
        ("grant_type", grant),
        ("service", "s"),
        ("client_id", "c"),
        ("scope", SCOPE),
    ]);
    Call::new(Method::POST, "/token").body(form.extend_pairs(more).finish())
}

/// The request by which a token is got, on the paths where that is what the credential is for.
pub(crate) fn exchange(path: Path, shown: Option<&str>) -> Option<Call> {
    let get = || Call::get(&format!("/token?scope={SCOPE}"));
    Some(match (path, shown) {
        (Path::PasswordForToken, None) => get(),
        (Path::PasswordForToken, Some(password)) => get().basic(USER, password),
        (Path::Form, None) => form("password", &[("username", USER)]),
        (Path::Form, Some(password)) => form("password", &[("username", USER), ("password", password)]),
        (Path::Refresh, None) => form("refresh_token", &[]),
        (Path::Refresh, Some(token)) => form("refresh_token", &[("refresh_token", token)]),
        _ => return None,
    })
}

pub(crate) fn with(path: Path, shown: Option<&str>, call: Call) -> Call {
    match (path, shown) {
        (_, None) | (Path::Certificate, _) => call,
        (Path::PasswordOnBase | Path::UserFile, Some(password)) => call.basic(USER, password),
        (Path::AccountAsPassword | Path::SubjectAsPassword, Some(token)) => call.basic("", token),
        (Path::ProxyHeader, Some(user)) => call.header("x-forwarded-user", user),
        (
            // What is exchanged is a token afterwards.
            Path::PasswordForToken
            | Path::Form
            | Path::Refresh
            | Path::OwnToken
            | Path::AccountAsBearer
            | Path::SubjectAsBearer
            | Path::ServerToken,
            Some(token),
        ) => call.bearer(token),
    }
}
