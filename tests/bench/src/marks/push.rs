//! Large blobs, pushed as Docker does it.

use std::fs;
use std::time::Instant;

use anyhow::Result;

use crate::content::{LAYER_BYTES, digest, noise};
use crate::contest::Contest;
use crate::figure::{Better, Goal, Row};
use crate::peer::Peer;
use crate::transfer;

pub(super) fn measure(contest: &Contest) -> Result<Vec<Row>> {
    let mut layer = noise(LAYER_BYTES);
    let servers = contest.start_all("push")?;
    let megabytes = f64::from(u32::try_from(LAYER_BYTES)?) / 1e6;
    let mut number = 0_u64;
    let [speed, cpu] = contest.rounds(&servers, |peer, server| {
        // What is there already would be no work.
        number += 1;
        layer[..8].copy_from_slice(&number.to_le_bytes());
        let digest = digest(&layer);
        let cpu = server.process.cpu_seconds()?;
        let begun = Instant::now();
        transfer::push(server, "bench", &[&layer], &digest)?;
        let seconds = begun.elapsed().as_secs_f64();
        let cpu = server.process.cpu_seconds()? - cpu;
        let blobs = contest.store(peer, "push").join("data/docker/registry/v2/blobs/sha256");
        for folder in fs::read_dir(blobs)? {
            fs::remove_dir_all(folder?.path())?;
        }
        Ok([megabytes / seconds, cpu / megabytes * 1e3])
    })?;
    Ok(vec![
        Row {
            goal: Goal::Times(3.0, Peer::DockerRegistry.name()),
            ..Row::against_best("push 512 MiB (POST, PATCH, PUT)", "MB/s", Better::Higher, speed, 3.0)
        },
        Row::against_best("push 512 MiB: server's CPU", "s/GB", Better::Lower, cpu, 1.0),
    ])
}
