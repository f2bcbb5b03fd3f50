//! Pages of long lists: they should cost what they show, not what the list holds.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::content::Image;
use crate::contest::Contest;
use crate::figure::{Better, Figures, Goal, Row};
use crate::peer::{Peer, Server};
use crate::store::Store;

/// How many pages one figure of ours is the mean of; of the others, which take seconds for one, it is one.
const PAGES: u32 = 500;
/// How long the index may take to be built.
const PATIENCE: Duration = Duration::from_secs(300);
/// The name of the column that a long list is held against.
const TENTH: &str = "wharfinger, a tenth of it";

pub(super) fn measure(contest: &Contest) -> Result<Vec<Row>> {
    let contest = &contest.in_memory();
    let image = Image::new();
    let tags = |name: &str, count| {
        list(contest, name, "/v2/many/tags/list?n=100&last=v000500", |store| {
            store.add_tags("many", &image, count)
        })
    };
    let catalog = |name: &str, count| {
        list(contest, name, "/v2/_catalog?n=100&last=r000500", |store| {
            (0..count).try_for_each(|number| store.add_tags(&format!("r{number:06}"), &image, 1))
        })
    };
    let row = |work: &str, (ours, peers): (Figures, Vec<(String, Figures)>), (tenth, _): (Figures, Vec<_>)| Row {
        work: work.to_owned(),
        unit: "ms",
        better: Better::Lower,
        columns: [("wharfinger".to_owned(), ours), (TENTH.to_owned(), tenth)]
            .into_iter()
            .chain(peers)
            .collect(),
        goal: Goal::Times(1.25, TENTH),
    };
    Ok(vec![
        row(
            "100 of 100,000 tags",
            tags("tags", 100_000)?,
            tags("tags-tenth", 10_000)?,
        ),
        row(
            "100 of 10,000 repositories",
            catalog("catalog", 10_000)?,
            catalog("catalog-tenth", 1_000)?,
        ),
    ])
}

/// Ours, and the peers'.
fn list(
    contest: &Contest,
    name: &str,
    path: &str,
    fill: impl Fn(&Store) -> Result<()>,
) -> Result<(Figures, Vec<(String, Figures)>)> {
    for peer in Peer::ALL {
        fill(&Store::below(&contest.store(peer, name)))?;
    }
    let servers = contest.start_all(name)?;
    for (peer, _) in servers.iter().filter(|(peer, _)| *peer == Peer::Wharfinger) {
        wait_for_index(contest, *peer, name)?;
    }
    let [mut columns] = contest.rounds(&servers, |peer, server| {
        let pages = if peer == Peer::Wharfinger { PAGES } else { 1 };
        Ok([page(server, path, pages)?])
    })?;
    drop(servers);
    fs::remove_dir_all(contest.folder.join(name))?;
    let ours = columns.remove(0).1;
    Ok((ours, columns))
}

/// What one page takes, in ms.
fn page(server: &Server, path: &str, pages: u32) -> Result<f64> {
    let mut connection = server.connect()?;
    let begun = Instant::now();
    for _ in 0..pages {
        let reply = connection.ask("GET", path, &[], b"")?;
        ensure!(reply.status == 200, "a page was answered with {}", reply.shown());
    }
    Ok(begun.elapsed().as_secs_f64() * 1e3 / f64::from(pages))
}

fn wait_for_index(contest: &Contest, peer: Peer, name: &str) -> Result<()> {
    let log = contest.store(peer, name).join("log");
    let begun = Instant::now();
    while !fs::read_to_string(&log)?.contains("the listing index is complete") {
        ensure!(begun.elapsed() < PATIENCE, "the index was not built in {PATIENCE:?}");
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
