//! Memory, idle and under load.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::content::{LAYER_BYTES, digest, noise, push_blob};
use crate::contest::Contest;
use crate::figure::{Better, Figures, Goal, Row};
use crate::peer::{Peer, Server};
use crate::transfer;

/// How many pull at once, and how many push.
const CLIENTS: usize = 16;

pub(super) fn measure(contest: &Contest) -> Result<Vec<Row>> {
    let mut layers: Vec<(Vec<u8>, String)> = Vec::new();
    let mut noise = noise(LAYER_BYTES);
    let path = format!("/v2/bench/blobs/{}", digest(&noise));
    let pulled = noise.clone();
    for number in 0..CLIENTS {
        noise[..8].copy_from_slice(&number.to_le_bytes());
        layers.push((noise[..8].to_vec(), digest(&noise)));
    }
    let (mut idle, mut busy) = (Vec::new(), Vec::new());
    for peer in Peer::ALL {
        let server = contest.start(peer, "memory")?;
        thread::sleep(Duration::from_secs(2));
        let mut figure = Figures::default();
        figure.add(server.process.resident()?);
        idle.push((peer.name().to_owned(), figure));
        push_blob(&mut server.connect()?, "bench", &pulled)?;
        load(&server, &path, &pulled, &layers)?;
        let mut figure = Figures::default();
        figure.add(server.process.most_resident()?);
        busy.push((peer.name().to_owned(), figure));
        drop(server);
        std::fs::remove_dir_all(contest.store(peer, "memory"))?;
    }
    let row = |work: String, columns, most| Row {
        work,
        unit: "MB",
        better: Better::Lower,
        columns,
        goal: Goal::Value(most),
    };
    Ok(vec![
        row("resident memory, idle".into(), idle, 20.0),
        row(
            format!("most resident memory, {CLIENTS} pulls and {CLIENTS} pushes of 512 MiB at once"),
            busy,
            96.0,
        ),
    ])
}

fn load(server: &Server, path: &str, content: &[u8], layers: &[(Vec<u8>, String)]) -> Result<()> {
    thread::scope(|scope| {
        let pulls = layers
            .iter()
            .map(|_| scope.spawn(|| transfer::pull(server, path).map(drop)));
        let mut clients: Vec<_> = pulls.collect();
        for (number, (first, digest)) in layers.iter().enumerate() {
            clients.push(scope.spawn(move || {
                transfer::push(
                    server,
                    &format!("bench-{number}"),
                    &[first, &content[first.len()..]],
                    digest,
                )
            }));
        }
        clients
            .into_iter()
            .try_for_each(|client| client.join().ok().context("a client panicked")?)
    })
}
