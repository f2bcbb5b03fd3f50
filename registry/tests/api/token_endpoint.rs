//! The token endpoint: who gets what, in which form.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};

use crate::fixture::{Answer, Call, PASSWORD, Registry, content};

fn form(parameters: &[(&str, &str)]) -> Call {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(parameters)
        .finish();
    Call::new(Method::POST, "/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn claims(answer: &Answer) -> Value {
    part(answer.json()["token"].as_str().unwrap(), 1)
}

#[tokio::test]
async fn a_token_says_who_asked_for_what_under_which_document() {
    let registry = Registry::new();
    let mut changed = content();
    changed["identities"][0]["uid"] = json!("uid-1");
    changed["issuer"] = json!("registry-uid");
    changed["token"] = json!({ "lifetime": "10m" });
    registry.publish(41, changed);
    let answer = registry.send(Call::get("/token?service=registry.test&scope=repository:team/a:pull,push&account=puller&client_id=docker&offline_token=true").basic("puller", PASSWORD)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let body = answer.json();
    assert_eq!(body["token"], body["access_token"]);
    assert_eq!(
        (&body["expires_in"], &body["scope"]),
        (&json!(600), &json!("repository:team/a:pull"))
    );
    assert_eq!(body.get("refresh_token"), None);
    let issued: jiff::Timestamp = body["issued_at"].as_str().unwrap().parse().unwrap();

    let header = part(body["token"].as_str().unwrap(), 0);
    assert_eq!(header, json!({ "typ": "JWT", "alg": "ES256", "kid": header["kid"] }));
    let claims = claims(&answer);
    let iat = claims["iat"].as_i64().unwrap();
    assert_eq!(iat, issued.as_second());
    let want = json!({
        "iss": "registry-uid", "sub": "puller", "aud": "registry.test", "uid": "uid-1", "rev": 41,
        "iat": iat, "nbf": iat, "exp": iat + 600, "jti": claims["jti"], "cred": claims["cred"],
        "access": [{ "type": "repository", "name": "team/a", "actions": ["pull"] }],
    });
    assert_eq!(claims, want);
    assert_eq!(claims["cred"].as_str().unwrap().len(), 24);
}

#[tokio::test]
async fn scopes_are_granted_as_far_as_policy_may_allow() {
    let registry = Registry::new();
    for (user, scope, want) in [
        ("puller", "repository:team/a:pull,push", "repository:team/a:pull"),
        ("pusher", "repository:team/a:push,pull", "repository:team/a:pull,push"),
        ("pusher", "repository:team/a:*", "repository:team/a:pull,push"),
        ("maintainer", "repository:team/a:delete", "repository:team/a:delete"),
        ("admin", "repository:team/a:*", "repository:team/a:pull,push,delete"),
        (
            "admin",
            "repository:a:pull repository:b:push",
            "repository:a:pull repository:b:push",
        ),
        ("nobody", "repository:team/a:pull", ""),
        ("puller", "repository:teams/a:pull", ""),
        ("nobody", "registry:catalog:*", "registry:catalog:*"),
        ("puller", "artifact:x:pull repository:team/a:fly", ""),
        ("puller", "", ""),
        ("", "repository:public/a:pull,push", "repository:public/a:pull"),
        ("", "repository:team/a:pull", ""),
        ("", "registry:catalog:*", ""),
    ] {
        let uri = format!("/token?service=registry.test&scope={}", scope.replace(' ', "&scope="));
        let call = Call::get(&uri);
        let answer = registry
            .send(if user.is_empty() {
                call
            } else {
                call.basic(user, PASSWORD)
            })
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["scope"].as_str()),
            (200, Some(want)),
            "{user} {scope}"
        );
        let granted = claims(&answer)["access"].as_array().unwrap().len();
        assert_eq!(granted, want.split_whitespace().count());
    }
}

#[tokio::test]
async fn wrong_credentials_get_no_token_and_are_not_taken_for_anonymous() {
    let registry = Registry::new();
    let good = registry.token("admin", "").await;
    let get = || Call::get("/token?service=registry.test");
    let post = |username, password| {
        form(&[
            ("grant_type", "password"),
            ("service", "registry.test"),
            ("client_id", "x"),
            ("username", username),
            ("password", password),
        ])
    };
    for call in [
        get().basic("admin", "wrong"),
        get().basic("stranger", PASSWORD),
        get().basic("admin", ""),
        get().basic("", ""),
        get().header("authorization", "Basic !"),
        // A token must not be a way to another token.
        get().bearer(&good),
        get().basic("admin", &good),
        get().basic("", &good),
        post("admin", "wrong"),
        post("admin", &good),
        post("", ""),
    ] {
        let answer = registry.send(call).await;
        assert_eq!(answer.error(), (401, "DENIED".to_owned()), "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn a_form_is_as_good_as_basic_credentials() {
    let registry = Registry::new();
    registry.seed("team/a", "v1").await;
    let base = [
        ("grant_type", "password"),
        ("service", "registry.test"),
        ("client_id", "docker"),
        ("username", "puller"),
        ("password", PASSWORD),
    ];
    let mut parameters = base.to_vec();
    parameters.push(("scope", "repository:team/a:pull,push repository:team/b:pull"));
    parameters.push(("access_type", "offline"));
    let answer = registry.send(form(&parameters)).await;
    let body = answer.json();
    assert_eq!(
        (answer.status.as_u16(), body["scope"].as_str()),
        (200, Some("repository:team/a:pull repository:team/b:pull"))
    );
    assert_eq!(body.get("refresh_token"), None);
    let token = body["access_token"].as_str().unwrap();
    assert_eq!(
        registry
            .send(Call::get("/v2/team/a/tags/list").bearer(token))
            .await
            .status,
        200
    );

    for missing in 0..base.len() {
        let mut parameters = base.to_vec();
        let (name, _) = parameters.remove(missing);
        let answer = registry.send(form(&parameters)).await;
        assert_eq!(answer.error(), (400, "UNSUPPORTED".to_owned()), "{name}");
        assert!(answer.message().contains(name), "{}", answer.message());
    }
}

#[tokio::test]
async fn other_grants_are_answered_so_that_clients_fall_back_to_get() {
    let registry = Registry::new();
    for grant in ["refresh_token", "authorization_code", ""] {
        let answer = registry
            .send(form(&[
                ("grant_type", grant),
                ("service", "x"),
                ("client_id", "x"),
                ("refresh_token", "x"),
            ]))
            .await;
        assert_eq!(answer.error(), (404, "UNSUPPORTED".to_owned()), "{grant}");
    }
}

#[tokio::test]
async fn broken_scopes_and_oversized_forms_are_refused() {
    let registry = Registry::new();
    for scope in [
        "x",
        "repository:A:pull",
        "repository::pull",
        "repository:a/../b:pull",
        "repository:a:PULL",
    ] {
        let answer = registry
            .send(Call::get(&format!("/token?scope={scope}")).basic("admin", PASSWORD))
            .await;
        assert_eq!(answer.error(), (400, "UNSUPPORTED".to_owned()), "{scope}");
    }
    let large = "x".repeat(70_000);
    let answer = registry.send(form(&[("password", &large)])).await;
    assert_eq!(answer.error(), (413, "SIZE_INVALID".to_owned()));
}

#[tokio::test]
async fn a_long_password_works_everywhere() {
    let long = "\u{e4}:".repeat(1500);
    let mut content = content();
    content["identities"][3]["passwords"][0]["hash"] = json!(crate::fixture::hash(&long));
    let registry = Registry::with(content);
    assert_eq!(registry.send(Call::get("/v2/").basic("admin", &long)).await.status, 200);
    assert_eq!(
        registry.send(Call::get("/token").basic("admin", &long)).await.status,
        200
    );
    let fields = [
        ("grant_type", "password"),
        ("service", "x"),
        ("client_id", "x"),
        ("username", "admin"),
        ("password", long.as_str()),
    ];
    assert_eq!(registry.send(form(&fields)).await.status, 200);
    assert_eq!(
        registry
            .send(Call::get("/v2/").basic("admin", &long[..long.len() - 1]))
            .await
            .status,
        401
    );
}
