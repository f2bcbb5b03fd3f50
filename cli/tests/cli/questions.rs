//! Questions about files: what is answered, and how the program exits.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::fixture::{DOCUMENT, Files, OBJECTS, run, said};

#[test]
fn can_i_says_yes_or_no_by_what_and_exits_so() {
    let files = Files::new(&[("objects.yaml", OBJECTS), ("access.yaml", DOCUMENT)]);
    let (objects, document) = (files.path("objects.yaml"), files.path("access.yaml"));
    for (arguments, code, answer) in [
        (
            vec!["pull", "apps/web", "--as", "ann"],
            0,
            "yes: policy `developers`, rule `own`, allows it",
        ),
        (
            vec!["push", "apps/web", "--as", "ann", "--tag", "v1"],
            0,
            "yes: policy `developers`, rule `own`, allows it",
        ),
        (
            vec!["push", "apps/web", "--as", "ann"],
            1,
            "no: no policy allows it (clients are told: use a version)",
        ),
        (vec!["pull", "apps/web"], 1, "no: no policy allows it"),
        (
            vec!["get-blob", "public/x", "--as", "bob"],
            1,
            "no: `bob` may not sign in: the identity is disabled",
        ),
        (
            vec!["get-blob", "public/x"],
            0,
            "yes: policy `public`, rule `read`, allows it",
        ),
        (
            vec!["list-catalog", "--as", "ann"],
            0,
            "yes: whoever has signed in may list the catalog, and sees what they may read",
        ),
        (
            vec!["pull", "apps/web", "--as", "ci:job", "--as-group", "dev"],
            0,
            "yes: policy `developers`, rule `own`, allows it",
        ),
    ] {
        let output = run(&[&["can-i", "-f", &objects], arguments.as_slice()].concat());
        let (found, said, _) = said(&output);
        assert_eq!((found, said.as_str()), (code, answer), "{arguments:?}");
    }
    let output = run(&["can-i", "-f", &document, "push", "apps/web", "--as", "ann"]);
    assert_eq!(said(&output).0, 0, "{output:?}");
    // What cannot be answered is neither yes nor no.
    for arguments in [
        vec!["pul", "apps/web"],
        vec!["pull"],
        vec!["pull", "apps/web", "--registry", "other"],
        vec!["pull", "apps/web", "--as", "ann", "--as-group", "admins"],
        vec!["pull", "apps/web:v1"],
        vec!["pull", "Apps/../web"],
    ] {
        let output = run(&[&["can-i", "-f", &objects], arguments.as_slice()].concat());
        let (code, answer, complaint) = said(&output);
        assert_eq!((code, answer.as_str()), (2, ""), "{arguments:?}");
        assert!(!complaint.is_empty(), "{arguments:?}");
    }
}

#[test]
fn explain_shows_each_rule_that_has_to_do_with_it_and_what_its_condition_gives() {
    let files = Files::new(&[("objects.yaml", OBJECTS)]);
    let objects = files.path("objects.yaml");
    let output = run(&["explain", "-f", &objects, "put-manifest", "apps/web", "--as", "ann"]);
    let (code, answer, _) = said(&output);
    assert_eq!(code, 0);
    assert_eq!(
        answer,
        "\
`ann`: put-manifest in `apps/web`, `latest`
groups: dev
no: no policy allows it (clients are told: use a version)

Allow developers / own: does not match: its condition does not hold
  request.action != 'put-manifest' || request.reference != 'latest'  ->  false
    request.action != 'put-manifest'  ->  false
    request.reference != 'latest'  ->  false
    request.action  ->  'put-manifest'
    request.reference  ->  'latest'

1 other rules have nothing to do with it"
    );
    let output = run(&["explain", "-f", &objects, "-o", "json", "get-manifest", "public/x"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found[0]["allowed"], true);
    assert_eq!(found[0]["rules"][0]["policy"], "public");
}

#[test]
fn who_can_lists_everybody_who_may() {
    let files = Files::new(&[("objects.yaml", OBJECTS)]);
    let objects = files.path("objects.yaml");
    let (_, answer, _) = said(&run(&["who-can", "-f", &objects, "pull", "public/x"]));
    let lines: Vec<&str> = answer.lines().collect();
    assert_eq!(lines.len(), 3, "{answer}");
    assert!(
        lines[1].starts_with("ann ") && lines[2].starts_with("(without signing in)"),
        "{answer}"
    );
    // Who is disabled may nothing.
    assert!(!answer.contains("bob"), "{answer}");
    let (_, answer, _) = said(&run(&["who-can", "-f", &objects, "delete", "apps/web"]));
    assert_eq!(answer, "nobody");
}

#[test]
fn who_can_lists_groups_of_people_whom_nobody_lists() {
    let issuer = BEARERS.replace(
        "      username: claims.repository\n",
        "      username: claims.repository\n      groups: claims.teams\n",
    );
    let policy = |name: &str, effect: &str, subjects: &str, rule: &str| {
        format!(
            "---\napiVersion: wharfinger.dev/v1alpha1\nkind: AccessPolicy\nmetadata: {{name: {name}, namespace: team}}\nspec:\n  targetRefs: [{{name: main}}]\n  effect: {effect}\n  subjects: [{subjects}]\n  rules: [{{name: r, repositories: ['x/**'], actions: [get-manifest]{rule}}}]\n"
        )
    };
    let groups = "{group: 'github:dev'}, {group: dev}, {group: 'system:serviceaccounts:build'}, {group: 'system:serviceaccounts:other'}";
    let plain = policy("teams", "Allow", groups, "");
    let by_tag = policy("teams", "Allow", groups, ", when: \"request.reference == 'latest'\"");
    let by_name = policy(
        "teams",
        "Allow",
        groups,
        ", when: \"identity.username != 'github:eve'\"",
    );
    let denied = policy("refused", "Deny", "{group: 'github:dev'}", "");
    let denied_one = policy("refused", "Deny", "{identity: 'github:eve'}", "");
    let denied_bot = policy("refused", "Deny", "{identity: bot}", "");
    let denied_account = |namespace: &str| {
        let account = format!("{{serviceAccount: {{namespace: {namespace}, name: x}}}}");
        policy("refused", "Deny", &account, "")
    };
    let listed = "---\napiVersion: wharfinger.dev/v1alpha1\nkind: RegistryIdentity\nmetadata: {name: dan, namespace: team}\nspec: {registryRef: {name: main}, groups: ['github:dev'], password: {generate: {}}}\n";
    let denied_dan = policy("refused", "Deny", "{identity: dan}", "");
    let ask = |policies: &[&str]| {
        let files = Files::new(&[("objects.yaml", &(issuer.clone() + &policies.concat()))]);
        let output = run(&[
            "who-can",
            "-f",
            &files.path("objects.yaml"),
            "-o",
            "json",
            "get-manifest",
            "x/y",
        ]);
        let (_, answer, complaint) = said(&output);
        let rows: serde_json::Value = serde_json::from_str(&answer).expect(&complaint);
        let rows = rows.as_array().unwrap().iter();
        let found: Vec<String> = rows
            .map(|row| format!("{} by {}/{}", row["group"], row["policy"], row["rule"]).replace('"', ""))
            .collect();
        let depends = complaint
            .lines()
            .filter(|line| line.contains("depends on more than the group"));
        (found, depends.map(str::to_owned).collect::<Vec<_>>().join("\n"))
    };
    // Of a group without an issuer's name, or of a namespace that is not admitted, nobody comes from outside.
    let (dev, build) = ("github:dev by teams/r", "system:serviceaccounts:build by teams/r");
    for policies in [
        &[plain.as_str()][..],
        &[&by_tag],
        &[&plain, &denied_bot],
        &[&plain, &denied_account("other")],
        &[&plain, &denied_dan],
    ] {
        assert_eq!(
            ask(policies),
            (vec![dev.to_owned(), build.to_owned()], String::new()),
            "{policies:?}"
        );
    }
    assert_eq!(ask(&[&plain, &denied]), (vec![build.to_owned()], String::new()));
    // What depends on who it is, is told to do so.
    let (found, depends) = ask(&[&plain, &denied_one]);
    assert_eq!(found, [build]);
    assert!(
        depends.lines().count() == 1 && depends.contains("`github:dev`"),
        "{depends}"
    );
    let (found, depends) = ask(&[&plain, &denied_account("build")]);
    assert!(
        found == [dev] && depends.contains("`system:serviceaccounts:build`"),
        "{found:?} {depends}"
    );
    // An identity may say that it is in such a group, too.
    let (found, depends) = ask(&[&plain, &denied_dan, listed]);
    assert!(
        found == [build] && depends.contains("`github:dev`"),
        "{found:?} {depends}"
    );
    let (found, depends) = ask(&[&by_name]);
    assert!(found.is_empty() && depends.lines().count() == 2, "{found:?} {depends}");
    let files = Files::new(&[("objects.yaml", &(issuer.clone() + &plain))]);
    let (_, answer, _) = said(&run(&[
        "who-can",
        "-f",
        &files.path("objects.yaml"),
        "get-manifest",
        "x/y",
    ]));
    assert!(answer.contains("\n(in group github:dev) "), "{answer}");
    let files = Files::new(&[("objects.yaml", &(issuer + &by_name))]);
    let objects = files.path("objects.yaml");
    let (_, answer, _) = said(&run(&["who-can", "-f", &objects, "get-manifest", "x/y"]));
    assert_eq!(answer, "nobody for certain");
}

#[test]
fn a_name_that_somebody_asks_for_and_does_not_get_is_free_for_others() {
    let stranger = "---\napiVersion: wharfinger.dev/v1alpha1\nkind: RegistryIdentity\nmetadata: {name: zoe, namespace: stranger}\nspec: {registryRef: {name: main, namespace: team}, username: zoe, groups: [dev], password: {generate: {}}}\n";
    let files = Files::new(&[("objects.yaml", &format!("{OBJECTS}{stranger}"))]);
    let objects = files.path("objects.yaml");
    let zoe = ["get-blob", "public/x", "--as", "zoe"];
    let (code, answer, note) = said(&run(&[&["can-i", "-f", &objects], &zoe[..]].concat()));
    assert_eq!(code, 0, "{answer} {note}");
    assert!(note.contains("No identity `zoe` is listed"), "{note}");
}

#[test]
fn what_a_tenant_asks_for_counts_as_far_as_it_is_admitted() {
    let admitting = OBJECTS.replace(
        "  storage: {emptyDir: {}}",
        "  storage: {emptyDir: {}}\n  allowedPolicies:\n  - {namespaces: {names: [tenant]}, repositoryPrefixes: [tenant], role: push}",
    );
    let policy = "apiVersion: wharfinger.dev/v1alpha1\nkind: AccessPolicy\nmetadata: {name: greedy, namespace: tenant}\nspec:\n  targetRefs: [{name: main, namespace: team}]\n  effect: Allow\n  subjects: [{any: Authenticated}]\n  rules: [{name: all, repositories: ['**'], role: admin}]\n";
    let files = Files::new(&[("objects.yaml", &format!("{admitting}---\n{policy}"))]);
    let objects = files.path("objects.yaml");
    let ask = |repository: &str| said(&run(&["can-i", "-f", &objects, "pull", repository, "--as", "ann"]));
    let (code, answer, note) = ask("tenant/x");
    assert_eq!(
        (code, answer.as_str()),
        (0, "yes: policy `tenant/greedy`, rule `all`, allows it")
    );
    assert!(
        note.contains("AccessPolicy tenant/greedy does not count as it is written"),
        "{note}"
    );
    assert_eq!(ask("other/x").0, 1);
}

#[test]
fn what_cannot_be_read_is_told_and_never_left_out_of_an_answer() {
    let deny = "apiVersion: wharfinger.dev/v1alpha1\nkind: AccessPolicy\nmetadata: {name: deny, namespace: team}\nspec:\n  targetRefs: [{name: main}]\n  effect: Deny\n  subjects: [{any: Everyone}]\n  rules: [{name: all, repositories: ['**'], actions: [get-manifest]}]\n";
    let with = |deny: &str| format!("{OBJECTS}---\n{deny}");
    for (what, broken) in [
        (
            "a duplicate key",
            deny.replace("  effect: Deny\n", "  effect: Deny\n  effect: Deny\n"),
        ),
        ("a tab", deny.replace("  effect", "\teffect")),
        (
            "an unclosed list",
            deny.replace("actions: [get-manifest]", "actions: [get-manifest"),
        ),
        (
            "a template",
            deny.replace("  effect: Deny", "  {{- if .Values.deny }}\n  effect: Deny"),
        ),
        ("a misspelt kind", deny.replace("AccessPolicy", "AccesPolicy")),
        ("no kind", deny.replace("kind: AccessPolicy\n", "")),
        ("another group", deny.replace("wharfinger.dev/", "wharfinger.io/")),
        ("another version", deny.replace("v1alpha1", "v1alpha2")),
    ] {
        let files = Files::new(&[
            ("objects.yaml", &with(&broken)),
            ("good.yaml", &deny.replace("name: deny", "name: other")),
        ]);
        let path = files.path("objects.yaml");
        let (code, answer, complaint) = said(&run(&["can-i", "-f", &path, "pull", "public/x"]));
        assert_eq!((code, answer.as_str()), (2, ""), "{what}: {complaint}");
        let (code, answer, _) = said(&run(&["lint", &path]));
        assert_eq!(code, 1, "{what}: {answer}");
        let place = answer
            .strip_prefix(&format!("{path}:"))
            .unwrap_or_else(|| panic!("{what}: {answer}"));
        assert!(
            place.starts_with(|first: char| first.is_ascii_digit()),
            "{what}: {answer}"
        );
    }
    // Lists, as `kubectl get` prints them.
    let item = deny.replace('\n', "\n  ");
    let list = format!("apiVersion: v1\nkind: List\nitems:\n- {}\n", item.trim_end());
    let files = Files::new(&[
        ("objects.yaml", &with(&list)),
        ("typo.yaml", &list.replace("actions", "action")),
    ]);
    let (code, answer, _) = said(&run(&["can-i", "-f", &files.path("objects.yaml"), "pull", "public/x"]));
    assert_eq!((code, answer.as_str()), (1, "no: policy `deny`, rule `all`, denies it"));
    let (code, answer, _) = said(&run(&["lint", &files.path("typo.yaml")]));
    assert!(
        code == 1 && answer.contains(":11:") && answer.contains("items[0].spec.rules[0]"),
        "{answer}"
    );
}

/// A Registry that knows a ServiceAccount by an identity, a namespace of others, and an issuer.
const BEARERS: &str = r#"
apiVersion: wharfinger.dev/v1alpha1
kind: Registry
metadata: {name: main, namespace: team}
spec:
  storage: {emptyDir: {}}
  auth:
    serviceAccountTokens: {namespaces: [build]}
    oidc:
    - name: github
      issuerURL: https://token.actions.githubusercontent.com
      audiences: [registry.example.com]
      requiredClaims: [{claim: repository_owner, values: [my-org]}]
      username: claims.repository
---
apiVersion: wharfinger.dev/v1alpha1
kind: RegistryIdentity
metadata: {name: bot, namespace: team}
spec:
  registryRef: {name: main}
  serviceAccounts: [{name: bot}]
---
apiVersion: wharfinger.dev/v1alpha1
kind: AccessPolicy
metadata: {name: bearers, namespace: team}
spec:
  targetRefs: [{name: main}]
  effect: Allow
  subjects: [{any: Authenticated}]
  rules:
  - {name: bot, repositories: ["bots/**"], role: pull, when: "identity.username == 'bot' && identity.service_account.pod == 'bot-0'"}
  - {name: build, repositories: ["build/**"], role: pull, when: "'system:serviceaccounts:build' in identity.groups"}
  - {name: main, repositories: ["apps/**"], role: pull, when: "identity.oidc != null && identity.oidc.claims.ref == 'refs/heads/main'"}
"#;

#[test]
fn the_bearer_of_a_token_is_whom_the_registry_would_see() {
    let account = |namespace: &str, name: &str, audience: &str| {
        serde_json::json!({
            "iss": "https://kubernetes.default.svc", "sub": format!("system:serviceaccount:{namespace}:{name}"), "aud": [audience],
            "kubernetes.io": { "pod": { "name": format!("{name}-0") } },
        })
    };
    let job = |owner: &str, reference: &str| {
        serde_json::json!({
            "iss": "https://token.actions.githubusercontent.com", "sub": "repo", "aud": "registry.example.com",
            "repository_owner": owner, "repository": format!("{owner}/app"), "ref": reference,
        })
    };
    let ours = "wharfinger.dev/team/main";
    for (claims, repository, code, word) in [
        (account("team", "bot", ours), "bots/x", 0, "bearers"),
        (account("team", "bot", ours), "build/x", 1, ""),
        (account("build", "any", ours), "build/x", 0, "rule `build`"),
        (account("build", "any", ours), "bots/x", 1, ""),
        (account("other", "bot", ours), "bots/x", 1, "is nobody here"),
        (
            account("team", "bot", "another"),
            "bots/x",
            1,
            "`wharfinger.dev/team/main`",
        ),
        (job("my-org", "refs/heads/main"), "apps/x", 0, "main"),
        (job("my-org", "refs/heads/fix"), "apps/x", 1, ""),
        (job("others", "refs/heads/main"), "apps/x", 1, "`repository_owner`"),
        (
            serde_json::json!({ "iss": "https://elsewhere", "sub": "x" }),
            "apps/x",
            1,
            "not one of this registry's",
        ),
    ] {
        let claims = claims.to_string();
        let whole = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(&claims));
        let files = Files::new(&[("objects.yaml", BEARERS), ("claims.json", &claims), ("token", &whole)]);
        let objects = files.path("objects.yaml");
        for token in ["claims.json", "token"] {
            let token = files.path(token);
            let question = ["can-i", "-f", &objects, "get-manifest", repository, "--token", &token];
            let (found, answer, complaint) = said(&run(&question));
            assert_eq!(found, code, "{claims} {repository}: {answer} {complaint}");
            assert!(
                format!("{answer}{complaint}").contains(word),
                "{word}: {answer} {complaint}"
            );
            assert!(!complaint.contains("these policies look"), "{complaint}");
        }
    }
    let claims = job("my-org", "refs/heads/main").to_string();
    let files = Files::new(&[("objects.yaml", BEARERS), ("claims.json", &claims)]);
    let (objects, token) = (files.path("objects.yaml"), files.path("claims.json"));
    let (_, answer, _) = said(&run(&[
        "explain",
        "-f",
        &objects,
        "get-manifest",
        "apps/x",
        "--token",
        &token,
    ]));
    assert!(answer.starts_with("`github:my-org/app`: get-manifest"), "{answer}");
    assert!(
        answer.contains("identity.oidc.claims.ref  ->  'refs/heads/main'"),
        "{answer}"
    );

    let files = Files::new(&[("objects.yaml", BEARERS), ("token", "no.token")]);
    let (objects, token) = (files.path("objects.yaml"), files.path("token"));
    let (code, _, complaint) = said(&run(&["explain", "-f", &objects, "pull", "apps/x", "--token", &token]));
    assert_eq!(code, 2, "{complaint}");
    assert!(complaint.contains("neither a token nor its claims"), "{complaint}");
    let both = serde_json::json!({
        "iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:team:bot", "aud": [ours, "https://kubernetes.default.svc"],
    });
    let files = Files::new(&[("objects.yaml", BEARERS), ("claims.json", &both.to_string())]);
    let (objects, token) = (files.path("objects.yaml"), files.path("claims.json"));
    let (code, answer, complaint) = said(&run(&["can-i", "-f", &objects, "pull", "bots/x", "--token", &token]));
    assert!(
        code == 1 && answer.contains("for the API server as well"),
        "{answer} {complaint}"
    );
    // Without one the answer says what it does not know.
    let (_, _, complaint) = said(&run(&["can-i", "-f", &objects, "pull", "apps/x", "--as", "bot"]));
    assert!(complaint.contains("--token"), "{complaint}");
}

#[test]
fn what_the_registry_refuses_before_policies_is_refused() {
    let document = DOCUMENT.replace(
        "content:",
        "content:\n  allowedSourceRanges: [10.0.0.0/8]\n  deletion: Disabled",
    );
    let document = document.replace("role: push", "role: maintain");
    let files = Files::new(&[("access.yaml", &document)]);
    let access = files.path("access.yaml");
    let ask = |action: &str, from: &[&str]| {
        let question = [&["can-i", "-f", &access, action, "apps/x", "--as", "ann"], from].concat();
        said(&run(&question))
    };
    let (code, answer, complaint) = ask("push", &["--from", "10.1.2.3"]);
    assert_eq!((code, complaint.as_str()), (0, ""), "{answer}");
    let (code, answer, _) = ask("push", &["--from", "192.0.2.1"]);
    assert!(code == 1 && answer.contains("not open to 192.0.2.1"), "{answer}");
    let (code, _, complaint) = ask("push", &[]);
    assert!(code == 0 && complaint.contains("--from"), "{complaint}");
    let (code, answer, _) = ask("delete", &["--from", "10.1.2.3"]);
    assert!(code == 1 && answer.contains("deletion is disabled"), "{answer}");
}
