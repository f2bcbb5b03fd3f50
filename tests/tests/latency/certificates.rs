//! A client's certificate, whose authority is replaced.

use std::time::Instant;

use anyhow::Result;
use e2e::certificates::{Authority, Pair};
use e2e::http::{Connection, Credentials};
use e2e::measure::Series;
use e2e::objects::{about, allow, identity, known_by, on_node_port, registry, user};
use e2e::{Cluster, registry as registries, wait_for};
use serde_json::json;

use crate::changes::{until_at, used_at};

/// What is asked for again and again: it needs nobody's image.
const CATALOG: &str = "/v2/_catalog";

/// Replaces the authority that clients' certificates are believed of, and waits until one of before is refused on a connection that was
/// opened with it.
pub(crate) async fn replace_authorities(cluster: &Cluster, changes: usize) -> Result<Series> {
    let (server, first, second) = (Pair::new()?, Authority::new("first")?, Authority::new("second")?);
    let mut guarded = on_node_port(registry("guarded"));
    guarded["spec"]["tls"] = json!({ "secretRef": { "name": "certificate" } });
    guarded["spec"]["auth"] = json!({ "clientCertificates": { "authoritiesSecretRef": { "name": "clients" } } });
    let subjects = json!([{ "commonName": "builder" }]);
    let builder = about(
        known_by(identity("builder"), "certificateSubjects", subjects),
        "guarded",
    );
    let listing = about(allow("listing", user("builder"), "admin", &["**"]), "guarded");
    cluster
        .apply([
            server.secret("certificate"),
            first.secret("clients"),
            guarded,
            builder,
            listing,
        ])
        .await?;
    cluster
        .wait_for_condition("Registry", "guarded", "Ready", ("True", "Ok"))
        .await?;
    let target = registries::on_node(cluster, "guarded").await?;
    let mut series = Series::default();
    let (mut old, mut new) = (&first, &second);
    for _ in 0..changes {
        let client = old.client("builder", &server)?;
        let mut connection = wait_for("the certificate is believed", crate::DEADLINE, async || {
            let connection = Connection::open_tls(target.address, &client).await?;
            used_at(CATALOG, connection, &Credentials::None).await
        })
        .await?;
        let begun = Instant::now();
        cluster.apply([new.secret("clients")]).await?;
        series.note(until_at(CATALOG, 401, &mut connection, &Credentials::None, begun).await?);
        std::mem::swap(&mut old, &mut new);
    }
    Ok(series)
}
