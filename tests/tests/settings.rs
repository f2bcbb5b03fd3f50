//! Settings of a Registry that clients notice: limits, deletion, and what is told of their requests.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use e2e::cluster::PATIENCE;
use e2e::http::Credentials;
use e2e::image::{Image, digest};
use e2e::objects::{allow, authenticated, identity, on_node_port, password, registry};
use e2e::{registry as registries, secrets, wait_for, with_namespace};
use http::Method;
use serde_json::{Value, json};

const REPOSITORY: &str = "team-a/app";

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_deletion_hold_and_what_needs_no_restart_causes_none() -> Result<()> {
    with_namespace("settings", async |cluster| {
        let mut main = registry("main");
        main["spec"]["limits"] = json!({ "maxBlobSize": "1Mi", "uploads": { "sessionsPerIdentity": 2 } });
        main["spec"]["deletion"] = json!("Disabled");
        main["spec"]["monitoring"] = json!({ "audit": "Stdout" });
        let alice = [password("alice", "alice's password"), identity("alice")];
        cluster
            .apply([main, allow("all", authenticated(), "admin", &["**"])])
            .await?;
        cluster.apply(alice).await?;
        cluster.wait_until_all_ready().await?;
        let target = registries::ready(&cluster, "main").await?;
        let alice = Credentials::basic("alice", "alice's password");
        let before = registries::incarnation(&cluster, "main").await?;
        let mut connection = target.connect().await?;
        let uploads = format!("/v2/{REPOSITORY}/blobs/uploads/");

        let large = Bytes::from(vec![1; (1 << 20) + 1]);
        let path = format!("{uploads}?digest={}", digest(&large));
        let refused = target.connect().await?.send(Method::POST, &path, &alice, large).await?;
        ensure!(refused.status == 413, "{} {}", refused.status, refused.text());
        for want in [202, 202, 429] {
            let begun = connection.send(Method::POST, &uploads, &alice, Bytes::new()).await?;
            ensure!(begun.status == want, "{}, not {want}", begun.status);
            if want == 202 {
                continue;
            }
            ensure!(begun.text().contains("TOOMANYREQUESTS"), "{}", begun.text());
        }
        let path = format!("/v2/{REPOSITORY}/manifests/v1");
        let refused = connection.send(Method::DELETE, &path, &alice, Bytes::new()).await?;
        ensure!(refused.status == 405, "{} {}", refused.status, refused.text());

        // What stands in the access document is in force without a restart.
        let change = json!({ "spec": { "deletion": null, "limits": { "maxBlobSize": "2Mi" } } });
        cluster.patch("Registry", "main", change).await?;
        wait_for("deletion is enabled", PATIENCE, async || {
            let answer = target
                .connect()
                .await?
                .send(Method::DELETE, &path, &alice, Bytes::new())
                .await?;
            ensure!(answer.status == 404, "it is {}", answer.status);
            Ok(())
        })
        .await?;
        let now = registries::incarnation(&cluster, "main").await?;
        ensure!(before == now, "the Pod was {before:?} and is {now:?}");

        let pod = registries::pod(&cluster, "main").await?;
        let log = cluster
            .log(pod["metadata"]["name"].as_str().unwrap_or_default(), false)
            .await?;
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let deletions: Vec<Value> = lines
            .filter(|line| line["action"] == "delete-manifest" && line["decisions"].is_array())
            .collect();
        let first = deletions.first().context("nothing of it is in the audit stream")?;
        assert_eq!((&first["identity"], &first["status"]), (&json!("alice"), &json!(405)));
        assert_eq!(first["decisions"][0]["allowed"], true);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_no_use_are_refused_by_the_schema_or_told_and_the_pods_go_on() -> Result<()> {
    with_namespace("nonsense", async |cluster| {
        for (spec, want) in [
            (json!({ "limits": { "connections": 0 } }), "spec.limits.connections"),
            (json!({ "limits": { "maxBlobSize": "ten" } }), "spec.limits.maxBlobSize"),
            (
                json!({ "limits": { "stallTimeout": "0s" } }),
                "stallTimeout is at least `1s`",
            ),
            (
                json!({ "limits": { "uploads": { "expireAfter": "0m" } } }),
                "expireAfter is at least `1s`",
            ),
            (json!({ "deletion": "Sometimes" }), "spec.deletion"),
            (
                json!({ "auth": { "passwordHashing": { "memory": "1Gi" } } }),
                "spec.auth.passwordHashing.memory",
            ),
            (
                json!({ "auth": { "passwordHashing": { "memory": "16Mi" } } }),
                "such hashes are too easy to guess",
            ),
            (json!({ "monitoring": { "audit": "Stderr" } }), "spec.monitoring.audit"),
            (
                json!({ "monitoring": { "traces": { "endpoint": "collector" } } }),
                "spec.monitoring.traces.endpoint",
            ),
        ] {
            let mut main = registry("main");
            for (field, value) in spec.as_object().into_iter().flatten() {
                main["spec"][field] = value.clone();
            }
            let refused = cluster.apply([main]).await;
            let why = format!(
                "{:#}",
                refused.err().unwrap_or_else(|| anyhow::anyhow!("it was accepted"))
            );
            ensure!(why.contains(want), "{spec}: {why}");
        }
        // A schema cannot tell this one from an address.
        cluster
            .apply([
                registry("main"),
                allow("all", authenticated(), "admin", &["**"]),
                password("alice", "x y z"),
                identity("alice"),
            ])
            .await?;
        cluster.wait_until_all_ready().await?;
        let target = registries::ready(&cluster, "main").await?;
        let before = registries::incarnation(&cluster, "main").await?;
        let change = json!({ "spec": { "monitoring": { "traces": { "endpoint": "http://collector:99999" } } } });
        cluster.patch("Registry", "main", change).await?;
        let told = cluster
            .wait_for_condition("Registry", "main", "Accepted", ("False", "Invalid"))
            .await?;
        ensure!(told.message.contains("spec.monitoring.traces.endpoint"), "{told:?}");
        Image::random(1000)
            .push(target, &Credentials::basic("alice", "x y z"), REPOSITORY, "v1")
            .await?;
        let now = registries::incarnation(&cluster, "main").await?;
        ensure!(before == now, "the Pod was {before:?} and is {now:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn hashes_cost_what_the_registry_says_and_passwords_go_on_working() -> Result<()> {
    with_namespace("hashing", async |cluster| {
        let alice = [password("alice", "x y z"), identity("alice")];
        cluster.apply([registry("main")]).await?;
        cluster.apply(alice).await?;
        cluster.wait_until_all_ready().await?;
        let target = registries::ready(&cluster, "main").await?;
        let is_published = async |cost: &str| {
            wait_for(&format!("a hash with {cost} is published"), PATIENCE, async || {
                let document = serde_json::to_vec(&cluster.get("Secret", "main-access").await?["data"])?;
                ensure!(!secrets::find(&document, &[cost]).is_empty(), "there is none");
                Ok(())
            })
            .await
        };
        is_published("m=19456,t=2,p=1").await?;
        let change = json!({ "spec": { "auth": { "passwordHashing": { "memory": "12Mi", "iterations": 3 } } } });
        let logins = tokio::spawn(async move {
            let mut answers = Vec::new();
            // From before the change until the Pod has known of it for a while.
            for _ in 0..100 {
                answers.push(target.login("alice", "x y z").await?);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            anyhow::Ok(answers)
        });
        cluster.patch("Registry", "main", change).await?;
        is_published("m=12288,t=3,p=1").await?;
        let ready = cluster.condition("RegistryIdentity", "alice", "Ready").await?;
        ensure!(ready.status == "True", "{ready:?}");
        let answers = logins.await??;
        ensure!(answers.iter().all(|status| *status == 200), "{answers:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_hides_addresses_is_told_until_it_shows_them() -> Result<()> {
    with_namespace("addresses", async |cluster| {
        let mut main = on_node_port(registry("main"));
        main["spec"]["auth"] = json!({ "allowedSourceRanges": ["0.0.0.0/0"] });
        cluster.apply([main]).await?;
        cluster
            .wait_for_condition(
                "Registry",
                "main",
                "ClientAddressHidden",
                ("True", "ExternalTrafficPolicy"),
            )
            .await?;
        let change = json!({ "spec": { "expose": { "service": { "externalTrafficPolicy": "Local" } } } });
        cluster.patch("Registry", "main", change).await?;
        wait_for("addresses are shown", PATIENCE, async || {
            let service = cluster.get("Service", "main").await?;
            ensure!(
                service["spec"]["externalTrafficPolicy"] == "Local",
                "{}",
                service["spec"]
            );
            let mut conditions = cluster.conditions("Registry", "main").await?.into_iter();
            ensure!(
                !conditions.any(|condition| condition.type_ == "ClientAddressHidden"),
                "the condition is there"
            );
            Ok(())
        })
        .await?;
        // Back within the cluster, where the field has no place.
        let change = json!({ "spec": { "expose": { "service": null } } });
        cluster.patch("Registry", "main", change).await?;
        wait_for("the Service is of the cluster alone", PATIENCE, async || {
            let service = cluster.get("Service", "main").await?;
            ensure!(service["spec"]["type"] == "ClusterIP", "{}", service["spec"]);
            Ok(())
        })
        .await
    })
    .await
}
