//! Passwords that the operator makes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::cluster::{PATIENCE, text};
use e2e::http::Credentials;
use e2e::image::Image;
use e2e::objects::{allow, authenticated, generated, on_node_port, registry};
use e2e::{Cluster, registry as registries, wait_for, with_namespace};
use serde_json::{Value, json};

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

/// The password in a pull secret, by host.
async fn pull_password(cluster: &Cluster, host: &str) -> Result<String> {
    let secret = cluster.get("Secret", "pull").await?;
    ensure!(secret["type"] == "kubernetes.io/dockerconfigjson", "{}", secret["type"]);
    let config = STANDARD.decode(text(&secret["data"][".dockerconfigjson"]))?;
    let config: Value = serde_json::from_slice(&config)?;
    let entry = &config["auths"][host];
    let (username, password) = (text(&entry["username"]), text(&entry["password"]));
    ensure!(
        text(&entry["auth"]) == STANDARD.encode(format!("{username}:{password}")),
        "`auth` says something else"
    );
    Ok(password)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_pulls_with_a_pull_secret_and_nobody_is_refused_while_passwords_rotate() -> Result<()> {
    with_namespace("rotation", async |cluster| {
        let policy = allow("all", authenticated(), "push", &["**"]);
        cluster.apply([on_node_port(registry("main")), policy]).await?;
        let address = registries::ready_on_node_port(&cluster, "main").await?;
        let target = registries::ready(&cluster, "main").await?;
        let mut robot = generated("robot");
        robot["spec"]["password"]["generate"]["rotation"] = json!({ "interval": "1m", "overlap": "15s" });
        robot["spec"]["pullSecrets"] = json!([{ "name": "pull", "hosts": [address, "registry.example.com"] }]);
        cluster.apply([robot]).await?;
        cluster.wait_until_all_ready().await?;
        let (_, first) = credentials(&cluster, "robot-credentials").await?;
        wait_for("the pull secret is there", PATIENCE, async || {
            for host in [address.as_str(), "registry.example.com"] {
                ensure!(pull_password(&cluster, host).await? == first, "it has another password");
            }
            Ok(())
        })
        .await?;

        // The kubelet pulls with it.
        Image::random(10_000)
            .push(target, &Credentials::basic("robot", &first), "team-a/app", "v1")
            .await?;
        cluster
            .apply([json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "app" },
                "spec": {
                    "imagePullSecrets": [{ "name": "pull" }], "restartPolicy": "Never",
                    "containers": [{ "name": "app", "image": format!("{address}/team-a/app:v1"), "command": ["/file"] }],
                },
            })])
            .await?;
        wait_for("the kubelet has pulled the image", PATIENCE, async || {
            let events = cluster.list("Event").await?;
            let pulled = events
                .iter()
                .any(|event| event["reason"] == "Pulled" && event["involvedObject"]["name"] == "app");
            ensure!(pulled, "{:?}", events.iter().map(|event| text(&event["message"])).collect::<Vec<_>>());
            Ok(())
        })
        .await?;

        // Whoever reads either Secret is let in, at every moment of a rotation.
        let begun = Instant::now();
        let mut seen = vec![first.clone()];
        while seen.len() < 2 || target.login("robot", &first).await? == 200 {
            ensure!(begun.elapsed() < PATIENCE, "no rotation has come to its end: {} passwords", seen.len());
            let (_, current) = credentials(&cluster, "robot-credentials").await?;
            let pulled = pull_password(&cluster, &address).await?;
            for password in [&current, &pulled] {
                let status = target.login("robot", password).await?;
                ensure!(status == 200, "a password that stands in a Secret is answered with {status}");
            }
            if !seen.contains(&current) {
                seen.push(current);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        wait_for("the pull secret has followed", PATIENCE, async || {
            let (_, current) = credentials(&cluster, "robot-credentials").await?;
            ensure!(pull_password(&cluster, &address).await? == current, "it has another password");
            Ok(())
        })
        .await?;
        let secret = cluster.get("Secret", "robot-credentials").await?;
        ensure!(text(&secret["metadata"]["annotations"]["wharfinger.dev/rotated-at"]).starts_with("20"), "{secret}");

        // What was not made by the operator is left alone; what no identity names any more goes.
        let mine = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "mine" }, "data": { "a": STANDARD.encode("b") },
        });
        cluster.apply([mine]).await?;
        let renamed = json!({ "spec": { "pullSecrets": [{ "name": "mine" }] } });
        cluster.patch("RegistryIdentity", "robot", renamed).await?;
        let condition = cluster
            .wait_for_condition("RegistryIdentity", "robot", "ResolvedRefs", ("False", "Conflict"))
            .await?;
        ensure!(condition.message.contains("`mine`"), "{condition:?}");
        wait_for("the other pull secret is gone", PATIENCE, async || {
            ensure!(cluster.find("Secret", "pull").await?.is_none(), "it is still there");
            Ok(())
        })
        .await?;
        let mine = cluster.get("Secret", "mine").await?;
        ensure!(text(&mine["data"]["a"]) == STANDARD.encode("b"), "{mine}");
        Ok(())
    })
    .await
}
