//! The server that clients get tokens from.

use super::*;

fn spec() -> Value {
    json!({
        "realm": "https://auth.example.com/token", "service": "registry.example.com", "issuer": "acme",
        "keysSecretRef": { "name": "token-keys" }, "algorithms": ["ES256"],
    })
}

fn with(server: &Value, keys: TrustFile) -> Snapshot {
    let mut snapshot = snapshot();
    snapshot.registry = registry(&json!({ "storage": { "emptyDir": {} }, "auth": { "tokenServer": server } }));
    snapshot.token_server_keys = keys;
    snapshot
}

fn after(mut snapshot: Snapshot, before: &Plan) -> Plan {
    snapshot.index = index_of(before.content.clone());
    validate(&snapshot, &settings())
}

fn key() -> String {
    rcgen::KeyPair::generate().unwrap().public_key_pem()
}

#[test]
fn it_goes_into_the_document_as_it_is_asked_for() {
    let keys = key();
    let plan = validate(&with(&spec(), TrustFile::Read(keys.clone())), &settings());
    assert!(plan.workload.is_ok() && plan.references.is_ok());
    assert_eq!(
        serde_json::to_value(&plan.content.token_server).unwrap(),
        json!({
            "realm": "https://auth.example.com/token", "service": "registry.example.com", "issuer": "acme",
            "keys": public(&keys), "algorithms": ["ES256"],
        })
    );
}

/// What is published of keys.
fn public(keys: &str) -> String {
    registry_config::TokenServer::read_keys(keys).unwrap().to_string()
}

#[test]
fn nothing_secret_beside_its_keys_is_published() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let both = format!("{}{}", pair.serialize_pem(), pair.public_key_pem());
    let plan = validate(&with(&spec(), TrustFile::Read(both)), &settings());
    let server = plan.content.token_server.unwrap();
    assert_eq!(server.keys, public(&pair.public_key_pem()));
}

#[test]
fn whoever_must_not_sign_in_does_not_come_back_by_its_tokens() {
    let snapshot = with(&spec(), TrustFile::Read(key())).with_identity("alice", "a", json!({ "disabled": true }));
    let plan = validate(&snapshot, &settings());
    let [alice] = plan.content.identities.as_slice() else {
        panic!("{:?}", plan.content.identities)
    };
    assert!(alice.username == "alice" && !alice.is_in_force(snapshot.now));
}

#[test]
fn keys_that_cannot_be_read_leave_it_as_it_was() {
    let good = validate(&with(&spec(), TrustFile::Read(key())), &settings());
    for (keys, reason) in [
        (|| TrustFile::Missing, reasons::SECRET_NOT_FOUND),
        (|| TrustFile::NotMarked, reasons::SECRET_NOT_MARKED),
        (|| TrustFile::Read(" \n".into()), reasons::INVALID_KEYS),
        (|| TrustFile::Read("-----BEGIN".into()), reasons::INVALID_KEYS),
        (|| TrustFile::Read("{\"keys\": []}".into()), reasons::INVALID_KEYS),
    ] as [(fn() -> TrustFile, &str); 5]
    {
        let never = validate(&with(&spec(), keys()), &settings());
        assert_eq!(never.content.token_server, None, "{reason}");
        let kept = after(with(&spec(), keys()), &good);
        assert_eq!(kept.content.token_server, good.content.token_server, "{reason}");
        let why = kept.references.unwrap_err();
        assert_eq!(why.reason, reason);
        assert!(why.message.contains("Secret `token-keys`"), "{}", why.message);
        assert!(
            kept.workload.is_ok(),
            "a Secret of somebody's keeps the registry from being made"
        );
    }
    // The settings beside a Secret that cannot be read are those that were asked for, and another issuer has no keys.
    let mut narrower = spec();
    narrower["service"] = json!("other");
    let kept = after(with(&narrower, TrustFile::Missing), &good)
        .content
        .token_server
        .unwrap();
    assert_eq!(
        (kept.service.as_deref(), kept.keys),
        (Some("other"), good.content.token_server.clone().unwrap().keys)
    );
    narrower["issuer"] = json!("other");
    assert_eq!(
        after(with(&narrower, TrustFile::Missing), &good).content.token_server,
        None
    );
    // With a Basic challenge it would make a document that no registry accepts.
    let mut basic = with(&spec(), TrustFile::Read(key()));
    basic.registry = registry(&json!({
        "storage": { "emptyDir": {} }, "auth": { "challenge": "Basic", "tokenServer": spec() },
    }));
    let plan = after(basic, &good);
    assert_eq!(plan.content.token_server, None);
    assert!(plan.workload.unwrap_err().message.contains("`challenge: Basic`"));
    // Taken away, it is gone whatever is in the Secret.
    let mut gone = snapshot();
    gone.registry = registry(&json!({ "storage": { "emptyDir": {} } }));
    assert_eq!(after(gone, &good).content.token_server, None);
}

#[test]
fn it_takes_nobody_elses_place() {
    let cluster = Arc::new(crate::cluster_issuer::ClusterIssuer {
        issuer: "https://cluster.example".into(),
        jwks: json!({ "keys": [] }),
    });
    let uid = snapshot().registry.metadata.uid.clone().unwrap();
    for issuer in ["https://cluster.example", &uid] {
        let mut server = spec();
        server["issuer"] = json!(issuer);
        let mut snapshot = with(&server, TrustFile::Read(key()));
        snapshot.cluster_issuer = Some(cluster.clone());
        let plan = validate(&snapshot, &settings());
        assert_eq!(plan.content.token_server, None, "{issuer}");
        assert!(plan.content.service_accounts.is_some());
        let why = plan.workload.unwrap_err();
        assert_eq!(why.reason, reasons::INVALID);
        assert!(
            why.message.contains("spec.auth.tokenServer.issuer: "),
            "{}",
            why.message
        );
        registry_config::Access::compile(plan.content).unwrap();
    }
}
