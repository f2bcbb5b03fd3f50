//! Browsers: what pages of other origins may do, and what they are told.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::fixture::{Call, PASSWORD, Registry, content};

const UI: &str = "https://ui.example.com";

fn with(cors: Value) -> Registry {
    let mut content = content();
    content["cors"] = cors;
    Registry::with(content)
}

fn preflight(uri: &str, origin: &str) -> Call {
    Call::new(Method::OPTIONS, uri)
        .header("origin", origin)
        .header("access-control-request-method", "DELETE")
        .header("access-control-request-headers", "authorization")
}

#[tokio::test]
async fn a_preflight_needs_no_login_and_names_what_is_allowed_to_listed_origins_alone() {
    let registry = with(json!({ "allowedOrigins": [UI], "allowCredentials": true }));
    for uri in ["/v2/", "/v2/_catalog", "/v2/team/app/manifests/v1", "/token"] {
        let answer = registry.send(preflight(uri, UI)).await;
        assert_eq!(
            (answer.status, answer.body.len()),
            (StatusCode::NO_CONTENT, 0),
            "{uri}: {answer:?}"
        );
        for (name, want) in [
            ("access-control-allow-origin", UI),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", "HEAD, GET, OPTIONS, DELETE"),
            ("access-control-allow-headers", "Authorization, Accept, Cache-Control"),
            ("access-control-max-age", "600"),
            ("vary", "Origin"),
        ] {
            assert_eq!(answer.header(name), Some(want), "{uri}");
        }
        for origin in [
            "https://evil.example.com",
            "https://ui.example.com.evil.example",
            "http://ui.example.com",
            "null",
        ] {
            let answer = registry.send(preflight(uri, origin)).await;
            assert_eq!(answer.status, StatusCode::NO_CONTENT, "{origin}");
            assert!(
                !format!("{:?}", answer.headers).contains("access-control-"),
                "{origin}: {answer:?}"
            );
            assert_eq!(answer.header("vary"), Some("Origin"), "{origin}");
        }
    }
    // Without a question by a browser it is a request like any other.
    let answer = registry.send(Call::new(Method::OPTIONS, "/v2/")).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn errors_and_tokens_can_be_read_by_listed_origins_too() {
    let registry = with(json!({ "allowedOrigins": [UI, "http://localhost:8080"], "allowCredentials": true }));
    let signed = |call: Call| call.basic("puller", PASSWORD);
    for (call, status) in [
        (Call::get("/v2/"), 401),
        (signed(Call::get("/v2/")), 200),
        (signed(Call::get("/v2/other/app/tags/list")), 403),
        (signed(Call::get("/v2/team/none/tags/list")), 404),
        (Call::get("/nowhere"), 404),
        (signed(Call::get("/token?service=registry.test")), 200),
        (Call::get("/token").basic("puller", "wrong"), 401),
    ] {
        let uri = call.0.uri().to_string();
        let answer = registry.send(call.header("origin", UI)).await;
        assert_eq!(answer.status, status, "{uri}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(UI), "{uri}");
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"), "{uri}");
        assert_eq!(
            answer.header("access-control-expose-headers"),
            Some("Docker-Content-Digest"),
            "{uri}"
        );
        assert_eq!(answer.header("vary"), Some("Origin"), "{uri}");
    }
    let answer = registry
        .send(signed(Call::get("/v2/")).header("origin", "https://evil.example.com"))
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(
        !format!("{:?}", answer.headers).contains("access-control-"),
        "{answer:?}"
    );
    let answer = registry.send(signed(Call::get("/v2/"))).await;
    assert_eq!(
        (answer.header("access-control-allow-origin"), answer.header("vary")),
        (None, Some("Origin"))
    );
}

#[tokio::test]
async fn settings_take_the_place_of_defaults_and_hold_at_the_next_request() {
    let registry = Registry::new();
    let answer = registry.send(preflight("/v2/", UI)).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "nothing is set");
    assert_eq!(answer.header("vary"), None);
    let mut content = content();
    content["cors"] = json!({
        "allowedOrigins": ["*"], "allowedMethods": ["GET"], "allowedHeaders": ["X-A", "X-B"],
        "exposeHeaders": ["Link", "WWW-Authenticate"], "maxAge": "1h",
    });
    registry.publish(2, content);
    let answer = registry.send(preflight("/v2/", UI)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    for (name, want) in [
        ("access-control-allow-origin", Some("*")),
        ("access-control-allow-credentials", None),
        ("access-control-allow-methods", Some("GET")),
        ("access-control-allow-headers", Some("X-A, X-B")),
        ("access-control-expose-headers", Some("Link, WWW-Authenticate")),
        ("access-control-max-age", Some("3600")),
    ] {
        assert_eq!(answer.header(name), want, "{name}");
    }
}
