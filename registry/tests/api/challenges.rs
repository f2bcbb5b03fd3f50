//! What an unsigned, wrongly signed or too narrow request is told, and what is never told.

use http::Method;
use serde_json::json;

use crate::fixture::{Call, PASSWORD, Registry, content};

#[tokio::test]
async fn the_base_always_challenges_whoever_has_not_signed_in() {
    let registry = Registry::new();
    let answer = registry.send(Call::get("/v2/")).await;
    assert_eq!(answer.error(), (401, "UNAUTHORIZED".to_owned()));
    let want = r#"Bearer realm="http://registry.test:5000/token",service="registry.test""#;
    assert_eq!(answer.header("www-authenticate"), Some(want));
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn the_body_lists_what_is_required() {
    let registry = Registry::new();
    let detail = async |method: Method, uri: &str| {
        let answer = registry.send(Call::new(method, uri)).await;
        answer.json()["errors"][0]["detail"].clone()
    };
    let entry = |name: &str, action: &str| json!({ "Type": "repository", "Class": "", "Name": name, "Action": action });
    assert_eq!(detail(Method::GET, "/v2/").await, json!([]));
    assert_eq!(
        detail(Method::GET, "/v2/a/tags/list").await,
        json!([entry("a", "pull")])
    );
    let push = json!([entry("a", "pull"), entry("a", "push")]);
    assert_eq!(detail(Method::POST, "/v2/a/blobs/uploads/").await, push);
}

#[tokio::test]
async fn the_realm_is_the_external_url_or_the_requests_own_host_and_nothing_else() {
    let mut external = content();
    external["externalURL"] = json!("https://registry.example:44301");
    let registry = Registry::with(external);
    let answer = registry
        .send(Call::get("/v2/").header("x-forwarded-host", "evil.example"))
        .await;
    assert!(
        answer
            .header("www-authenticate")
            .unwrap()
            .starts_with("Bearer realm=\"https://registry.example:44301/token\"")
    );

    let registry = Registry::new();
    let forwarded = Call::get("/v2/")
        .header("x-forwarded-host", "evil.example")
        .header("x-forwarded-proto", "https");
    let answer = registry.send(forwarded.header("forwarded", "host=evil.example")).await;
    assert!(
        answer
            .header("www-authenticate")
            .unwrap()
            .starts_with("Bearer realm=\"http://registry.test:5000/token\"")
    );
    for host in ["a\"b", "user@host", "a/b", "host,evil", ""] {
        let answer = registry.send(Call::get("/v2/").header("host", host)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("www-authenticate")),
            (400, None),
            "{host}"
        );
    }
}

#[tokio::test]
async fn a_bad_credential_is_refused_even_where_none_is_needed() {
    let registry = Registry::new();
    registry.seed("public/app", "v1").await;
    let uri = "/v2/public/app/manifests/v1";
    assert_eq!(registry.send(Call::get(uri)).await.status, 200);
    for call in [
        Call::get(uri).basic("admin", "wrong"),
        Call::get(uri).basic("stranger", PASSWORD),
        Call::get(uri).basic("admin", ""),
        Call::get(uri).basic("admin", "a\0b"),
        Call::get(uri).bearer("x"),
        Call::get(uri).header("authorization", "Basic !"),
        Call::get(uri).header("authorization", "Negotiate abc"),
    ] {
        let answer = registry.send(call).await;
        assert_eq!(answer.error(), (401, "UNAUTHORIZED".to_owned()));
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(
            challenge.contains("scope=\"repository:public/app:pull\""),
            "{challenge}"
        );
    }
}

#[tokio::test]
async fn each_kind_of_401_names_its_error() {
    let registry = Registry::new();
    registry.seed("team/app", "v1").await;
    let error = async |call: Call| {
        let answer = registry.send(call).await;
        assert_eq!(answer.status, 401, "{answer:?}");
        let challenge = answer.header("www-authenticate").unwrap().to_owned();
        challenge.split_once("error=").map(|(_, error)| error.to_owned())
    };
    let uri = "/v2/team/app/manifests/v1";
    assert_eq!(error(Call::get(uri)).await, None);
    assert_eq!(error(Call::get(uri).basic("admin", "wrong")).await, None);
    assert_eq!(
        error(Call::get(uri).bearer("a.b.c")).await.as_deref(),
        Some("\"invalid_token\"")
    );
    let narrow = registry.token("admin", "repository:team/app:push").await;
    assert_eq!(
        error(Call::get(uri).bearer(&narrow)).await.as_deref(),
        Some("\"insufficient_scope\"")
    );
    let other = registry
        .token("admin", "repository:team/app2:pull repository:team:pull")
        .await;
    assert_eq!(
        error(Call::get(uri).bearer(&other)).await.as_deref(),
        Some("\"insufficient_scope\"")
    );
    let none = registry.token("admin", "").await;
    assert_eq!(
        error(Call::get("/v2/_catalog").bearer(&none)).await.as_deref(),
        Some("\"insufficient_scope\"")
    );
    assert_eq!(registry.send(Call::get("/v2/").bearer(&none)).await.status, 200);
    // An anonymous caller is asked to sign in, whatever its token says.
    let anonymous = registry.token("", "repository:team/app:pull").await;
    assert_eq!(error(Call::get(uri).bearer(&anonymous)).await, None);
}

#[tokio::test]
async fn a_refused_identity_learns_what_it_may_not_do_and_nothing_of_others() {
    let mut content = content();
    content["policies"].as_array_mut().unwrap().push(json!({
        "name": "secret-policy",
        "effect": "Deny",
        "subjects": [{ "identity": "maintainer" }],
        "rules": [{
            "name": "secret-rule",
            "repositories": ["team/**"],
            "actions": ["put-manifest"],
            "when": "'latest' in request.tags",
            "message": "use a version tag, not latest",
        }],
    }));
    let registry = Registry::with(content);
    let image = registry.seed("team/app", "v1").await;
    let put = |user: &str, tag: &str| {
        Call::new(Method::PUT, &format!("/v2/team/app/manifests/{tag}"))
            .basic(user, PASSWORD)
            .header("content-type", crate::fixture::MANIFEST)
            .body(image.manifest_content.clone())
    };
    let denied = registry.send(put("maintainer", "latest")).await;
    assert_eq!(denied.error(), (403, "DENIED".to_owned()));
    assert_eq!(
        denied.message(),
        "`maintainer` may not put-manifest in `team/app`: use a version tag, not latest"
    );
    assert_eq!(registry.send(put("maintainer", "v2")).await.status, 201);
    let denied = registry.send(put("puller", "latest")).await;
    assert_eq!(denied.message(), "`puller` may not put-manifest in `team/app`");
    // `?tag=` is judged like a tag in the path.
    let by_digest = format!("/v2/team/app/manifests/{}?tag=v3&tag=latest", image.manifest);
    let call = Call::new(Method::PUT, &by_digest)
        .basic("maintainer", PASSWORD)
        .header("content-type", crate::fixture::MANIFEST);
    let denied = registry.send(call.body(image.manifest_content.clone())).await;
    assert_eq!(denied.error(), (403, "DENIED".to_owned()));
    let tags = registry
        .send(Call::get("/v2/team/app/tags/list").basic("puller", PASSWORD))
        .await;
    assert_eq!(tags.json()["tags"], json!(["v1", "v2"]));
}

#[tokio::test]
async fn without_any_policy_a_login_works_and_the_refusal_says_why() {
    let mut content = content();
    content["policies"] = json!([]);
    let registry = Registry::with(content);
    assert_eq!(
        registry.send(Call::get("/v2/").basic("admin", PASSWORD)).await.status,
        200
    );
    let token = registry.token("admin", "repository:a:pull").await;
    for call in [
        Call::get("/v2/a/manifests/v1").basic("admin", PASSWORD),
        Call::get("/v2/a/manifests/v1").bearer(&token),
    ] {
        let answer = registry.send(call).await;
        assert_eq!(answer.error(), (403, "DENIED".to_owned()));
        let want = "`admin` may not get-manifest in `a`: no AccessPolicy that decides applies to this registry yet, so nothing is allowed";
        assert_eq!(answer.message(), want);
    }
}

#[tokio::test]
async fn what_exists_cannot_be_told_from_what_does_not_without_the_right_to_read() {
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    for user in ["nobody", ""] {
        let ask = async |uri: String| {
            let call = Call::get(&uri);
            let answer = registry
                .send(if user.is_empty() {
                    call
                } else {
                    call.basic(user, PASSWORD)
                })
                .await;
            (answer.status, answer.message().replace("team/none", "team/app"))
        };
        for (there, not_there) in [
            (
                "/v2/team/app/manifests/v1".to_owned(),
                "/v2/team/app/manifests/v9".to_owned(),
            ),
            (
                "/v2/team/app/tags/list".to_owned(),
                "/v2/team/none/tags/list".to_owned(),
            ),
            (
                format!("/v2/team/app/blobs/{}", image.layer),
                format!("/v2/team/none/blobs/{}", image.layer),
            ),
        ] {
            assert_eq!(ask(there.clone()).await, ask(not_there).await, "{there}");
        }
    }
}

#[tokio::test]
async fn without_a_document_nobody_is_let_in_and_unknown_paths_stay_unknown() {
    let registry = Registry::without_document();
    let answer = registry.send(Call::get("/v2/").basic("admin", PASSWORD)).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("1")));
    assert_eq!(registry.send(Call::get("/token")).await.status, 503);
    assert_eq!(registry.send(Call::get("/nothing")).await.status, 404);
}
