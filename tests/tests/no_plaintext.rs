//! Passwords are in the Secrets that exist to hold them, and nowhere else.

use std::fs;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use e2e::cluster::{PATIENCE, text};
use e2e::http::Credentials;
use e2e::image::Image;
use e2e::objects::{allow, authenticated, generated, identity, new_password, password, registry};
use e2e::operator::Operator;
use e2e::program::kubectl;
use e2e::{Cluster, registry as registries, secrets, undo_after, wait_for, with_namespace};
use http::Method;
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use kube::discovery::{Discovery, Scope, verbs};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

const FIRST: &str = "The first pass/word+ of \"alice\" & 100% söcret";
const SECOND: &str = "The second pass/word+ of \"alice\" & 100% söcret";
const WRONG: &str = "A wrong pass/word+ of \"alice\" & 100% söcret";
/// Secrets that exist to hold a password.
const HOLDERS: [&str; 2] = ["alice-password", "robot-credentials"];

#[tokio::test(flavor = "multi_thread")]
async fn no_password_is_anywhere_but_in_the_secrets_that_hold_it() -> Result<()> {
    with_namespace("plaintext", async |cluster| {
        let operator = Operator::new(&cluster);
        let level = operator.log_level().await?;
        operator.set_log_level("trace").await?;
        undo_after(search(&cluster, &operator), operator.set_log_level(&level)).await
    })
    .await
}

async fn search(cluster: &Cluster, operator: &Operator) -> Result<()> {
    cluster.apply([registry("main"), password("alice", FIRST)]).await?;
    registries::ready(cluster, "main").await?;
    make_talkative(cluster).await?;
    let policy = allow("all", authenticated(), "push", &["**"]);
    cluster.apply([identity("alice"), generated("robot"), policy]).await?;
    cluster.wait_until_all_ready().await?;
    let robot = cluster.get("Secret", "robot-credentials").await?["data"]["password"].clone();
    let robot = String::from_utf8(STANDARD.decode(text(&robot))?)?;
    let tokens = traffic(cluster, &robot).await?;

    for token in &tokens {
        ensure!(token.split('.').count() == 3, "`{token}` is no JWT");
        let found = secrets::find(token.as_bytes(), &[FIRST, SECOND, WRONG, &robot]);
        ensure!(found.is_empty(), "a token holds a password: {token}");
    }
    let mut needles = vec![FIRST, SECOND, WRONG, robot.as_str()];
    // A token is as good as a password while it lives; its signature tells it.
    needles.extend(tokens.iter().filter_map(|token| token.rsplit('.').next()));

    // The search finds what is there: as `docker login` stores it, and as a form sends it.
    let docker = json!({ "auths": { "host": { "auth": STANDARD.encode(format!("alice:{FIRST}")) } } }).to_string();
    let form = format!(
        "password={}",
        utf8_percent_encode(SECOND, NON_ALPHANUMERIC)
            .to_string()
            .replace("%20", "+")
    );
    let planted = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "planted", "annotations": { "example.com/form": form } },
        "data": { "config.json": docker },
    });
    cluster.apply([planted]).await?;
    let found = everything_that_holds(cluster, operator, &needles).await?;
    let places: Vec<&str> = found.iter().map(|(place, _)| place.as_str()).collect();
    ensure!(
        places.iter().any(|place| place.ends_with("ConfigMap planted")),
        "the search finds nothing: {found:?}"
    );
    let planted = found
        .iter()
        .filter(|(place, _)| place.ends_with("ConfigMap planted"))
        .flat_map(|(_, what)| what);
    assert_eq!(
        planted.collect::<Vec<_>>(),
        [FIRST, SECOND],
        "what was planted is not all that was found"
    );

    cluster.delete("ConfigMap", "planted").await?;
    let found = everything_that_holds(cluster, operator, &needles).await?;
    ensure!(found.is_empty(), "passwords or tokens are in: {found:#?}");
    Ok(())
}

/// Has the registry write all that it ever writes into its log.
async fn make_talkative(cluster: &Cluster) -> Result<()> {
    let before = registries::incarnation(cluster, "main").await?;
    kubectl(&[
        "--namespace",
        &cluster.namespace,
        "set",
        "env",
        "deployment/main",
        "RUST_LOG=trace",
    ])
    .await?;
    wait_for("the registry runs with another level", PATIENCE, async || {
        let now = registries::incarnation(cluster, "main").await?;
        ensure!(now != before, "it is still the same Pod");
        let pod = registries::pod(cluster, "main").await?;
        let variable = json!({ "name": "RUST_LOG", "value": "trace" });
        let variables = pod["spec"]["containers"][0]["env"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        ensure!(variables.contains(&variable), "its variables are {variables:?}");
        ensure!(
            pod["status"]["containerStatuses"][0]["ready"] == true,
            "it is not ready"
        );
        Ok(())
    })
    .await?;
    cluster
        .wait_for_condition("Registry", "main", "Ready", ("True", "Ok"))
        .await
        .map(drop)
}

/// Everything that people do with passwords, right and wrong. The tokens that were given.
async fn traffic(cluster: &Cluster, robot: &str) -> Result<Vec<String>> {
    let target = registries::ready(cluster, "main").await?;
    let mut tokens = Vec::new();
    let mut note = |credentials: Credentials| -> Credentials {
        if let Credentials::Bearer(token) = &credentials {
            tokens.push(token.clone());
        }
        credentials
    };
    let alice = Credentials::basic("alice", FIRST);
    target.wait_for_login("alice", FIRST, 200).await?;
    assert_eq!(target.login("alice", WRONG).await?, 401);
    assert_eq!(target.login("nobody", WRONG).await?, 401);
    assert_eq!(target.status("/v2/", &Credentials::basic("alice", WRONG)).await?, 401);
    assert_eq!(target.login("robot", robot).await?, 200);
    Image::random(10_000).push(target, &alice, "app", "v1").await?;
    let token = note(target.token(&alice, "app", "pull,push").await?);
    Image::random(10_000).push(target, &token, "app", "v2").await?;
    note(target.token(&Credentials::basic("robot", robot), "app", "pull").await?);
    for (password, status) in [(FIRST, 200), (WRONG, 401)] {
        let encoded = utf8_percent_encode(password, NON_ALPHANUMERIC);
        let form = format!(
            "grant_type=password&service=any&client_id=e2e&scope=repository:app:pull&username=alice&password={encoded}"
        );
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let mut connection = target.connect().await?;
        let answer = connection
            .send_with(Method::POST, "/token", &Credentials::None, &headers, Bytes::from(form))
            .await?;
        ensure!(
            answer.status == status,
            "POST /token: {} {}",
            answer.status,
            answer.text()
        );
        if status == 200 {
            note(Credentials::Bearer(text(&answer.json()?["access_token"])));
        }
    }
    cluster.patch("Secret", "alice-password", new_password(SECOND)).await?;
    target.wait_for_login("alice", SECOND, 200).await?;
    assert_eq!(target.login("alice", FIRST).await?, 401);
    note(
        target
            .token(&Credentials::basic("alice", SECOND), "app", "pull")
            .await?,
    );
    cluster.wait_until_all_ready().await?;
    Ok(tokens)
}

/// Where the needles are, and which.
async fn everything_that_holds(
    cluster: &Cluster,
    operator: &Operator,
    needles: &[&str],
) -> Result<Vec<(String, Vec<String>)>> {
    let mut haystacks = objects(cluster).await?;
    haystacks.extend(objects(operator.cluster()).await?);
    let registry = registries::pod(cluster, "main").await?;
    let mut programs = vec![(
        cluster.clone(),
        registry,
        "wharfinger-registry",
        "5001",
        vec!["/metrics", "/status"],
    )];
    for pod in operator.pods().await? {
        programs.push((
            operator.cluster().clone(),
            pod,
            "wharfinger-operator",
            "8080",
            vec!["/metrics"],
        ));
    }
    for (cluster, pod, program, port, pages) in &programs {
        let name = text(&pod["metadata"]["name"]);
        let log = cluster.log(&name, false).await?;
        ensure!(
            log.contains("TRACE") || log.contains("DEBUG"),
            "the log of {name} is not a talkative one: {log}"
        );
        haystacks.push((format!("log of {name}"), log.into_bytes()));
        let address = format!("{}:{port}", text(&pod["status"]["podIP"]));
        let target = e2e::Target {
            address: address.parse().with_context(|| format!("no address: {address}"))?,
        };
        for page in pages {
            let answer = target.get(page, &Credentials::None).await?;
            ensure!(
                answer.status == 200 && !answer.body.is_empty(),
                "{page} of {name} is empty"
            );
            haystacks.push((format!("{page} of {name}"), answer.body.to_vec()));
        }
        let processes = registries::processes(&text(&pod["metadata"]["uid"]), program)?;
        ensure!(!processes.is_empty(), "{name} has no process");
        for pid in processes {
            for file in ["environ", "cmdline"] {
                haystacks.push((format!("{file} of {name}"), fs::read(format!("/proc/{pid}/{file}"))?));
            }
        }
    }
    let needles: Vec<String> = needles.iter().map(|needle| (*needle).to_owned()).collect();
    let found = tokio::task::spawn_blocking(move || {
        let needles: Vec<&str> = needles.iter().map(String::as_str).collect();
        let search = |(place, bytes): &(String, Vec<u8>)| {
            let found: Vec<String> = secrets::find(bytes, &needles).into_iter().map(Into::into).collect();
            (place.clone(), found)
        };
        haystacks
            .iter()
            .map(search)
            .filter(|(_, found)| !found.is_empty())
            .collect()
    });
    Ok(found.await?)
}

/// Every object of every kind in a namespace, but for the Secrets that hold passwords.
async fn objects(cluster: &Cluster) -> Result<Vec<(String, Vec<u8>)>> {
    let discovery = Discovery::new(cluster.client.clone()).run().await?;
    let mut found = Vec::new();
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            if capabilities.scope != Scope::Namespaced || !capabilities.supports_operation(verbs::LIST) {
                continue;
            }
            let api: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource);
            let list = api
                .list(&ListParams::default())
                .await
                .with_context(|| format!("cannot list {}", resource.kind))?;
            for object in list.items {
                let name = object.metadata.name.clone().unwrap_or_default();
                if resource.kind != "Secret" || !HOLDERS.contains(&name.as_str()) {
                    found.push((
                        format!("{} {} {name}", cluster.namespace, resource.kind),
                        serde_json::to_vec(&object)?,
                    ));
                }
            }
        }
    }
    for kind in ["Secret", "Pod"] {
        ensure!(
            found.iter().any(|(place, _)| place.contains(&format!(" {kind} "))),
            "no {kind} was searched"
        );
    }
    Ok(found)
}
