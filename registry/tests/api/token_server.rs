//! Tokens of a token server: who they are for, what they open, and which are refused.

use http::{Method, StatusCode};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use crate::cluster::SigningKey;
use crate::fixture::{Call, PASSWORD, Registry, content};

const ISSUER: &str = "acme auth";
pub(crate) const SERVICE: &str = "registry.acme";
pub(crate) const REALM: &str = "https://auth.acme.example/token";

/// A server with a key of its own, and a certificate that it made for itself.
pub(crate) struct Server {
    key: KeyPair,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self {
            key: KeyPair::generate().unwrap(),
        }
    }

    fn certificate(&self) -> String {
        CertificateParams::default().self_signed(&self.key).unwrap().pem()
    }

    fn sign(&self, header: &Header, claims: &Value) -> String {
        let key = EncodingKey::from_ec_pem(self.key.serialize_pem().as_bytes()).unwrap();
        jsonwebtoken::encode(header, claims, &key).unwrap()
    }

    /// What the access document says about it.
    pub(crate) fn settings(&self) -> Value {
        json!({ "realm": REALM, "service": SERVICE, "issuer": ISSUER, "keys": self.certificate() })
    }

    /// A token about `subject` that opens `scope`, whatever that is.
    pub(crate) fn token_for(&self, subject: &str, scope: &str) -> String {
        let mut claims = claims(subject, &[]);
        let resource = |scope: &str| {
            let mut parts = scope.splitn(3, ':');
            let mut part = || parts.next().unwrap();
            let (kind, name) = (part(), part());
            json!({ "type": kind, "name": name, "actions": part().split(',').collect::<Vec<_>>() })
        };
        claims["access"] = scope.split_whitespace().map(resource).collect();
        self.token(&claims)
    }

    /// A token with `claims`, named as `docker_auth` names its key.
    pub(crate) fn token(&self, claims: &Value) -> String {
        let header = Header {
            kid: Some("PYYO:TEWU:V7JH:26JV:AQTZ:LJC3:SXVJ:XGHA:34F2:2LAQ:ZRMK:Z7Q6".to_owned()),
            ..Header::new(Algorithm::ES256)
        };
        self.sign(&header, claims)
    }
}

/// The claims of a token about `subject` that opens `access`, each `repository:actions`.
pub(crate) fn claims(subject: &str, access: &[(&str, &[&str])]) -> Value {
    let now = jiff::Timestamp::now().as_second();
    let access: Vec<Value> = access
        .iter()
        .map(|(name, actions)| json!({ "type": "repository", "name": name, "actions": actions }))
        .collect();
    json!({
        "iss": ISSUER, "sub": subject, "aud": SERVICE, "exp": now + 300, "nbf": now, "iat": now, "jti": "1", "access": access,
    })
}

/// The usual people, and a token server with these keys.
fn with(keys: &str) -> Value {
    let mut content = content();
    content["tokenServer"] = json!({ "realm": REALM, "service": SERVICE, "issuer": ISSUER, "keys": keys });
    content
}

fn push(repository: &str) -> Call {
    Call::new(Method::POST, &format!("/v2/{repository}/blobs/uploads/"))
}

fn tags(repository: &str) -> Call {
    Call::get(&format!("/v2/{repository}/tags/list"))
}

async fn status(registry: &Registry, call: Call) -> u16 {
    registry.send(call).await.status.as_u16()
}

#[tokio::test]
async fn clients_are_sent_to_the_token_server_and_back() {
    let server = Server::new();
    let registry = Registry::with(with(&server.certificate()));
    let answer = registry.send(push("team/app")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let challenge = format!(r#"Bearer realm="{REALM}",service="{SERVICE}",scope="repository:team/app:pull,push""#);
    assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()));
    let token = server.token(&claims("pusher", &[("team/app", &["pull", "push"])]));
    assert_eq!(status(&registry, Call::get("/v2/").bearer(&token)).await, 200);
    assert_eq!(status(&registry, push("team/app").bearer(&token)).await, 202);
    // What the token does not open is a reason to ask for another one.
    let answer = registry.send(push("team/other").bearer(&token)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(
        challenge.starts_with(&format!("Bearer realm=\"{REALM}\""))
            && challenge.ends_with(r#",error="insufficient_scope""#),
        "{challenge}"
    );
    // Passwords and the registry's own tokens are accepted as ever.
    assert_eq!(status(&registry, push("team/app").basic("pusher", PASSWORD)).await, 202);
    let own = registry.token("pusher", "repository:team/app:pull,push").await;
    assert_eq!(status(&registry, push("team/app").bearer(&own)).await, 202);
}

#[tokio::test]
async fn policy_and_the_token_both_bound_what_its_bearer_may_do() {
    let server = Server::new();
    let mut content = with(&server.certificate());
    let policies = content["policies"].as_array_mut().unwrap();
    policies.push(json!({
        "name": "whoever-signed-in", "effect": "Allow", "subjects": [{ "any": "Authenticated" }],
        "rules": [{ "name": "all", "repositories": ["shared/**"], "role": "admin" }],
    }));
    let registry = Registry::with(content);
    let of = |subject: &str, access: &[(&str, &[&str])]| server.token(&claims(subject, access));
    // An identity of the document has its rights, and no more than the token opens.
    let token = of("pusher", &[("team/app", &["pull"]), ("other/app", &["pull", "push"])]);
    assert_eq!(status(&registry, tags("team/app").bearer(&token)).await, 404);
    assert_eq!(status(&registry, push("team/app").bearer(&token)).await, 401);
    assert_eq!(status(&registry, push("other/app").bearer(&token)).await, 403);
    // Somebody whom the document does not list is known by their name alone.
    let token = of("carol", &[("shared/app", &["*"]), ("team/app", &["*"])]);
    assert_eq!(status(&registry, push("shared/app").bearer(&token)).await, 202);
    let delete = Call::new(Method::DELETE, "/v2/shared/app/manifests/v1");
    assert_eq!(status(&registry, delete.bearer(&token)).await, 404);
    let answer = registry.send(push("team/app").bearer(&token)).await;
    assert_eq!(answer.error(), (403, "DENIED".to_owned()));
    assert!(answer.message().contains("`carol`"), "{}", answer.message());
    // A server may let people in whom it does not know.
    let anonymous = of("", &[("public/app", &["pull", "push"])]);
    assert_eq!(status(&registry, Call::get("/v2/").bearer(&anonymous)).await, 200);
    assert_eq!(status(&registry, tags("public/app").bearer(&anonymous)).await, 404);
    assert_eq!(status(&registry, push("public/app").bearer(&anonymous)).await, 401);
    // A server that grants nothing says so in its own way.
    let mut nothing = claims("pusher", &[]);
    nothing["access"] = json!([{ "type": "repository", "name": "team/app", "actions": null }]);
    assert_eq!(
        status(&registry, tags("team/app").bearer(&server.token(&nothing))).await,
        401
    );
    // Where it denies an action for some tags, which a policy says better, that action is not opened.
    let mut protected = claims("pusher", &[("team/app", &["pull", "push"])]);
    protected["access"][0]["meta"] =
        json!({ "project_path": "team/app", "tag_deny_access_patterns": { "push": ["^v"], "delete": null } });
    let protected = server.token(&protected);
    assert_eq!(status(&registry, push("team/app").bearer(&protected)).await, 401);
    assert_eq!(status(&registry, tags("team/app").bearer(&protected)).await, 404);
    let mut catalog = claims("admin", &[]);
    catalog["access"] = json!([{ "type": "registry", "name": "catalog", "actions": ["*"] }]);
    assert_eq!(
        status(&registry, Call::get("/v2/_catalog").bearer(&server.token(&catalog))).await,
        200
    );
    assert_eq!(
        status(&registry, Call::get("/v2/_catalog").bearer(&of("admin", &[]))).await,
        401
    );
}

#[tokio::test]
async fn a_blob_is_taken_over_only_from_where_the_token_may_read() {
    let server = Server::new();
    let registry = Registry::with(with(&server.certificate()));
    let image = registry.seed("team/source", "v1").await;
    let mount = |token: &str| {
        let uri = format!("/v2/team/app/blobs/uploads/?mount={}&from=team/source", image.layer);
        Call::new(Method::POST, &uri).bearer(token)
    };
    let narrow = server.token(&claims("pusher", &[("team/app", &["pull", "push"])]));
    assert_eq!(status(&registry, mount(&narrow)).await, 202);
    let wide = claims("pusher", &[("team/app", &["pull", "push"]), ("team/source", &["pull"])]);
    assert_eq!(status(&registry, mount(&server.token(&wide))).await, 201);
}

#[tokio::test]
async fn tokens_that_the_server_did_not_make_for_this_registry_and_this_time_are_refused() {
    let server = Server::new();
    let registry = Registry::with(with(&server.certificate()));
    let access: &[(&str, &[&str])] = &[("team/app", &["pull", "push"])];
    let changed = |field: &str, value: Value| {
        let mut claims = claims("pusher", access);
        claims[field] = value;
        server.token(&claims)
    };
    let now = jiff::Timestamp::now().as_second();
    let good = server.token(&claims("pusher", access));
    let (head, rest) = good.split_once('.').unwrap();
    let (payload, _) = rest.split_once('.').unwrap();
    let unsigned = |header: Value| {
        use base64::Engine;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        format!("{}.{payload}.", URL_SAFE_NO_PAD.encode(header.to_string()))
    };
    for (what, token) in [
        ("another issuer", changed("iss", json!("acme"))),
        ("another service", changed("aud", json!("registry.test"))),
        ("no audience", changed("aud", Value::Null)),
        ("very many audiences", changed("aud", json!(vec![SERVICE; 17]))),
        ("over", changed("exp", json!(now))),
        ("no end", changed("exp", Value::Null)),
        ("an end that is none", changed("exp", json!("never"))),
        ("not begun", changed("nbf", json!(now + 300))),
        ("made in the future", changed("iat", json!(now + 300))),
        ("a subject that is none", changed("sub", json!(["pusher"]))),
        ("somebody of an issuer", changed("sub", json!("ci:build"))),
        ("access that is none", changed("access", json!("team/app"))),
        ("another key", Server::new().token(&claims("pusher", access))),
        ("no signature", format!("{head}.{payload}.")),
        ("no algorithm", unsigned(json!({ "alg": "none", "typ": "JWT" }))),
        ("a shared secret", unsigned(json!({ "alg": "HS256", "typ": "JWT" }))),
        ("an extension", {
            // The signature is right.
            let header: Header =
                serde_json::from_value(json!({ "alg": "ES256", "typ": "JWT", "crit": ["exp"] })).unwrap();
            server.sign(&header, &claims("pusher", access))
        }),
    ] {
        let answer = registry.send(push("team/app").bearer(&token)).await;
        let challenge = answer.header("www-authenticate").unwrap_or_default().to_owned();
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}");
        assert!(challenge.ends_with(r#",error="invalid_token""#), "{what}: {challenge}");
    }
    let answer = registry
        .send(push("team/app").bearer(&changed("iss", json!("acme"))))
        .await;
    assert!(answer.message().contains("`iss`"), "{}", answer.message());
    assert_eq!(status(&registry, push("team/app").bearer(&good)).await, 202);
    // It is no password, and nobody gets another token for it.
    assert_eq!(status(&registry, push("team/app").basic("pusher", &good)).await, 401);
    let exchange = Call::get("/token?scope=repository:team/other:pull,push").basic("pusher", &good);
    assert_eq!(status(&registry, exchange).await, 401);
    // A key that the header brings along is no key of the server's.
    let thief = Server::new();
    let public = registry_config::TokenServer::read_keys(&thief.key.public_key_pem()).unwrap();
    let header: Header =
        serde_json::from_value(json!({ "alg": "ES256", "typ": "JWT", "jwk": public["keys"][0] })).unwrap();
    let stolen = thief.sign(&header, &claims("admin", access));
    assert_eq!(status(&registry, push("team/app").bearer(&stolen)).await, 401);
}

#[tokio::test]
async fn what_changes_in_the_document_counts_at_the_next_request() {
    let (server, next) = (Server::new(), Server::new());
    let registry = Registry::with(with(&server.certificate()));
    let access: &[(&str, &[&str])] = &[("team/app", &["pull", "push"])];
    let token = server.token(&claims("pusher", access));
    let push = || push("team/app").bearer(&token);
    assert_eq!(status(&registry, push()).await, 202);
    // Both keys, while one takes the other's place; a public key alone is as good as a certificate.
    registry.publish(
        2,
        with(&format!("{}{}", next.certificate(), server.key.public_key_pem())),
    );
    assert_eq!(status(&registry, push()).await, 202);
    let newer = next.token(&claims("pusher", access));
    assert_eq!(status(&registry, Call::get("/v2/").bearer(&newer)).await, 200);
    // Any of them may have signed, of whatever kinds they are.
    let other = || KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().public_key_pem();
    let all = [
        other(),
        other(),
        Server::new().certificate(),
        other(),
        server.certificate(),
    ];
    registry.publish(3, with(&all.concat()));
    assert_eq!(status(&registry, push()).await, 202);
    let mut over = with(&server.certificate());
    over["identities"][1]["notAfter"] = json!("2020-01-01T00:00:00Z");
    assert_eq!(over["identities"][1]["username"], "pusher");
    registry.publish(4, over);
    assert_eq!(status(&registry, push()).await, 401);
    let mut other = with(&server.certificate());
    other["tokenServer"]["service"] = json!("registry.other");
    registry.publish(5, other);
    assert_eq!(status(&registry, push()).await, 401);
    let mut narrow = with(&server.certificate());
    narrow["tokenServer"]["algorithms"] = json!(["ES384"]);
    let longer = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    narrow["tokenServer"]["keys"] = json!(format!("{}{}", server.certificate(), longer.public_key_pem()));
    registry.publish(6, narrow);
    assert_eq!(status(&registry, push()).await, 401);
    registry.publish(7, with(&next.certificate()));
    assert_eq!(status(&registry, push()).await, 401);
    registry.publish(8, content());
    assert_eq!(status(&registry, push()).await, 401);
    registry.publish(9, with(&server.certificate()));
    assert_eq!(status(&registry, push()).await, 202);
}

#[test]
fn settings_that_nobody_could_get_in_by_are_told_where_they_are_checked() {
    let problems = |change: &dyn Fn(&mut Value)| {
        let mut content = with(&Server::new().certificate());
        change(&mut content);
        let compiled = registry_config::Access::compile(serde_json::from_value(content).unwrap());
        compiled
            .err()
            .into_iter()
            .flatten()
            .map(|problem| problem.path)
            .collect::<Vec<_>>()
    };
    assert_eq!(problems(&|_| {}), [""; 0]);
    let server =
        |field: &'static str, value: Value| move |content: &mut Value| content["tokenServer"][field] = value.clone();
    assert_eq!(
        problems(&server("algorithms", json!(["RS256"]))),
        ["tokenServer.algorithms"]
    );
    assert_eq!(problems(&server("algorithms", json!(["RS256", "ES256"]))), [""; 0]);
    assert_eq!(
        problems(&server("realm", json!("auth.example.com/token"))),
        ["tokenServer.realm"]
    );
    assert_eq!(problems(&server("issuer", json!(" "))), ["tokenServer.issuer"]);
    assert_eq!(problems(&server("issuer", json!("wharfinger"))), ["tokenServer.issuer"]);
    assert_eq!(problems(&server("keys", json!("-"))), ["tokenServer.keys"]);
    assert_eq!(
        problems(&|content| content["challenge"] = json!("Basic")),
        ["tokenServer"]
    );
}

#[tokio::test]
async fn keys_of_a_set_are_found_by_their_names() {
    let (first, second) = (SigningKey::new(), SigningKey::new());
    let keys = json!({ "keys": [first.jwk("a"), second.jwk("b")] });
    let registry = Registry::with(with(&keys.to_string()));
    let claims = claims("pusher", &[("team/app", &["push"])]);
    for (token, want) in [
        (first.sign("a", &claims), 202),
        (second.sign("b", &claims), 202),
        (first.sign("b", &claims), 401),
        (first.sign("c", &claims), 401),
    ] {
        assert_eq!(status(&registry, push("team/app").bearer(&token)).await, want);
    }
}
