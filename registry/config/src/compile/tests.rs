//! What a whole document is refused for, and that everything wrong in it is told at once.

use registry_policy::{Action, Caller, Request};

use crate::{Access, AccessIndex};

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A";

fn compile(content: &str) -> Result<Access, Vec<String>> {
    let text = format!("kind: AccessIndex\nformatVersion: 1\ncontent:\n{content}");
    let index = AccessIndex::parse(&text).map_err(|error| vec![error.to_string()])?;
    let content = index.content.expect("the test wrote one");
    Access::compile(content).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

#[test]
fn takes_a_document_written_by_hand_with_its_defaults() {
    let access = compile(&format!(
        "  identities:\n  - username: demo\n    passwords:\n    - hash: {HASH}\n  policies:\n  - name: everything\n    effect: Allow\n    subjects: [{{identity: demo}}]\n    rules:\n    - name: all\n      repositories: [\"**\"]\n      role: admin\n"
    ))
    .unwrap();
    assert_eq!(access.identity("demo").unwrap().passwords.len(), 1);
    assert!(access.identity("demo").unwrap().home);
    assert!(access.identity("nobody").is_none());
    assert_eq!(access.content.token.lifetime.to_string(), "5m");
}

#[test]
fn tells_every_problem_with_its_path() {
    let problems = compile(
        "  token: {lifetime: 10s}\n  identities: [{username: a}, {username: a}, {username: token}]\n  policies:\n  - name: p\n    effect: Deny\n    subjects: []\n    rules:\n    - {name: r, repositories: [\"a**\"], role: pull}\n    - {name: s, repositories: [\"a\"], actions: [get-blob], when: \"identity.usrname == 'x'\"}\n  - {name: p, effect: Allow, subjects: [{any: Everyone}], rules: []}\n  - {name: q, effect: Allow, subjects: [{any: Everyone}], rules: [{name: r, repositories: [\"a\"], actions: [get-blob, \"*\"]}]}\n",
    )
    .unwrap_err()
    .join("\n");
    for path in [
        "token.lifetime: ",
        "identities[1].username: ",
        "identities[2].username: ",
        "policies[0].subjects: ",
        "policies[0].rules[0].repositories[0]: ",
        "policies[0].rules[0]: a Deny names `actions`",
        "policies[0].rules[1].when: line 1, column ",
        "policies[1].name: ",
        "policies[1].rules: ",
        "policies[2].rules[0]: an Allow names what it allows",
    ] {
        assert!(problems.contains(path), "`{path}` is missing in:\n{problems}");
    }
}

#[test]
fn refuses_unknown_fields_and_actions_with_their_line() {
    for (content, line) in [
        ("  identites: []\n", "line 4"),
        (
            "  policies:\n  - {name: p, effect: Permit, subjects: [], rules: []}\n",
            "line 5",
        ),
    ] {
        let problems = compile(content).unwrap_err().join("\n");
        assert!(problems.contains(line), "{problems}");
    }
}

#[test]
fn a_deny_of_everything_is_about_every_action_on_its_repositories() {
    let access = compile(
        "  policies:\n  - name: open\n    effect: Allow\n    subjects: [{any: Everyone}]\n    rules: [{name: all, repositories: [\"**\"], role: admin}]\n  - name: shut\n    effect: Deny\n    subjects: [{any: Everyone}]\n    rules: [{name: all, repositories: [\"**\"], actions: [\"*\"], when: \"request.repository.startsWith('a/') && request.repository != 'a/open'\"}]\n",
    )
    .unwrap();
    for action in Action::ALL {
        for (repository, want) in [("a/b", false), ("a/open", true), ("b", true)] {
            let request = Request {
                repository: (action != Action::ListCatalog).then_some(repository),
                ..Request::bare(action, action.methods()[0])
            };
            let found = access.policies.decide(&Caller::default(), &request).is_allowed();
            // The catalog is of no repository, so it stays open.
            assert_eq!(found, want || action == Action::ListCatalog, "{action} {repository}");
        }
    }
    // It is written as it was read.
    let written = serde_json::to_value(&access.content.policies[1].rules[0].actions).unwrap();
    assert_eq!(written, serde_json::json!(["*"]));
}

#[test]
fn somebody_unknown_costs_what_identities_at_home_do() {
    let hash = |cost: &str| HASH.replace("m=19456,t=2", cost);
    let access = compile(&format!(
        "  identities:\n  - {{username: a, passwords: [{{hash: '{0}'}}]}}\n  - {{username: x.b, home: false, passwords: [{{hash: '{1}'}}]}}\n  - {{username: x.c, home: false, passwords: [{{hash: '{1}'}}]}}\n",
        hash("m=12288,t=3"),
        hash("m=7168,t=5"),
    ))
    .unwrap();
    let found = access.nobodys_hash().as_str();
    assert!(found.starts_with("$argon2id$v=19$m=12288,t=3,p=1$"), "{found}");
}
