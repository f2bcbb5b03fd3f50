//! `kill -9` at random on a plain directory: the process forgets, the system does not.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use faults::server::Program;
use faults::verify::{self, Past};
use faults::workload::{self, Mood};
use faults::{settings, trial};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// After how many kills a new store is begun, so that comparing does not take longer and longer.
const LIVES: u64 = 10;
/// The longest time that a life is given, in microseconds.
const LONGEST: u64 = 120_000;

fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, found)?;
        } else {
            found.push((path.display().to_string(), fs::read(&path)?));
        }
    }
    Ok(())
}

#[test]
fn a_registry_that_is_killed_at_any_time_has_everything_that_it_acknowledged() -> Result<()> {
    let seed = settings::seed()?;
    let kills = settings::kills()?;
    let mut random = StdRng::seed_from_u64(seed);
    let (mut done, mut acknowledged, mut interrupted) = (0, 0, 0);
    while done < kills {
        let directory = tempfile::tempdir()?;
        let root = directory.path().join("data");
        let program = Program::find(&root)?;
        let mut clients = workload::clients(random.random());
        let start = || program.start(|command| command.spawn().context("cannot start the registry"));
        let mut server = start()?;
        for _ in 0..LIVES.min(kills - done) {
            let address = server.address;
            let life = Duration::from_micros(random.random_range(0..LONGEST));
            let outcome = thread::scope(|scope| -> Result<_> {
                let running = scope.spawn(|| workload::run(&mut clients, address, 1_000, Mood::Strict));
                thread::sleep(life);
                server.kill()?;
                running.join().map_err(|_| anyhow::anyhow!("a client panicked"))
            })?;
            interrupted += outcome.gone;
            done += 1;
            assert!(
                outcome.wrong.is_empty(),
                "{}\n{}",
                outcome.wrong.join("\n"),
                trial::tail(&server.log())
            );
            server = start()?;
            let ledgers = clients.iter_mut().map(|client| &mut client.ledger);
            let mut wrong = verify::verify(server.address, ledgers, Past::Killed)?;
            let mut found = Vec::new();
            files(&root.join("docker"), &mut found)?;
            wrong.extend(verify::files(&found));
            assert!(wrong.is_empty(), "after {done} kills: {}", wrong.join("\n"));
        }
        acknowledged += clients.iter().map(|client| client.ledger.acknowledged).sum::<u64>();
    }
    let shown = BTreeMap::from([
        ("kills", done),
        ("changes acknowledged", acknowledged),
        ("requests interrupted", interrupted),
    ]);
    println!("{shown:?}");
    assert!(interrupted > 0, "nothing was interrupted, so nothing was proven");
    Ok(())
}
