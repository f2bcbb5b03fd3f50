//! The plugin in a cluster: what it answers is what the registry does.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::cluster::{Cluster, PATIENCE, text};
use e2e::http::Credentials;
use e2e::objects::{allow, authenticated, generated, group, in_groups, on_node_port, registry};
use e2e::program::{Person, fail, succeed};
use e2e::{registry as registries, secrets, wait_for, with_namespace};
use kube::config::Kubeconfig;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn the_plugin_says_what_the_registry_does() -> Result<()> {
    with_namespace("plugin", async |cluster| {
        let mut ci = in_groups(generated("ci"), &["dev"]);
        ci["spec"]["password"]["generate"] = json!({ "rotation": { "interval": "720h", "overlap": "1h" } });
        let mut policy = allow("developers", group("dev"), "push", &["apps/**"]);
        policy["spec"]["rules"][0]["when"] =
            json!("request.action != 'put-manifest' || request.reference.startsWith('v')");
        cluster
            .apply([on_node_port(registry("main")), ci, generated("other"), policy])
            .await?;
        cluster.wait_until_all_ready().await?;
        let address = registries::ready_on_node_port(&cluster, "main").await?;
        let target = registries::ready(&cluster, "main").await?;
        let person = Person::new()?;
        let ask = |arguments: &[&str]| {
            let whole = [&["--namespace", cluster.namespace.as_str()], arguments].concat();
            person.plugin(&whole)
        };

        // The same answers as the registry's own.
        let credentials = async |name: &str| -> Result<(String, String)> {
            let secret = cluster.get("Secret", &format!("{name}-credentials")).await?;
            let value = |field: &str| -> Result<String> {
                Ok(String::from_utf8(STANDARD.decode(text(&secret["data"][field]))?)?)
            };
            Ok((value("username")?, value("password")?))
        };
        let (username, password) = credentials("ci").await?;
        let ci = Credentials::basic(&username, &password);
        ensure!(target.pull_status(&ci, "apps/web").await? == 404, "ci may not pull");
        let yes = succeed(ask(&["can-i", "pull", "apps/web", "--as", "ci"])?).await?;
        ensure!(
            yes.contains("yes: policy `developers`, rule `rule`, allows it"),
            "{yes}"
        );
        ensure!(
            target.pull_status(&ci, "elsewhere/web").await? == 403,
            "ci may pull anything"
        );
        let no = fail(ask(&["can-i", "pull", "elsewhere/web", "--as", "ci"])?).await?;
        ensure!(no.contains("no: no policy allows it"), "{no}");
        let why = succeed(ask(&[
            "explain",
            "put-manifest",
            "apps/web",
            "--as",
            "ci",
            "--tag",
            "latest",
        ])?)
        .await?;
        ensure!(why.contains("request.reference.startsWith('v')  ->  false"), "{why}");
        let who = succeed(ask(&["who-can", "pull", "apps/web"])?).await?;
        let lists = |name: &str| who.lines().any(|line| line.starts_with(&format!("{name} ")));
        ensure!(lists("ci") && !lists("other"), "{who}");

        let status = succeed(ask(&["status", "-o", "json"])?).await?;
        let status: Value = serde_json::from_str(&status).with_context(|| status.clone())?;
        ensure!(
            status[0]["published"] == status[0]["replicas"][0]["revision"],
            "{status}"
        );
        ensure!(status[0]["replicas"][0]["revision"].is_u64(), "{status}");
        let status = succeed(ask(&["status"])?).await?;
        ensure!(status.contains("enforces what was published"), "{status}");

        // A client is signed in, and no password is seen.
        let said = succeed(ask(&["login", "ci", "--client", "crane", "--host", &address])?).await?;
        ensure!(said.contains("signed in"), "{said}");
        let found = secrets::find(said.as_bytes(), &[&password]);
        ensure!(found.is_empty(), "the password is told to everybody");
        let kept = std::fs::read_to_string(person.home().join("config.json"))?;
        ensure!(kept.contains(&address), "{kept}");

        // A new password, and the old one for the overlap.
        succeed(ask(&["rotate", "ci"])?).await?;
        let mut fresh = String::new();
        wait_for("the password is another", PATIENCE, async || {
            let (_, now) = credentials("ci").await?;
            ensure!(now != password, "it is the same");
            fresh = now;
            Ok(())
        })
        .await?;
        ensure!(target.login("ci", &fresh).await? == 200, "the new one is refused");
        ensure!(target.login("ci", &password).await? == 200, "there is no overlap");
        let refused = fail(ask(&["rotate", "other"])?).await?;
        ensure!(refused.contains("--without-overlap"), "{refused}");
        let (_, before) = credentials("other").await?;
        succeed(ask(&["rotate", "other", "--without-overlap"])?).await?;
        target.wait_for_login("other", &before, 401).await?;
        Ok(())
    })
    .await
}

/// The kubeconfig of a ServiceAccount that may read these resources of the namespace, and nothing else.
async fn reader(cluster: &Cluster, name: &str, resources: &[&str]) -> Result<String> {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": name },
        "rules": [{ "apiGroups": ["wharfinger.dev"], "resources": resources, "verbs": ["get", "list"] }],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
        "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": cluster.namespace }],
    });
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } });
    cluster.apply([account, role, binding]).await?;
    let mut kubeconfig = serde_json::to_value(Kubeconfig::read()?)?;
    kubeconfig["users"][0]["user"] = json!({ "token": cluster.token(name, &[]).await? });
    Ok(kubeconfig.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plugin_needs_no_more_than_to_read_the_objects_that_it_is_asked_about() -> Result<()> {
    with_namespace("plugin-reader", async |cluster| {
        with_namespace("plugin-tenant", async |tenant| {
            let mut main = registry("main");
            main["spec"]["allowedIdentities"] = json!([{ "namespaces": { "names": [tenant.namespace] } }]);
            cluster
                .apply([main, generated("alice"), allow("all", authenticated(), "pull", &["**"])])
                .await?;
            cluster.wait_until_all_ready().await?;
            let all = ["registries", "registryidentities", "accesspolicies"];
            let person = Person::new()?;
            let ask = async |resources: &[&str], arguments: &[&str]| -> Result<Command> {
                let name = format!("reader-of-{}", resources.len());
                let kubeconfig = person.home().join(&name);
                std::fs::write(&kubeconfig, reader(&cluster, &name, resources).await?)?;
                let whole = [&["--namespace", cluster.namespace.as_str()], arguments].concat();
                let mut command = person.plugin(&whole)?;
                command.env("KUBECONFIG", kubeconfig);
                Ok(command)
            };

            let yes = succeed(ask(&all, &["can-i", "pull", "apps/web", "--as", "alice"]).await?).await?;
            ensure!(yes.contains("yes: policy `all`"), "{yes}");
            // What is missing from the answer is told.
            ensure!(yes.contains("which you may not read"), "{yes}");
            // Who may not read policies gets no answer, rather than one that leaves a Deny out.
            let none = fail(ask(&all[..2], &["can-i", "pull", "apps/web", "--as", "alice"]).await?).await?;
            ensure!(none.contains("cannot list objects of kind AccessPolicy"), "{none}");
            ensure!(!none.contains("yes:") && !none.contains("no:"), "{none}");
            // Secrets are for those who may read them.
            let refused = fail(
                ask(
                    &all,
                    &["login", "alice", "--client", "crane", "--host", "registry.example.com"],
                )
                .await?,
            )
            .await?;
            ensure!(
                refused.contains("secrets \"alice-credentials\" is forbidden"),
                "{refused}"
            );
            let refused = fail(ask(&all, &["rotate", "alice", "--without-overlap"]).await?).await?;
            ensure!(refused.contains("is forbidden"), "{refused}");
            Ok(())
        })
        .await
    })
    .await
}
