//! Every route, every kind of credential: who is let through, and what the others are told.

use bytes::Bytes;
use http::Method;
use serde_json::json;
use wharfinger_registry::oci::{Algorithm, Reference, RepositoryName, UploadId};
use wharfinger_registry::route::{
    CompleteUpload, DeleteBlob, DeleteManifest, GetBlob, GetManifest, GetReferrers, ListCatalog, ListTags, Page,
    PutManifest, Route, Session, StartUpload,
};

use crate::cluster::Cluster;
use crate::fixture::{Answer, Call, Image, MANIFEST, PASSWORD, Registry, content, owner};
use crate::issuer::Offline;

/// What each caller is answered: none, wrong password, wrong token, anonymous token, then whoever may pull, push,
/// maintain, and everything.
type Row = [u16; 8];

const CALLERS: [&str; 8] = [
    "none",
    "bad password",
    "bad token",
    "anonymous token",
    "puller",
    "pusher",
    "maintainer",
    "admin",
];

/// How the last four sign in.
const WAYS: [&str; 7] = [
    "password",
    "token",
    "service account",
    "service account as password",
    "issuer",
    "issuer as password",
    "proxy",
];

const ALL_SCOPES: &str = "repository:team/app:* registry:catalog:*";

/// The first route, and the one that comes after each: a route without a place here does not compile.
fn next(route: Option<&Route>, world: &World) -> Option<Route> {
    let repository = || world.repository.clone();
    let session = || Session {
        repository: repository(),
        session: world.session,
    };
    let digest = || world.image.layer.clone();
    let page = || Page { n: None, last: None };
    let tag = || Reference::Tag("v1".parse().unwrap());
    Some(match route {
        None => Route::Base,
        Some(Route::Base) => Route::Token,
        Some(Route::Token) => Route::Keys,
        Some(Route::Keys) => Route::ListCatalog(ListCatalog { page: page() }),
        Some(Route::ListCatalog(_)) => Route::ListTags(ListTags {
            repository: repository(),
            page: page(),
        }),
        Some(Route::ListTags(_)) => Route::GetBlob(GetBlob {
            repository: repository(),
            digest: digest(),
            head: false,
        }),
        Some(Route::GetBlob(_)) => Route::DeleteBlob(DeleteBlob {
            repository: repository(),
            digest: digest(),
        }),
        Some(Route::DeleteBlob(_)) => Route::GetManifest(GetManifest {
            repository: repository(),
            reference: tag(),
        }),
        Some(Route::GetManifest(_)) => Route::PutManifest(PutManifest {
            repository: repository(),
            reference: tag(),
            tags: vec![],
        }),
        Some(Route::PutManifest(_)) => Route::DeleteManifest(DeleteManifest {
            repository: repository(),
            reference: tag(),
        }),
        Some(Route::DeleteManifest(_)) => Route::GetReferrers(GetReferrers {
            repository: repository(),
            digest: digest(),
            artifact_type: None,
            page: page(),
        }),
        Some(Route::GetReferrers(_)) => Route::StartUpload(StartUpload {
            repository: repository(),
            digest: None,
            mount: None,
            from: None,
            digest_algorithm: None,
        }),
        Some(Route::StartUpload(_)) => Route::GetUpload(session()),
        Some(Route::GetUpload(_)) => Route::UpdateUpload(session()),
        Some(Route::UpdateUpload(_)) => Route::CompleteUpload(CompleteUpload {
            repository: repository(),
            session: world.session,
            digest: digest(),
        }),
        Some(Route::CompleteUpload(_)) => Route::CancelUpload(session()),
        Some(Route::CancelUpload(_)) => return None,
    })
}

/// How a route is asked for, and what each caller is answered.
fn row(route: &Route, world: &World) -> (Method, String, Bytes, Row) {
    let base = "/v2/team/app";
    let (session, layer) = (world.session, &world.image.layer);
    let read: Row = [401, 401, 401, 401, 200, 200, 200, 200];
    let write = |status| [401, 401, 401, 401, 403, status, status, status];
    let delete: Row = [401, 401, 401, 401, 403, 403, 202, 202];
    let nothing = Bytes::new;
    match route {
        Route::Base => (
            Method::GET,
            "/v2/".into(),
            nothing(),
            [401, 401, 401, 200, 200, 200, 200, 200],
        ),
        // The last four come with a password here, never with a token.
        Route::Token => (
            Method::GET,
            "/token".into(),
            nothing(),
            [200, 401, 401, 401, 200, 200, 200, 200],
        ),
        // What verifies is no secret, and nobody is asked who they are.
        Route::Keys => (Method::GET, "/.well-known/jwks.json".into(), nothing(), [200; 8]),
        Route::ListCatalog(_) => (Method::GET, "/v2/_catalog".into(), nothing(), read),
        Route::ListTags(_) => (Method::GET, format!("{base}/tags/list"), nothing(), read),
        Route::GetBlob(_) => (Method::GET, format!("{base}/blobs/{layer}"), nothing(), read),
        Route::DeleteBlob(_) => (Method::DELETE, format!("{base}/blobs/{layer}"), nothing(), delete),
        Route::GetManifest(_) => (Method::GET, format!("{base}/manifests/v1"), nothing(), read),
        Route::PutManifest(_) => (
            Method::PUT,
            format!("{base}/manifests/v2"),
            world.image.manifest_content.clone(),
            write(201),
        ),
        Route::DeleteManifest(_) => (Method::DELETE, format!("{base}/manifests/v1"), nothing(), delete),
        Route::GetReferrers(_) => (Method::GET, format!("{base}/referrers/{layer}"), nothing(), read),
        Route::StartUpload(_) => (Method::POST, format!("{base}/blobs/uploads/"), nothing(), write(202)),
        Route::GetUpload(_) => (
            Method::GET,
            format!("{base}/blobs/uploads/{session}"),
            nothing(),
            write(204),
        ),
        Route::UpdateUpload(_) => (
            Method::PATCH,
            format!("{base}/blobs/uploads/{session}"),
            "x".into(),
            write(202),
        ),
        Route::CompleteUpload(_) => {
            let uri = format!("{base}/blobs/uploads/{session}?digest={layer}");
            (Method::PUT, uri, world.image.layer_content.clone(), write(201))
        }
        Route::CancelUpload(_) => (
            Method::DELETE,
            format!("{base}/blobs/uploads/{session}"),
            nothing(),
            write(204),
        ),
    }
}

/// A registry with one image, and one upload session that has begun.
struct World {
    registry: Registry,
    repository: RepositoryName,
    image: Image,
    session: UploadId,
}

impl World {
    /// A world whose session `caller` has opened.
    async fn of(caller: &str) -> Self {
        let mut content = content();
        content["serviceAccounts"] = Cluster::settings();
        content["oidc"] = json!([Offline::settings()]);
        content["trustedProxies"] = json!(["192.0.2.0/24"]);
        content["userHeader"] = json!("X-Forwarded-User");
        for identity in content["identities"].as_array_mut().unwrap() {
            identity["serviceAccounts"] = json!([{ "namespace": "ci", "name": identity["username"] }]);
            identity["oidcSubjects"] = json!([{ "issuer": Offline::URL, "subject": identity["username"] }]);
        }
        let registry = Registry::with(content);
        let image = registry.seed("team/app", "v1").await;
        let repository: RepositoryName = "team/app".parse().unwrap();
        let session = registry
            .store()
            .start_upload(&repository, Algorithm::Sha256, &owner(caller))
            .await
            .unwrap();
        Self {
            registry,
            repository,
            image,
            session,
        }
    }

    /// Sends a request as one of [`CALLERS`], who signs in by one of [`WAYS`].
    async fn ask(&self, caller: &str, way: &str, call: Call) -> Answer {
        let call = match (caller, way) {
            ("none", _) => call,
            ("bad password", _) => call.basic("admin", "wrong"),
            ("bad token", _) => call.bearer("a.b.c"),
            ("anonymous token", _) => call.bearer(&self.registry.token("", ALL_SCOPES).await),
            (user, "token") => call.bearer(&self.registry.token(user, ALL_SCOPES).await),
            (user, "service account") => call.bearer(&Cluster::token_of(user)),
            (user, "service account as password") => call.basic("", &Cluster::token_of(user)),
            (user, "issuer") => call.bearer(&Offline::token_of(user)),
            (user, "issuer as password") => call.basic("token", &Offline::token_of(user)),
            (user, "proxy") => call.header("x-forwarded-user", user),
            (user, _) => call.basic(user, PASSWORD),
        };
        self.registry.send(call).await
    }
}

#[tokio::test]
async fn each_route_lets_through_exactly_who_may() {
    let mut route = None;
    let mut rows = 0;
    loop {
        let world = World::of("nobody").await;
        let Some(current) = next(route.as_ref(), &world) else {
            break;
        };
        for way in WAYS {
            if way == "token" && matches!(current, Route::Token) {
                continue;
            }
            for (index, caller) in CALLERS.into_iter().enumerate() {
                let world = World::of(caller).await;
                let (method, uri, body, row) = row(&current, &world);
                let methods = if method == Method::GET && !matches!(current, Route::Token) {
                    vec![Method::HEAD, method]
                } else {
                    vec![method]
                };
                for method in methods {
                    let before = world.registry.files();
                    let call = Call::new(method.clone(), &uri)
                        .header("content-type", MANIFEST)
                        .body(body.clone());
                    let answer = world.ask(caller, way, call).await;
                    let shown = format!("{method} {uri} as {caller} by {way}: {answer:?}");
                    assert_eq!(answer.status.as_u16(), row[index], "{shown}");
                    check_answer(&answer, &current, &shown);
                    if answer.status.is_client_error() {
                        assert_eq!(
                            world.registry.files(),
                            before,
                            "a refused request changed something: {shown}"
                        );
                    }
                    rows += 1;
                }
            }
        }
        route = Some(current);
    }
    assert!(rows > 500, "{rows}");
}

/// What holds for every answer of its kind.
fn check_answer(answer: &Answer, route: &Route, shown: &str) {
    assert_eq!(
        answer.header("docker-distribution-api-version"),
        Some("registry/2.0"),
        "{shown}"
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{shown}");
    let challenge = answer.header("www-authenticate");
    match (answer.status.as_u16(), route) {
        (401, Route::Token) => {
            assert_eq!(challenge, Some("Basic realm=\"registry.test\""), "{shown}");
            assert_eq!(answer.code(), "DENIED", "{shown}");
        }
        (401, _) => {
            assert!(
                challenge
                    .unwrap()
                    .starts_with("Bearer realm=\"http://registry.test:5000/token\",service=\"registry.test\""),
                "{shown}"
            );
            assert_eq!(answer.code(), "UNAUTHORIZED", "{shown}");
        }
        (403, _) => assert_eq!((challenge, answer.code().as_str()), (None, "DENIED"), "{shown}"),
        _ => assert_eq!(challenge, None, "{shown}"),
    }
}
