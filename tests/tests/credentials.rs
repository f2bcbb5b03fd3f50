//! Passwords that the operator makes.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::cluster::{PATIENCE, text};
use e2e::objects::{allow, authenticated, generated, registry};
use e2e::{Cluster, registry as registries, wait_for, with_namespace};
use serde_json::json;

/// Username and password in a generated Secret.
async fn credentials(cluster: &Cluster, secret: &str) -> Result<(String, String)> {
    let secret = cluster.get("Secret", secret).await?;
    let key = |key: &str| -> Result<String> { Ok(String::from_utf8(STANDARD.decode(text(&secret["data"][key]))?)?) };
    Ok((key("username")?, key("password")?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_password_stays_until_its_secret_is_deleted_and_goes_with_its_identity() -> Result<()> {
    with_namespace("generated", async |cluster| {
        let mut named = generated("named");
        named["spec"]["password"] = json!({ "generate": { "secretName": "elsewhere", "length": 64 } });
        let policy = allow("all", authenticated(), "push", &["**"]);
        cluster
            .apply([registry("main"), generated("robot"), named, policy])
            .await?;
        cluster.wait_until_all_ready().await?;
        let target = registries::ready(&cluster, "main").await?;

        let (username, first) = credentials(&cluster, "robot-credentials").await?;
        ensure!(
            username == "robot" && first.len() == 32,
            "`{username}`, {} characters",
            first.len()
        );
        ensure!(
            first.chars().all(|character| character.is_ascii_alphanumeric()),
            "it is not letters and digits"
        );
        assert_eq!(target.login("robot", &first).await?, 200);
        let (_, long) = credentials(&cluster, "elsewhere").await?;
        assert_eq!((long.len(), target.login("named", &long).await?), (64, 200));
        let status = cluster.get("RegistryIdentity", "robot").await?["status"].clone();
        assert_eq!(
            (&status["credentialsSecret"], &status["username"]),
            (&json!("robot-credentials"), &json!("robot"))
        );
        wait_for("an event tells of the Secret", PATIENCE, async || {
            let events = cluster.list("Event").await?;
            let told = events
                .iter()
                .find(|event| event["reason"] == "CredentialGenerated" && event["involvedObject"]["name"] == "robot");
            let note = told.map(|event| text(&event["message"])).context("there is none")?;
            ensure!(note.contains("robot-credentials") && !note.contains(&first), "{note}");
            Ok(())
        })
        .await?;

        // Nothing but the deletion of the Secret makes another.
        cluster
            .patch("RegistryIdentity", "robot", json!({ "spec": { "groups": ["team-a"] } }))
            .await?;
        cluster
            .wait_for_condition("RegistryIdentity", "robot", "Ready", ("True", "Ok"))
            .await?;
        assert_eq!(credentials(&cluster, "robot-credentials").await?.1, first);
        cluster.delete_and_wait("Secret", "robot-credentials").await?;
        let second = wait_for("there is another password", PATIENCE, async || {
            Ok(credentials(&cluster, "robot-credentials").await?.1)
        })
        .await?;
        assert_ne!(first, second);
        target.wait_for_login("robot", &second, 200).await?;
        assert_eq!(target.login("robot", &first).await?, 401);

        // The identity takes everything with it: password, Secret, tokens. Its name can be used again.
        let who = e2e::http::Credentials::basic("robot", &second);
        let token = target.token(&who, "app", "pull").await?;
        assert_eq!(target.pull_status(&token, "app").await?, 404);
        cluster.delete("RegistryIdentity", "robot").await?;
        target.wait_for_login("robot", &second, 401).await?;
        assert_eq!(target.pull_status(&token, "app").await?, 401);
        wait_for("the Secret is gone", PATIENCE, async || {
            ensure!(
                cluster.find("Secret", "robot-credentials").await?.is_none(),
                "it is still there"
            );
            Ok(())
        })
        .await?;
        cluster.apply([generated("robot")]).await?;
        cluster
            .wait_for_condition("RegistryIdentity", "robot", "Ready", ("True", "Ok"))
            .await?;
        let (_, third) = credentials(&cluster, "robot-credentials").await?;
        assert_ne!(second, third);
        assert_eq!(target.login("robot", &third).await?, 200);
        assert_eq!(
            target.pull_status(&token, "app").await?,
            401,
            "a token of the identity before lives again"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_somebody_else_is_never_taken_for_a_generated_one() -> Result<()> {
    with_namespace("taken", async |cluster| {
        let theirs = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "robot-credentials" },
            "data": { "password": STANDARD.encode("somebody's own") },
        });
        cluster.apply([theirs, registry("main"), generated("robot")]).await?;
        let resolved = cluster
            .wait_for_condition("RegistryIdentity", "robot", "ResolvedRefs", ("False", "Conflict"))
            .await?;
        ensure!(resolved.message.contains("`robot-credentials`"), "{resolved:?}");
        let target = registries::ready(&cluster, "main").await?;
        assert_eq!(target.login("robot", "somebody's own").await?, 401);
        let secret = cluster.get("Secret", "robot-credentials").await?;
        assert_eq!(secret["data"], json!({ "password": STANDARD.encode("somebody's own") }));
        cluster.delete("Secret", "robot-credentials").await?;
        cluster
            .wait_for_condition("RegistryIdentity", "robot", "Ready", ("True", "Ok"))
            .await?;
        let (username, password) = credentials(&cluster, "robot-credentials").await?;
        assert_eq!(target.login(&username, &password).await?, 200);
        Ok(())
    })
    .await
}
