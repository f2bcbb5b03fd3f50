//! What a killed process wrote but did not sync is seen by the next one. Before anything is acknowledged that relies on it, it must
//! be made durable, or a power cut takes it.

use anyhow::{Context, Result, ensure};
use faults::http::Connection;
use faults::ledger::digest;
use faults::trial::Trial;
use faults::{Faults, Kill, Loss, Operation, Side, Step, Which, settings};
use serde_json::json;

const REPOSITORY: &str = "app";
const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

fn push(connection: &mut Connection, content: &[u8]) -> std::io::Result<u16> {
    let path = format!("/v2/{REPOSITORY}/blobs/uploads/?digest={}", digest(content));
    Ok(connection.ask("POST", &path, &[], content)?.status)
}

#[test]
fn a_manifest_makes_durable_what_a_killed_process_left_of_its_blobs() -> Result<()> {
    const CONFIG: &[u8] = b"{}";
    let mut trial = Trial::new(settings::seed()?)?;
    trial.start()?;
    // The link to the blob is there, but its name is not synced.
    let kill = Kill {
        which: Which::Only(Step {
            operation: Operation::Sync,
            place: "data/docker/registry/v2/repositories/<name>/_layers/sha256/<hex>".into(),
        }),
        skip: 0,
        side: Side::Before,
    };
    trial.layer.plan(Faults {
        kill: Some(kill),
        ..Faults::default()
    });
    let mut connection = Connection::open(trial.server()?.address)?;
    let answered = push(&mut connection, CONFIG);
    ensure!(answered.is_err(), "the push was answered with {answered:?}");
    ensure!(trial.die()?.killed, "nothing was interrupted");

    trial.start()?;
    let mut connection = Connection::open(trial.server()?.address)?;
    let blob = format!("/v2/{REPOSITORY}/blobs/{}", digest(CONFIG));
    let seen = connection.ask("HEAD", &blob, &[], b"")?.status;
    ensure!(
        seen == 200,
        "the leftover is answered with {seen}, so nothing can rely on it"
    );
    let descriptor = json!({ "mediaType": "application/json", "digest": digest(CONFIG), "size": CONFIG.len() });
    let manifest = json!({ "schemaVersion": 2, "mediaType": IMAGE, "config": descriptor, "layers": [] }).to_string();
    let path = format!("/v2/{REPOSITORY}/manifests/v1");
    let put = connection.ask("PUT", &path, &[("Content-Type", IMAGE)], manifest.as_bytes())?;
    ensure!(put.status == 201, "{}", put.shown());
    trial.die()?;

    trial.layer.cut_power(Loss::Unsynced);
    trial.start()?;
    let mut connection = Connection::open(trial.server()?.address)?;
    let manifest = connection.ask("GET", &path, &[], b"")?;
    ensure!(manifest.status == 200, "{}", manifest.shown());
    let blob = connection.ask("GET", &blob, &[], b"").context("the blob")?;
    ensure!(
        (blob.status, blob.body.as_slice()) == (200, CONFIG),
        "the manifest was acknowledged, but its blob is answered with {}",
        blob.shown()
    );
    Ok(())
}
