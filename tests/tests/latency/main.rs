//! How soon an edit is in force: on connections that were open before, under load, with passwords, tokens and certificates.
//!
//! The clock starts before the write to the API server and stops when the answer has arrived that shows the change. What
//! is asserted is the outcome; the clock is printed, apart from a deadline that only a defect can miss.

#[cfg(test)]
mod certificates;
#[cfg(test)]
mod changes;
#[cfg(test)]
mod load;
#[cfg(test)]
mod push;

use std::time::Duration;

use anyhow::Result;
use e2e::http::Credentials;
use e2e::image::Image;
use e2e::objects::{allow, authenticated, identity, password, registry_on_volume, user};
use e2e::{Cluster, environment, measure, registry as registries, with_namespace};
use load::Load;
use serde_json::json;
use tokio::sync::Mutex;

/// Longest that one change may take.
const DEADLINE: Duration = Duration::from_secs(20);
/// What is asked for again and again.
const MANIFEST: &str = "/v2/load/app/manifests/v1";
/// Connections that ask without a pause worth the name.
const LOAD: usize = 4;

/// One measurement at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_in_force_at_the_next_request_on_connections_that_were_open_before() -> Result<()> {
    let _alone = ALONE.lock().await;
    with_namespace("latency", async |cluster| {
        with_namespace("latency-guests", async |tenant| measure_all(&cluster, &tenant).await).await
    })
    .await
}

async fn measure_all(cluster: &Cluster, tenant: &Cluster) -> Result<()> {
    let mut main = registry_on_volume("main");
    main["spec"]["allowedIdentities"] =
        json!([{ "namespaces": { "selector": { "matchLabels": { "registry": cluster.namespace } } } }]);
    let objects = [
        main,
        password("load", "load's password"),
        identity("load"),
        allow("all", authenticated(), "pull", &["**"]),
        allow("load", user("load"), "push", &["load/**"]),
    ];
    cluster.apply(objects).await?;
    cluster.wait_until_all_ready().await?;
    let target = registries::ready(cluster, "main").await?;
    let load = Credentials::basic("load", "load's password");
    Image::random(10_000).push(target, &load, "load/app", "v1").await?;
    let before = registries::incarnation(cluster, "main").await?;
    let number = environment::changes();

    let background = Load::start(target, &load).await?;
    let rotations = changes::rotate(cluster, target, number).await?;
    let [disabled, disabled_token] = changes::disable(cluster, target, number).await?;
    let [deleted, deleted_token] = changes::delete(cluster, target, number).await?;
    let [unlabelled, unlabelled_token] = changes::unlabel(cluster, tenant, target, number).await?;
    // From here on only the policies of the measurements let their users in.
    cluster.delete("AccessPolicy", "all").await?;
    let [regrouped, regrouped_token] = changes::regroup(cluster, target, number).await?;
    let [edited, edited_token] = changes::edit_policies(cluster, target, number).await?;
    let requests = background.stop().await?;
    let certificates = certificates::replace_authorities(cluster, number).await?;

    measure::print(
        &format!(
            "from the write to the first request that shows it, with {LOAD} busy connections ({requests} requests)"
        ),
        &[
            ("password changed: old refused, new accepted", &rotations),
            ("identity disabled: password refused", &disabled),
            ("identity disabled: token refused", &disabled_token),
            ("identity deleted: password refused", &deleted),
            ("identity deleted: token refused", &deleted_token),
            ("group taken away: password refused", &regrouped),
            ("group taken away: token refused", &regrouped_token),
            ("namespace's label taken away: password refused", &unlabelled),
            ("namespace's label taken away: token refused", &unlabelled_token),
            ("policy edited: password refused", &edited),
            ("policy edited: token refused", &edited_token),
            ("authority replaced: certificate refused", &certificates),
        ],
    );
    assert_eq!(
        registries::incarnation(cluster, "main").await?,
        before,
        "the registry was started again"
    );
    Ok(())
}
