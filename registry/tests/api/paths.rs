//! Paths that lead nowhere, and must lead nowhere for everybody: signed in or not.

use http::Method;

use crate::fixture::{Call, PASSWORD, Registry};

#[tokio::test]
async fn unknown_routes_are_unknown_before_anybody_is_asked_to_sign_in() {
    let registry = Registry::new();
    for uri in [
        "/",
        "/v1/",
        "/v2/x",
        "/v2/team/app/tags",
        "/v2/team/app/manifests/v1/",
        "/v2/_catalog/",
        "/livez",
        "/metrics",
        "/status",
        "/readyz",
    ] {
        for call in [
            Call::get(uri),
            Call::get(uri).basic("admin", PASSWORD),
            Call::get(uri).basic("admin", "wrong"),
        ] {
            let answer = registry.send(call).await;
            assert_eq!(answer.error(), (404, "UNSUPPORTED".to_owned()), "{uri}");
            assert_eq!(answer.header("www-authenticate"), None, "{uri}");
            assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"));
        }
    }
}

#[tokio::test]
async fn no_spelling_of_a_path_reaches_another_repository_or_leaves_the_store() {
    let registry = Registry::new();
    registry.seed("team/app", "v1").await;
    std::fs::write(registry.directory.path().join("secret"), "secret").unwrap();
    let before = registry.files();
    let long = "a".repeat(300);
    for name in [
        "team/../team/app",
        "team/./app",
        "team//app",
        "/team/app",
        "team/app/",
        "%2e%2e",
        "..",
        "team%2f..%2fapp",
        "team%2F%2Fapp",
        "Team/app",
        "team/app%00",
        "team\\app",
        "team%5capp",
        "%252e%252e/x",
        "team/app%2f",
        "team/%2e%2e/%2e%2e/%2e%2e/secret",
        "_catalog",
        "team/_uploads",
        long.as_str(),
    ] {
        let name = name.replace('\\', "%5c");
        for (method, rest) in [
            (Method::GET, "manifests/v1".to_owned()),
            (Method::PUT, "manifests/v1".to_owned()),
            (Method::GET, "tags/list".to_owned()),
            (Method::GET, format!("blobs/{}", crate::fixture::digest(b"x"))),
            (Method::POST, "blobs/uploads/".to_owned()),
        ] {
            let uri = format!("/v2/{name}/{rest}");
            let answer = registry
                .send(Call::new(method.clone(), &uri).basic("admin", PASSWORD))
                .await;
            assert!(
                matches!(answer.status.as_u16(), 400 | 404),
                "{method} {uri}: {answer:?}"
            );
            assert!(
                matches!(answer.code().as_str(), "NAME_INVALID" | "UNSUPPORTED"),
                "{method} {uri}: {answer:?}"
            );
        }
    }
    for rest in [
        "manifests/..",
        "manifests/%2e%2e",
        "manifests/v1%00",
        "manifests/a%2fb",
        "blobs/..",
        "blobs/sha256:..%2f..",
        "blobs/uploads/..",
        "blobs/uploads/%2e%2e",
    ] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let uri = format!("/v2/team/app/{rest}");
            let answer = registry
                .send(Call::new(method.clone(), &uri).basic("admin", PASSWORD))
                .await;
            assert!(
                matches!(answer.status.as_u16(), 400 | 404 | 405),
                "{method} {uri}: {answer:?}"
            );
        }
    }
    assert_eq!(registry.files(), before);
}

#[tokio::test]
async fn an_escaped_path_is_the_same_path_for_policy() {
    let registry = Registry::new();
    registry.seed("public/app", "v1").await;
    registry.seed("secret/app", "v1").await;
    assert_eq!(
        registry.send(Call::get("/v2/public%2Fapp/manifests/v%31")).await.status,
        200
    );
    for uri in [
        "/v2/secret%2Fapp/manifests/v1",
        "/v2/%73ecret/app/manifests/v1",
        "/v2/secret/app%2Fmanifests/v1",
    ] {
        let answer = registry.send(Call::get(uri)).await;
        assert_eq!(answer.error(), (401, "UNAUTHORIZED".to_owned()), "{uri}");
        assert!(
            answer
                .header("www-authenticate")
                .unwrap()
                .contains("repository:secret/app:pull"),
            "{uri}"
        );
    }
}
