//! The plugin in a cluster: what it answers is what the registry does.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::cluster::{PATIENCE, text};
use e2e::http::Credentials;
use e2e::objects::{allow, generated, group, in_groups, on_node_port, registry};
use e2e::program::{Person, fail, succeed};
use e2e::{registry as registries, secrets, wait_for, with_namespace};
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
        ensure!(who.contains("ci") && !who.contains("other"), "{who}");

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
