//! Whom policies are about: identities by their attributes, those of the Registry's own namespace, and whoever has signed
//! in, for every kind of caller that there is.

use serde_json::{Value, json};
use wharfinger_registry::server::Limits;

use crate::cluster::Cluster;
use crate::exchange::plain;
use crate::fixture::{Call, HASH, PASSWORD, Registry};
use crate::issuer::Offline;
use crate::wire::Server;

/// What a caller may read of [`REPOSITORIES`].
type Rights = [bool; 6];

/// Each is open to some callers: to whom `any: …` means, or by what their attributes are.
const REPOSITORIES: [&str; 6] = ["home", "signed-in", "anonymous", "physics", "staff", "unmarked"];

/// Two identities of the Registry's own namespace, two that were admitted, one of each with attributes; each stands for
/// the ServiceAccount and for the subject of its name. ServiceAccounts of `apps` and other subjects are guests.
fn with_callers() -> Value {
    let marked = json!({ "department": ["optics", "physics"], "staff": [] });
    let identity = |name: &str, home: bool, attributes: &Value| {
        json!({
            "username": name, "home": home, "attributes": attributes, "passwords": [{ "hash": *HASH }],
            "serviceAccounts": [{ "namespace": "ci", "name": name }],
            "oidcSubjects": [{ "issuer": Offline::URL, "subject": name }],
        })
    };
    let allow = |name: &str, subject: &str, when: &str| {
        json!({
            "name": name, "effect": "Allow", "subjects": [{ "any": subject }],
            "rules": [{ "name": "all", "repositories": [format!("{name}/**")], "role": "pull", "when": when }],
        })
    };
    let mut accounts = Cluster::settings();
    accounts["namespaces"] = json!(["apps"]);
    json!({
        "service": "registry.test",
        "serviceAccounts": accounts,
        "oidc": [Offline::settings()],
        "trustedProxies": ["127.0.0.0/8"],
        "userHeader": "X-Forwarded-User",
        "identities": [
            identity("home", true, &json!({})),
            identity("home-marked", true, &marked),
            identity("admitted", false, &json!({})),
            identity("admitted-marked", false, &marked),
        ],
        "policies": [
            allow("home", "Home", "true"),
            allow("signed-in", "Authenticated", "true"),
            allow("anonymous", "Anonymous", "true"),
            allow("physics", "Everyone", "identity.attributes.department.exists(d, d == 'physics')"),
            allow("staff", "Everyone", "'staff' in identity.attributes"),
            allow("unmarked", "Everyone", "size(identity.attributes) == 0"),
        ],
    })
}

/// The token of a ServiceAccount that no identity names, of a namespace that is admitted.
fn guest_account() -> String {
    let mut claims = Cluster::claims("web");
    claims["sub"] = json!("system:serviceaccount:apps:web");
    claims["kubernetes.io"]["namespace"] = json!("apps");
    Cluster::sign(&claims)
}

/// A token of the registry's own for other credentials.
async fn exchanged(server: &Server, with: impl Fn(Call) -> Call) -> String {
    let scope = REPOSITORIES
        .map(|name| format!("scope=repository:{name}/app:pull"))
        .join("&");
    let answer = plain(server.address, with(Call::get(&format!("/token?{scope}")))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["token"].as_str().unwrap().to_owned()
}

/// Asserts what a caller may read with these credentials, and with a token that it gets for them.
async fn check(server: &Server, who: &str, rights: Rights, with: impl Fn(Call) -> Call) {
    let token = exchanged(server, &with).await;
    for (repository, may) in REPOSITORIES.iter().zip(rights) {
        let tags = || Call::get(&format!("/v2/{repository}/app/tags/list"));
        for call in [with(tags()), tags().bearer(&token)] {
            let answer = plain(server.address, call).await;
            // Nothing is there; nobody was told so who may not read it.
            assert_eq!(answer.status == 404, may, "{who} in {repository}: {answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn home_and_attributes_are_those_of_the_identity_however_it_signs_in() {
    let server = Server::start_with(Registry::with(with_callers()), None, Limits::default()).await;
    for (user, rights) in [
        ("home", [true, true, false, false, false, true]),
        ("home-marked", [true, true, false, true, true, false]),
        ("admitted", [false, true, false, false, false, true]),
        ("admitted-marked", [false, true, false, true, true, false]),
    ] {
        check(&server, user, rights, |call| call.basic(user, PASSWORD)).await;
        check(&server, user, rights, |call| call.bearer(&Cluster::token_of(user))).await;
        check(&server, user, rights, |call| call.bearer(&Offline::token_of(user))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_are_signed_in_and_not_at_home_and_have_no_attributes() {
    const GUEST: Rights = [false, true, false, false, false, true];
    let server = Server::start_with(Registry::with(with_callers()), None, Limits::default()).await;
    let (account, subject) = (guest_account(), Offline::token_of("stranger"));
    check(&server, "a ServiceAccount", GUEST, |call| call.bearer(&account)).await;
    check(&server, "a subject", GUEST, |call| call.bearer(&subject)).await;
    check(&server, "a subject by password", GUEST, |call| call.basic("", &subject)).await;
    // A proxy says who it is with each request, and nobody gets a token for that.
    for (user, rights) in [
        ("stranger", GUEST),
        ("home-marked", [true, true, false, true, true, false]),
    ] {
        for (repository, may) in REPOSITORIES.iter().zip(rights) {
            let call = Call::get(&format!("/v2/{repository}/app/tags/list"));
            let answer = plain(server.address, call.header("x-forwarded-user", user)).await;
            assert_eq!(answer.status == 404, may, "{user} in {repository}: {answer:?}");
        }
    }
    let nobody = [false, false, true, false, false, true];
    check(&server, "nobody", nobody, |call| call).await;
}
