//! What is broken says so itself, and touches nothing else.

use anyhow::{Result, ensure};
use e2e::cluster::{Condition, PATIENCE, text};
use e2e::http::Credentials;
use e2e::objects::{about, allow, authenticated, deny, identity, password, policy, registry, user};
use e2e::{Cluster, Target, registry as registries, wait_for, with_namespace};
use serde_json::{Value, json};

/// A registry where alice may push everywhere.
async fn set_up(cluster: &Cluster) -> Result<(Target, Credentials)> {
    let objects = [
        registry("main"),
        password("alice", "alice's password"),
        identity("alice"),
        allow("alice", user("alice"), "push", &["**"]),
    ];
    cluster.apply(objects).await?;
    cluster.wait_until_all_ready().await?;
    let target = registries::ready(cluster, "main").await?;
    Ok((target, Credentials::basic("alice", "alice's password")))
}

/// A policy for everybody in `zone/**`, with this condition.
fn when(name: &str, effect: &str, condition: &str) -> Value {
    let rule = json!({ "name": "rule", "repositories": ["zone/**"], "actions": ["get-manifest"], "when": condition });
    policy(name, effect, authenticated(), rule)
}

fn says(condition: &Condition, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(condition.message.contains(word), "`{word}` is not in: {condition:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_policy_says_what_is_wrong_and_where_and_the_rest_goes_on() -> Result<()> {
    with_namespace("broken-policy", async |cluster| {
        let (target, alice) = set_up(&cluster).await?;
        let before = registries::incarnation(&cluster, "main").await?;
        let mut misspelt = when("misspelt", "Allow", "true");
        misspelt["spec"]["rules"][0]["wen"] = json!("false");
        let table = [
            (
                "syntax",
                when("syntax", "Allow", "request.tags.all(t, t != "),
                "InvalidExpression",
                vec!["spec.rules[0].when", "line 1", "column"],
            ),
            (
                "second-line",
                when("second-line", "Allow", "true &&\n  identity.usrname == 'x'"),
                "InvalidExpression",
                vec!["spec.rules[0].when", "line 2", "usrname"],
            ),
            (
                "wrong-type",
                when("wrong-type", "Allow", "1 + 1"),
                "InvalidExpression",
                vec!["spec.rules[0].when", "line 1, column 1", "must be true or false"],
            ),
            ("misspelt", misspelt, "UnknownField", vec!["spec.rules[0].wen"]),
        ];
        for (name, object, reason, words) in &table {
            cluster.apply([object.clone()]).await?;
            let accepted = cluster
                .wait_for_condition("AccessPolicy", name, "Accepted", ("False", reason))
                .await?;
            says(&accepted, words)?;
            says(&accepted, &["does nothing until it is corrected"])?;
        }
        // An Allow that would grow with an upgrade does not get that far.
        let mut everything = when("everything", "Allow", "true");
        everything["spec"]["rules"][0]["actions"] = json!(["*"]);
        let refused = cluster.apply([everything]).await.err();
        let refused = refused.map_or_else(String::new, |why| format!("{why:#}"));
        assert!(refused.contains("`*` is for a Deny"), "{refused}");
        // Everything else keeps working: the registry, its identity, its policy, and what is made now.
        assert_eq!(target.push_status(&alice, "zone/app").await?, 202);
        cluster
            .apply([password("bob", "bob's password"), identity("bob")])
            .await?;
        cluster
            .wait_for_condition("RegistryIdentity", "bob", "Ready", ("True", "Ok"))
            .await?;
        let bob = Credentials::basic("bob", "bob's password");
        assert_eq!(
            target.pull_status(&bob, "zone/app").await?,
            403,
            "a broken Allow allows"
        );
        let status = cluster.get("Registry", "main").await?["status"].clone();
        assert_eq!(status["policies"], json!({ "accepted": 1, "rejected": 4 }));
        cluster
            .wait_for_condition("Registry", "main", "Ready", ("True", "Ok"))
            .await?;

        for (name, ..) in &table {
            cluster
                .apply([when(name, "Allow", "identity.username == 'bob'")])
                .await?;
            cluster
                .wait_for_condition("AccessPolicy", name, "Ready", ("True", "Ok"))
                .await?;
        }
        assert_eq!(
            target.pull_status(&bob, "zone/app").await?,
            404,
            "corrected policies do not allow"
        );
        assert_eq!(
            registries::incarnation(&cluster, "main").await?,
            before,
            "the registry was started again"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_edit_leaves_the_last_accepted_policy_in_force() -> Result<()> {
    with_namespace("broken-edit", async |cluster| {
        let (target, alice) = set_up(&cluster).await?;
        cluster
            .apply([when("guard", "Deny", "identity.username == 'alice'")])
            .await?;
        cluster
            .wait_for_condition("AccessPolicy", "guard", "Ready", ("True", "Ok"))
            .await?;
        assert_eq!(target.pull_status(&alice, "zone/app").await?, 403);

        cluster.apply([when("guard", "Deny", "identity.username == ")]).await?;
        let accepted = cluster
            .wait_for_condition("AccessPolicy", "guard", "Accepted", ("False", "InvalidExpression"))
            .await?;
        says(&accepted, &["generation 1 of this policy stays in force"])?;
        assert_eq!(
            target.pull_status(&alice, "zone/app").await?,
            403,
            "a broken edit of a Deny opened access"
        );

        // The same with a field that this version does not know: what would have widened access changes nothing.
        let mut narrowed = allow("alice", user("alice"), "push", &["elsewhere/**"]);
        narrowed["spec"]["rules"][0]["unless"] = json!("true");
        cluster.apply([narrowed]).await?;
        cluster
            .wait_for_condition("AccessPolicy", "alice", "Accepted", ("False", "UnknownField"))
            .await?;
        assert_eq!(
            target.push_status(&alice, "anything/app").await?,
            202,
            "a broken edit of an Allow closed access"
        );

        cluster
            .apply([when("guard", "Deny", "identity.username == 'bob'")])
            .await?;
        cluster
            .wait_for_condition("AccessPolicy", "guard", "Ready", ("True", "Ok"))
            .await?;
        assert_eq!(target.pull_status(&alice, "zone/app").await?, 404);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deny_that_was_never_valid_acts_as_if_its_condition_were_true() -> Result<()> {
    with_namespace("broken-deny", async |cluster| {
        let (target, alice) = set_up(&cluster).await?;
        cluster
            .apply([when("guard", "Deny", "identity.usrname == 'bob'")])
            .await?;
        let accepted = cluster
            .wait_for_condition("AccessPolicy", "guard", "Accepted", ("False", "InvalidExpression"))
            .await?;
        says(&accepted, &["acts as if the condition were true"])?;
        cluster
            .wait_for_condition("Registry", "main", "Programmed", ("True", "Programmed"))
            .await?;
        assert_eq!(target.pull_status(&alice, "zone/app").await?, 403);
        assert_eq!(
            target.pull_status(&alice, "other/app").await?,
            404,
            "it acts outside of its repositories"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_identity_says_what_is_wrong_and_how_to_mend_it_and_the_rest_goes_on() -> Result<()> {
    with_namespace("broken-identity", async |cluster| {
        let (target, alice) = set_up(&cluster).await?;
        let before = registries::incarnation(&cluster, "main").await?;
        let mut wrong_key = password("wrong-key", "x");
        wrong_key["data"] = json!({ "pasword": "eA==" });
        let mut unmarked = password("unmarked", "unmarked's password");
        unmarked["type"] = json!("Opaque");
        let mut misspelt = identity("misspelt");
        misspelt["spec"]["grops"] = json!(["team-a"]);
        cluster
            .apply([wrong_key, unmarked, password("misspelt", "misspelt's password")])
            .await?;
        cluster
            .apply([
                identity("missing"),
                identity("wrong-key"),
                identity("unmarked"),
                misspelt,
            ])
            .await?;

        let resolved = async |name: &str, reason: &str| {
            cluster
                .wait_for_condition("RegistryIdentity", name, "Ready", ("False", reason))
                .await?;
            cluster
                .wait_for_condition("RegistryIdentity", name, "ResolvedRefs", ("False", reason))
                .await
        };
        says(
            &resolved("missing", "SecretNotFound").await?,
            &["`missing-password`", "`password`"],
        )?;
        says(
            &resolved("wrong-key", "SecretKeyNotFound").await?,
            &["no key `password`", "`pasword`"],
        )?;
        let command = format!(
            "kubectl label secret unmarked-password --namespace {} wharfinger.dev/credential=true",
            cluster.namespace
        );
        says(&resolved("unmarked", "SecretNotMarked").await?, &[&command])?;
        let accepted = cluster
            .wait_for_condition("RegistryIdentity", "misspelt", "Accepted", ("False", "UnknownField"))
            .await?;
        says(&accepted, &["spec.grops"])?;
        for name in ["missing", "wrong-key", "unmarked", "misspelt"] {
            assert_eq!(
                target.login(name, &format!("{name}'s password")).await?,
                401,
                "{name} can sign in"
            );
        }
        assert_eq!(
            target.push_status(&alice, "app").await?,
            202,
            "alice cannot work any more"
        );
        cluster
            .wait_for_condition("Registry", "main", "Ready", ("True", "Ok"))
            .await?;

        // Each is mended as its message says.
        cluster.apply([password("missing", "missing's password")]).await?;
        cluster.apply([password("wrong-key", "wrong-key's password")]).await?;
        let label = json!({ "metadata": { "labels": { "wharfinger.dev/credential": "true" } } });
        cluster.patch("Secret", "unmarked-password", label).await?;
        cluster
            .patch("RegistryIdentity", "misspelt", json!({ "spec": { "grops": null } }))
            .await?;
        for name in ["missing", "wrong-key", "unmarked", "misspelt"] {
            cluster
                .wait_for_condition("RegistryIdentity", name, "Ready", ("True", "Ok"))
                .await?;
            assert_eq!(
                target.login(name, &format!("{name}'s password")).await?,
                200,
                "{name} cannot sign in"
            );
        }
        assert_eq!(
            registries::incarnation(&cluster, "main").await?,
            before,
            "the registry was started again"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_goes_missing_leaves_the_last_password_in_force() -> Result<()> {
    with_namespace("lost-secret", async |cluster| {
        let (target, _) = set_up(&cluster).await?;
        cluster.delete("Secret", "alice-password").await?;
        let resolved = cluster
            .wait_for_condition("RegistryIdentity", "alice", "ResolvedRefs", ("False", "SecretNotFound"))
            .await?;
        says(&resolved, &["the last password stays in force"])?;
        assert_eq!(target.login("alice", "alice's password").await?, 200);
        cluster.apply([password("alice", "another password")]).await?;
        cluster
            .wait_for_condition("RegistryIdentity", "alice", "Ready", ("True", "Ok"))
            .await?;
        target.wait_for_login("alice", "another password", 200).await?;
        assert_eq!(target.login("alice", "alice's password").await?, 401);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_identities_with_one_username_the_older_one_has_it() -> Result<()> {
    with_namespace("same-username", async |cluster| {
        let (target, _) = set_up(&cluster).await?;
        let mut second = identity("second");
        second["spec"]["username"] = json!("alice");
        cluster.apply([password("second", "second's password"), second]).await?;
        let accepted = cluster
            .wait_for_condition("RegistryIdentity", "second", "Accepted", ("False", "UsernameConflict"))
            .await?;
        says(&accepted, &["alice"])?;
        cluster
            .wait_for_condition("RegistryIdentity", "alice", "Ready", ("True", "Ok"))
            .await?;
        assert_eq!(target.login("alice", "alice's password").await?, 200);
        assert_eq!(target.login("alice", "second's password").await?, 401);

        cluster.delete("RegistryIdentity", "alice").await?;
        cluster
            .wait_for_condition("RegistryIdentity", "second", "Ready", ("True", "Ok"))
            .await?;
        assert_eq!(target.login("alice", "second's password").await?, 200);
        assert_eq!(target.login("alice", "alice's password").await?, 401);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_no_registry_or_one_of_another_namespace_is_told_so_and_does_nothing() -> Result<()> {
    with_namespace("foreign", async |cluster| {
        let (target, alice) = set_up(&cluster).await?;
        cluster
            .apply([
                about(identity("lost"), "nowhere"),
                about(allow("lost", authenticated(), "pull", &["**"]), "nowhere"),
            ])
            .await?;
        cluster
            .wait_for_condition("RegistryIdentity", "lost", "Accepted", ("False", "RegistryNotFound"))
            .await?;
        cluster
            .wait_for_condition("AccessPolicy", "lost", "Accepted", ("False", "RegistryNotFound"))
            .await?;
        let home = cluster.namespace.clone();
        with_namespace("abroad", async |abroad| {
            let there = json!({ "name": "main", "namespace": home });
            let mut mallory = identity("mallory");
            mallory["spec"]["registryRef"] = there.clone();
            let mut opening = allow("opening", json!({ "any": "Everyone" }), "admin", &["**"]);
            opening["spec"]["targetRefs"] = json!([there]);
            let mut closing = deny("closing", json!({ "any": "Everyone" }), &["get-manifest"], &["**"]);
            closing["spec"]["targetRefs"] = json!([there]);
            abroad
                .apply([password("mallory", "mallory's password"), mallory, opening, closing])
                .await?;
            for (kind, name) in [
                ("RegistryIdentity", "mallory"),
                ("AccessPolicy", "opening"),
                ("AccessPolicy", "closing"),
            ] {
                let accepted = abroad
                    .wait_for_condition(kind, name, "Accepted", ("False", "NotAllowedByRegistry"))
                    .await?;
                says(&accepted, &[&home])?;
            }
            assert_eq!(target.login("mallory", "mallory's password").await?, 401);
            assert_eq!(target.pull_status(&Credentials::None, "app").await?, 401);
            assert_eq!(target.pull_status(&alice, "app").await?, 404);
            Ok(())
        })
        .await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_says_of_each_target_whether_it_is_enforced_there() -> Result<()> {
    with_namespace("targets", async |cluster| {
        let (target, alice) = set_up(&cluster).await?;
        cluster
            .apply([deny("stop", authenticated(), &["get-manifest"], &["secret/**"])])
            .await?;
        let both = json!({ "spec": { "targetRefs": [{ "name": "main" }, { "name": "other" }] } });
        cluster.patch("AccessPolicy", "stop", both).await?;
        let accepted = cluster
            .wait_for_condition("AccessPolicy", "stop", "Accepted", ("False", "RegistryNotFound"))
            .await?;
        says(&accepted, &["target `other`", "does not exist"])?;
        // Where it can be enforced it is.
        wait_for("each target tells of itself", PATIENCE, async || {
            let found = told(&cluster.get("AccessPolicy", "stop").await?);
            let expected = [
                ("main", "Accepted", "True", "Accepted"),
                ("main", "Programmed", "True", "Programmed"),
                ("other", "Accepted", "False", "RegistryNotFound"),
                ("other", "Programmed", "False", "RegistryNotFound"),
            ];
            let expected =
                expected.map(|(name, type_, status, reason)| [name, type_, status, reason].map(str::to_owned));
            ensure!(found == expected, "{found:?}");
            Ok(())
        })
        .await?;
        assert_eq!(target.pull_status(&alice, "secret/app").await?, 403);
        assert_eq!(target.pull_status(&alice, "zone/app").await?, 404);

        cluster.apply([registry("other")]).await?;
        cluster
            .wait_for_condition("AccessPolicy", "stop", "Ready", ("True", "Ok"))
            .await?;
        let found = told(&cluster.get("AccessPolicy", "stop").await?);
        ensure!(
            found.len() == 4 && found.iter().all(|told| told[2] == "True"),
            "{found:?}"
        );
        Ok(())
    })
    .await
}

/// The conditions of each target of a policy: target, type, status and reason.
fn told(policy: &Value) -> Vec<[String; 4]> {
    let targets = policy["status"]["targets"].as_array().into_iter().flatten();
    let told = targets.flat_map(|target| {
        let conditions = target["conditions"].as_array().into_iter().flatten();
        conditions.map(|condition| {
            let of = |field: &str| text(&condition[field]);
            [text(&target["ref"]["name"]), of("type"), of("status"), of("reason")]
        })
    });
    let mut told: Vec<_> = told.collect();
    told.sort();
    told
}
