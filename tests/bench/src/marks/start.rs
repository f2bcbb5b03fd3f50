//! From the start of a server to its first answer, on stores of different sizes.

use std::fs;

use anyhow::Result;

use crate::contest::Contest;
use crate::figure::{Better, Figures, Goal, Row};
use crate::peer::Peer;
use crate::store::Store;

pub(super) fn measure(contest: &Contest) -> Result<Vec<Row>> {
    let contest = &contest.in_memory();
    [10_000, 100_000]
        .into_iter()
        .map(|blobs| start(contest, blobs))
        .collect()
}

fn start(contest: &Contest, blobs: usize) -> Result<Row> {
    let name = format!("start-{blobs}");
    let mut columns = Vec::new();
    for peer in Peer::ALL {
        Store::below(&contest.store(peer, &name)).add_blobs("many", blobs)?;
        columns.push((peer.name().to_owned(), Figures::default()));
    }
    for _ in 0..contest.rounds {
        for (peer, (_, figures)) in Peer::ALL.into_iter().zip(&mut columns) {
            let server = contest.start(peer, &name)?;
            figures.add(server.ready_after.as_secs_f64() * 1e3);
        }
    }
    fs::remove_dir_all(contest.folder.join(&name))?;
    Ok(Row {
        work: format!("ready after a start with {blobs} blobs"),
        unit: "ms",
        better: Better::Lower,
        columns,
        goal: Goal::Value(1000.0),
    })
}
