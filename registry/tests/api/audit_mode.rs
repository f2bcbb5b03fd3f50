//! Policies in audit mode, with the real binary: what is told of them, and that they decide nothing.

use std::fs;

use serde_json::{Value, json};

use crate::fixture::{PASSWORD, content};
use crate::observability::{lines, start_with};
use crate::wire::{Connection, basic};

/// The usual people, and policies about `list-tags` that would take it from `puller` and give it to `nobody`.
fn tried_out(mode: &str) -> Value {
    let policy = |name: &str, effect: &str, user: &str| {
        json!({
            "name": name, "effect": effect, "mode": mode, "subjects": [{ "identity": user }],
            "rules": [{ "name": "tags", "repositories": ["team/**"], "actions": ["list-tags"] }],
        })
    };
    let mut content = content();
    content["policies"].as_array_mut().unwrap().extend([
        policy("would-deny", "Deny", "puller"),
        policy("would-allow", "Allow", "nobody"),
    ]);
    json!({ "kind": "AccessIndex", "formatVersion": 1, "content": content })
}

const TAGS: &str = "GET /v2/team/app/tags/list";

#[test]
fn the_log_and_the_audit_stream_tell_what_a_policy_in_audit_mode_would_have_done() {
    let access = tried_out("Audit").to_string();
    let registry = start_with(&access, "audit: {file: DIRECTORY/audit.jsonl}", "info");
    let mut connection = Connection::open(registry.address("listen"));
    let requests = [
        // Nothing is there, and that is told to whom policy lets through.
        ("puller", 404, true, "would-deny", "Deny", Some("puller-may-pull")),
        ("nobody", 403, false, "would-allow", "Allow", None),
    ];
    let mut ids = Vec::new();
    for (user, status, _, policy, effect, _) in requests {
        let reply = connection.ask(TAGS, &basic(user, PASSWORD));
        assert_eq!(reply.status, status, "{}", reply.text());
        assert!(!reply.text().contains(policy), "{}", reply.text());
        let id = reply.header("x-request-id").unwrap().to_owned();
        let said = registry.wait("the line of the policy", || {
            let log = registry.log();
            let line = log.lines().find(|line| line.contains(&id) && line.contains(policy))?;
            Some(serde_json::from_str::<Value>(line).unwrap())
        });
        for (field, want) in [
            ("message", "matched by a policy in audit mode"),
            ("id", &id),
            ("identity", user),
            ("repository", "team/app"),
            ("action", "list-tags"),
            ("policy", policy),
            ("rule", "tags"),
            ("effect", effect),
        ] {
            assert_eq!(said[field], want, "{field} in {said}");
        }
        assert_eq!(said["level"], "INFO", "{said}");
        ids.push(id);
    }
    // Whoever they are not about is not told of.
    assert_eq!(connection.ask(TAGS, &basic("pusher", PASSWORD)).status, 404);
    let audited = lines(&registry, &registry.directory.path().join("audit.jsonl"), 3);
    for ((line, id), (user, status, allowed, policy, effect, decided)) in audited.iter().zip(&ids).zip(requests) {
        assert_eq!(line["id"], *id, "{line}");
        assert_eq!(line["identity"], user, "{line}");
        assert_eq!(line["status"], status, "{line}");
        let decision = json!({
            "action": "list-tags", "allowed": allowed, "policy": decided, "rule": decided.map(|_| "all"),
            "audited": [{ "policy": policy, "rule": "tags", "effect": effect }],
        });
        assert_eq!(line["decisions"], json!([decision]), "{line}");
    }
    let others = &audited[2]["decisions"][0];
    assert_eq!(
        (&others["allowed"], others.get("audited")),
        (&json!(true), None),
        "{others}"
    );
    assert_eq!(registry.log().matches("in audit mode").count(), 2);
    // The same policies, enforced.
    fs::write(
        registry.directory.path().join("access.yaml"),
        tried_out("Enforce").to_string(),
    )
    .unwrap();
    registry.wait("the edit", || {
        (connection.ask(TAGS, &basic("nobody", PASSWORD)).status == 404).then_some(())
    });
    assert_eq!(connection.ask(TAGS, &basic("puller", PASSWORD)).status, 403);
}
