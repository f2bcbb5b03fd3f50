//! Ways to sign in that need no password of ours in the cluster: hashes, user files, and tokens of ServiceAccounts.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::cluster::{PATIENCE, text};
use e2e::http::Credentials;
use e2e::image::Image;
use e2e::objects::{allow, authenticated, identity, in_groups, known_by, on_node_port, registry};
use e2e::program::{Person, fail, succeed};
use e2e::{Cluster, environment, registry as registries, undo_after, wait_for, with_namespace};
use serde_json::{Value, json};

/// A hash that lost its end when it was copied.
const CUT_OFF: &str = "$2y$05$zJ0pE8GUBWiJqGZqD4nRHuZ3cCYjZo5";

/// A line of a user file, as `htpasswd -nbB -C 5` prints it.
fn line(user: &str, password: &str) -> Result<String> {
    Ok(format!("{user}:{}\n", bcrypt::hash(password, 5)?))
}

fn secret(name: &str, key: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "type": "wharfinger.dev/credential",
        "data": { key: STANDARD.encode(value) },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_brought_along_signs_in_and_a_broken_one_leaves_the_last_in_force() -> Result<()> {
    with_namespace("own-hash", async |cluster| {
        let mut alice = identity("alice");
        alice["spec"]["password"] = json!({ "hashSecretKeyRef": { "name": "alice-hash", "key": "hash" } });
        let hash = line("alice", "alice's password")?;
        let policy = allow("all", authenticated(), "push", &["**"]);
        cluster
            .apply([registry("main"), secret("alice-hash", "hash", &hash), alice, policy])
            .await?;
        cluster.wait_until_all_ready().await?;
        let target = registries::ready(&cluster, "main").await?;
        ensure!(
            target.login("alice", "alice's password").await? == 200,
            "the hash is not taken"
        );
        ensure!(target.login("alice", "wrong").await? == 401, "anything signs in");

        let change = |hash: &str| json!({ "data": { "hash": STANDARD.encode(hash) } });
        cluster.patch("Secret", "alice-hash", change(CUT_OFF)).await?;
        let condition = cluster
            .wait_for_condition(
                "RegistryIdentity",
                "alice",
                "ResolvedRefs",
                ("False", "InvalidPasswordHash"),
            )
            .await?;
        ensure!(
            condition.message.contains("60 make one") && condition.message.contains("stays in force"),
            "{condition:?}"
        );
        ensure!(
            target.login("alice", "alice's password").await? == 200,
            "a broken hash has locked its user out"
        );
        cluster
            .patch("Secret", "alice-hash", change(&line("alice", "another")?))
            .await?;
        target.wait_for_login("alice", "another", 200).await?;
        ensure!(
            target.login("alice", "alice's password").await? == 401,
            "the old one is accepted"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_users_of_an_htpasswd_file_sign_in_and_an_edit_is_in_force_without_a_restart() -> Result<()> {
    with_namespace("htpasswd", async |cluster| {
        let mut main = registry("main");
        main["spec"]["auth"] = json!({
            "htpasswdSecretRef": { "name": "users" }, "challenge": "Basic", "basicRealm": "The wharf",
        });
        let users = format!("# people\n{}{}", line("alice", "a")?, line("bob", "b")?);
        let policy = allow("all", authenticated(), "push", &["**"]);
        cluster
            .apply([main, secret("users", "htpasswd", &users), policy])
            .await?;
        let target = registries::ready(&cluster, "main").await?;
        target.wait_for_login("alice", "a", 200).await?;
        ensure!(
            target.login("bob", "b").await? == 200 && target.login("bob", "a").await? == 401,
            "bob"
        );
        let refused = target.get("/v2/", &Credentials::None).await?;
        ensure!(
            refused.status == 401 && refused.header("www-authenticate") == "Basic realm=\"The wharf\"",
            "{} {}",
            refused.status,
            refused.header("www-authenticate")
        );
        let before = registries::incarnation(&cluster, "main").await?;

        let users = format!(
            "{}carol:$apr1$cy1Pq0iK$CmIbFJsgQDsvUcw0LQxVG1\n{}",
            line("alice", "new")?,
            line("dave", "d")?
        );
        let change = json!({ "data": { "htpasswd": STANDARD.encode(users) } });
        cluster.patch("Secret", "users", change).await?;
        target.wait_for_login("alice", "new", 200).await?;
        for (user, password, status) in [("alice", "a", 401), ("bob", "b", 401), ("dave", "d", 200)] {
            ensure!(target.login(user, password).await? == status, "{user}");
        }
        let condition = cluster
            .wait_for_condition("Registry", "main", "ResolvedRefs", ("False", "InvalidHtpasswd"))
            .await?;
        ensure!(
            condition.message.contains("`carol`") && condition.message.contains("htpasswd -nB carol"),
            "{condition:?}"
        );
        let ready = cluster.condition("Registry", "main", "Ready").await?;
        ensure!(
            ready.status == "True",
            "one bad line has made the registry unready: {ready:?}"
        );

        // A Secret that goes missing revokes nobody; the setting does.
        cluster.delete("Secret", "users").await?;
        cluster
            .wait_for_condition("Registry", "main", "ResolvedRefs", ("False", "SecretNotFound"))
            .await?;
        ensure!(target.login("dave", "d").await? == 200, "dave is locked out");
        let without = json!({ "spec": { "auth": { "htpasswdSecretRef": null } } });
        cluster.patch("Registry", "main", without).await?;
        target.wait_for_login("dave", "d", 401).await?;
        let now = registries::incarnation(&cluster, "main").await?;
        ensure!(before == now, "the Pod was {before:?} and is {now:?}");
        Ok(())
    })
    .await
}

/// A Pod that does nothing, with a token of its ServiceAccount for the Registry `main`.
fn pod(namespace: &str, image: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "build" },
        "spec": {
            "serviceAccountName": "builder", "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "build", "image": image, "imagePullPolicy": "Never", "args": ["hash-password"], "stdin": true,
                "volumeMounts": [{ "name": "token", "mountPath": "/token" }],
            }],
            "volumes": [{ "name": "token", "projected": { "sources": [{ "serviceAccountToken": {
                "path": "token", "audience": format!("wharfinger.dev/{namespace}/main"), "expirationSeconds": 600,
            } }] } }],
        },
    })
}

/// The token that the kubelet has put into the Pod.
async fn projected_token(cluster: &Cluster) -> Result<String> {
    let mut token = String::new();
    wait_for("the Pod runs", PATIENCE, async || {
        let pod = cluster.get("Pod", "build").await?;
        let uid = text(&pod["metadata"]["uid"]);
        let processes = registries::processes(&uid, "wharfinger-registry")?;
        let process = processes.first().with_context(|| text(&pod["status"]))?;
        let inside = Path::new("/proc").join(process.to_string()).join("root");
        token = fs::read_to_string(inside.join("token/token"))?;
        Ok(())
    })
    .await?;
    Ok(token)
}

/// What the Pod does: all that it is given is the file with its token, and where the kubelet says the registry is.
const PUSH: &str = "registry=$MAIN_SERVICE_HOST:$MAIN_SERVICE_PORT
/crane auth login $registry --username token --password-stdin < /token/token &&
/crane push --insecure /layout $registry/ci/app:v1 &&
! /crane push --insecure /layout $registry/elsewhere/app:v1";

/// An image with crane, a shell, and an image to be pushed.
async fn build_image(reference: &str, image: &Image) -> Result<()> {
    let context = tempfile::tempdir()?;
    image.write_layout(&context.path().join("layout"))?;
    fs::create_dir(context.path().join("tmp"))?;
    for program in [environment::tool("crane")?, "/bin/busybox".into()] {
        let name = program.file_name().context("a program has a name")?;
        fs::copy(&program, context.path().join(name)).with_context(|| format!("no `{}`", program.display()))?;
    }
    let dockerfile = context.path().with_extension("Dockerfile");
    fs::write(&dockerfile, "FROM scratch AS build\nCOPY . /\n")?;
    let (reference, folder) = (reference.to_owned(), context.path().to_owned());
    let made = tokio::task::spawn_blocking(move || {
        let made = environment::node()?.build_image(&dockerfile, "build", &folder, &reference);
        fs::remove_file(&dockerfile)?;
        made
    });
    made.await?.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn crane_in_a_pod_pushes_with_nothing_configured_but_a_token() -> Result<()> {
    with_namespace("within", async |cluster| {
        let builder = known_by(identity("builder"), "serviceAccounts", json!([{ "name": "builder" }]));
        let policy = allow("ci", json!({ "identity": "builder" }), "push", &["ci/**"]);
        let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "builder" } });
        cluster.apply([registry("main"), builder, policy, account]).await?;
        cluster.wait_until_all_ready().await?;
        let image = Image::random(100_000);
        let reference = format!("wharfinger.local/crane:{}", cluster.namespace);
        build_image(&reference, &image).await?;
        let mut build = pod(&cluster.namespace, &reference);
        build["spec"]["restartPolicy"] = json!("Never");
        let container = &mut build["spec"]["containers"][0];
        container["command"] = json!(["/busybox", "sh", "-c", PUSH]);
        container["args"] = json!([]);
        container["env"] = json!([{ "name": "HOME", "value": "/tmp" }]);
        cluster.apply([build]).await?;
        wait_for("the Pod has pushed", PATIENCE, async || {
            let pod = cluster.get("Pod", "build").await?;
            let phase = text(&pod["status"]["phase"]);
            if phase == "Failed" {
                // It will not come to another end.
                return Ok(());
            }
            ensure!(phase == "Succeeded", "it is {phase}: {}", pod["status"]);
            Ok(())
        })
        .await?;
        let said = cluster.log("build", false).await?;
        let pod = cluster.get("Pod", "build").await?;
        ensure!(pod["status"]["phase"] == "Succeeded", "{said}");
        ensure!(said.contains(&image.digest()), "{said}");
        ensure!(said.contains("403"), "the Pod may push elsewhere: {said}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_pushes_with_its_projected_token_and_nothing_else() -> Result<()> {
    with_namespace("accounts", async |cluster| {
        let builder = in_groups(
            known_by(identity("builder"), "serviceAccounts", json!([{ "name": "builder" }])),
            &["ci"],
        );
        let mut policy = allow("ci", json!({ "group": "ci" }), "push", &["ci/**"]);
        policy["spec"]["rules"][0]["when"] = json!("identity.service_account.pod == 'build'");
        let account =
            |name: &str| json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } });
        cluster
            .apply([
                on_node_port(registry("main")),
                builder,
                policy,
                account("builder"),
                account("other"),
            ])
            .await?;
        cluster.wait_until_all_ready().await?;
        let address = registries::ready_on_node_port(&cluster, "main").await?;
        let target = registries::ready(&cluster, "main").await?;
        let own = registries::pod(&cluster, "main").await?;
        let image = text(&own["spec"]["containers"][0]["image"]);
        cluster.apply([pod(&cluster.namespace, &image)]).await?;
        let token = projected_token(&cluster).await?;

        let person = Person::new()?;
        let layout = person.home().join("layout");
        Image::random(100_000).write_layout(&layout)?;
        let login =
            |password: &str| person.crane(&["auth", "login", &address, "--username", "token", "--password", password]);
        let push = |repository: &str| {
            person.crane(&[
                "push",
                "--insecure",
                &layout.display().to_string(),
                &format!("{address}/{repository}:v1"),
            ])
        };
        succeed(login(&token)?).await?;
        succeed(push("ci/app")?).await?;
        let refused = fail(push("elsewhere/app")?).await?;
        ensure!(refused.contains("403"), "{refused}");
        // As a Bearer token, which is what a program without a registry's client sends.
        let bearer = Credentials::Bearer(token.clone());
        ensure!(
            target.pull_status(&bearer, "ci/app").await? == 404,
            "the token is not taken as it is"
        );

        // Neither a token for the API server nor that of another ServiceAccount opens anything.
        let for_the_cluster = cluster.token("builder", &[]).await?;
        let of_another = cluster
            .token("other", &[&format!("wharfinger.dev/{}/main", cluster.namespace)])
            .await?;
        for token in [for_the_cluster, of_another] {
            let status = target.status("/v2/", &Credentials::Bearer(token.clone())).await?;
            ensure!(status == 401, "{status}");
            let status = target.login("token", &token).await?;
            ensure!(status == 401, "{status}");
        }
        // Who takes the mapping away ends the token at once, and what was made from it.
        let scoped = target
            .token(&Credentials::basic("token", &token), "ci/app", "pull")
            .await?;
        ensure!(
            target.pull_status(&scoped, "ci/app").await? == 404,
            "a token made from it does not pull"
        );
        cluster.delete("RegistryIdentity", "builder").await?;
        wait_for("the token is refused", PATIENCE, async || {
            for who in [&bearer, &scoped] {
                let status = target.pull_status(who, "ci/app").await?;
                ensure!(status == 401, "it is answered with {status}");
            }
            Ok(())
        })
        .await
    })
    .await
}

/// Lets the Registry's Pods ask the API server about tokens, as the guide says.
fn may_review(namespace: &str) -> [Value; 2] {
    let name = format!("{namespace}-review");
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": name },
        "rules": [{ "apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"] }],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name },
        "subjects": [{ "kind": "ServiceAccount", "name": "main-registry", "namespace": namespace }],
    });
    [role, binding]
}

#[tokio::test(flavor = "multi_thread")]
async fn where_tokens_are_reviewed_that_of_a_pod_that_is_gone_ends() -> Result<()> {
    with_namespace("reviews", async |cluster| {
        let name = format!("{}-review", cluster.namespace);
        undo_after(reviewed(&cluster), async {
            cluster.delete("ClusterRoleBinding", &name).await?;
            cluster.delete("ClusterRole", &name).await
        })
        .await
    })
    .await
}

async fn reviewed(cluster: &Cluster) -> Result<()> {
    let mut main = registry("main");
    main["spec"]["auth"] = json!({ "serviceAccountTokens": { "verification": "TokenReview" } });
    let builder = known_by(identity("builder"), "serviceAccounts", json!([{ "name": "builder" }]));
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "builder" } });
    let policy = allow("ci", json!({ "identity": "builder" }), "push", &["ci/**"]);
    cluster.apply([main, builder, account, policy]).await?;
    cluster.wait_until_all_ready().await?;
    let target = registries::ready(cluster, "main").await?;
    let own = registries::pod(cluster, "main").await?;
    let image = text(&own["spec"]["containers"][0]["image"]);
    cluster.apply([pod(&cluster.namespace, &image)]).await?;
    let of_pod = Credentials::Bearer(projected_token(cluster).await?);
    let audience = format!("wharfinger.dev/{}/main", cluster.namespace);
    let of_account = Credentials::Bearer(cluster.token("builder", &[&audience]).await?);

    // Nobody can tell yet, and the log says what to do.
    let answer = target.get("/v2/ci/app/tags/list", &of_pod).await?;
    ensure!(answer.status == 503, "{} {}", answer.status, answer.text());
    let log = cluster.log(&text(&own["metadata"]["name"]), false).await?;
    ensure!(log.contains("`tokenreviews`"), "{log}");
    cluster.apply(may_review(&cluster.namespace)).await?;
    wait_for("the API server is asked", PATIENCE, async || {
        for who in [&of_pod, &of_account] {
            let status = target.pull_status(who, "ci/app").await?;
            ensure!(status == 404, "one is answered with {status}");
        }
        Ok(())
    })
    .await?;
    cluster.delete_and_wait("Pod", "build").await?;
    wait_for("the token has ended with its Pod", PATIENCE, async || {
        let answer = target.get("/v2/ci/app/tags/list", &of_pod).await?;
        ensure!(answer.status == 401, "it is answered with {}", answer.status);
        Ok(())
    })
    .await?;
    let status = target.pull_status(&of_account, "ci/app").await?;
    ensure!(
        status == 404,
        "that of the ServiceAccount itself is answered with {status}"
    );
    // By its keys alone it would still be good.
    let change = json!({ "spec": { "auth": { "serviceAccountTokens": { "verification": "Keys" } } } });
    cluster.patch("Registry", "main", change).await?;
    wait_for("nobody is asked", PATIENCE, async || {
        let status = target.pull_status(&of_pod, "ci/app").await?;
        ensure!(status == 404, "it is answered with {status}");
        Ok(())
    })
    .await
}
