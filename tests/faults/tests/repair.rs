//! A repair that is cut off at any of its steps: neither what is whole nor what is damaged is lost, and it can be run again.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use faults::http::Connection;
use faults::ledger::digest;
use faults::trial::Trial;
use faults::workload::Mood;
use faults::{Faults, Kill, Loss, Operation, Record, Side, Step, Which, settings};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// How many things each client does before the damage.
const CHANGES: usize = 3;
/// How many blobs are damaged.
const VICTIMS: u8 = 3;
/// How often each kind of step is cut off, at another place each time.
const PLACES: u64 = 2;

const REPOSITORY: &str = "victims";
const STORE: &str = "data/docker/registry/v2";
const QUARANTINE: &str = "data/wharfinger/quarantine";

/// A store with some clients' content, and some that is damaged.
struct Damaged {
    /// Each with what the disk holds instead of it.
    blobs: Vec<(String, Vec<u8>)>,
    /// A blob that is whole but whose link is not.
    linked: String,
    /// What the link holds.
    link: Vec<u8>,
}

fn push(connection: &mut Connection, content: &[u8]) -> Result<String> {
    let digest = digest(content);
    let path = format!("/v2/{REPOSITORY}/blobs/uploads/?digest={digest}");
    let reply = connection.ask("POST", &path, &[], content)?;
    ensure!(reply.status == 201, "a blob was answered with {}", reply.shown());
    Ok(digest)
}

impl Damaged {
    fn make(trial: &mut Trial, seed: u64) -> Result<Self> {
        trial.begin(seed);
        trial.start()?;
        trial.run(CHANGES, Mood::Strict)?;
        let mut connection = Connection::open(trial.server()?.address)?;
        let mut blobs = Vec::new();
        for number in 0..VICTIMS {
            blobs.push((push(&mut connection, &[number; 100])?, vec![number ^ 0x10; 100]));
        }
        let linked = push(&mut connection, b"whole")?;
        drop(connection);
        trial.server()?.stop()?;
        trial.die()?;
        let store = trial.layer.path().join(STORE);
        for (digest, content) in &blobs {
            fs::write(store.join(data(digest)), content)?;
        }
        let link = b"sha256:nothing".to_vec();
        let path = format!("repositories/{REPOSITORY}/_layers/{}/link", linked.replace(':', "/"));
        fs::write(store.join(path), &link)?;
        trial.layer.write_back();
        Ok(Self { blobs, linked, link })
    }

    /// Repairs what a repair has left that was cut off, and returns what is wrong then.
    fn check(&self, trial: &mut Trial) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        let (code, said, _) = trial.scrub(true, Faults::default())?;
        ensure!(
            matches!(code, Some(0 | 1)),
            "a second repair ended with {code:?}: {said}"
        );
        let (code, said, _) = trial.scrub(false, Faults::default())?;
        if code != Some(0) {
            wrong.push(format!("after a second repair there is damage: {said}"));
        }
        let kept = trial.layer.files(Path::new(QUARANTINE));
        for content in self.blobs.iter().map(|(_, content)| content).chain([&self.link]) {
            if !kept.iter().any(|(_, kept)| kept == content) {
                wrong.push(format!("{:?} is in no quarantine", String::from_utf8_lossy(content)));
            }
        }
        wrong.extend(trial.recover(None)?);
        let mut connection = Connection::open(trial.server()?.address)?;
        for (digest, want) in self
            .blobs
            .iter()
            .map(|(digest, _)| (digest, 404))
            .chain([(&self.linked, 200)])
        {
            let reply = connection.ask("GET", &format!("/v2/{REPOSITORY}/blobs/{digest}"), &[], b"")?;
            if reply.status != want {
                wrong.push(format!("{digest} is answered with {}, not {want}", reply.status));
            }
        }
        Ok(wrong)
    }
}

/// Where the content of a blob is.
fn data(digest: &str) -> String {
    let hex = digest.trim_start_matches("sha256:");
    format!("blobs/sha256/{}/{hex}/data", &hex[..2])
}

/// What a repair does.
fn steps(trial: &mut Trial, seed: u64) -> Result<Record> {
    let damaged = Damaged::make(trial, seed)?;
    let (code, said, record) = trial.scrub(true, Faults::default())?;
    ensure!(code == Some(1), "a repair ended with {code:?}: {said}");
    let wrong = damaged.check(trial)?;
    ensure!(wrong.is_empty(), "without anything going wrong: {}", wrong.join("\n"));
    Ok(record)
}

#[test]
fn a_repair_that_is_cut_off_at_any_step_loses_nothing_and_can_be_run_again() -> Result<()> {
    let seed = settings::seed()?;
    let mut random = StdRng::seed_from_u64(seed);
    let mut trial = Trial::new(seed)?;
    let steps = steps(&mut trial, seed)?.steps;
    let changing = |(step, _): &(&Step, &u64)| step.operation != Operation::Read;
    let (mut cuts, mut unreached, mut wrong) = (0, Vec::new(), Vec::new());
    for (step, count) in steps.iter().filter(changing) {
        for side in [Side::Before, Side::After] {
            let mut is_reached = false;
            for place in 0..PLACES.min(*count) {
                let damaged = Damaged::make(&mut trial, random.random())?;
                let kill = Kill {
                    which: Which::Only(step.clone()),
                    skip: place * count / PLACES.min(*count),
                    side,
                };
                let faults = Faults {
                    kill: Some(kill),
                    ..Faults::default()
                };
                let (code, _, record) = trial.scrub(true, faults)?;
                ensure!(
                    record.killed == code.is_none(),
                    "{side:?} {step}: it ended with {code:?}"
                );
                if !record.killed {
                    // Which folders there are differs from store to store, and with it how often each step is taken.
                    continue;
                }
                is_reached = true;
                cuts += 1;
                if random.random() {
                    trial.layer.cut_power(Loss::Unsynced);
                }
                let found = damaged.check(&mut trial).with_context(|| format!("{side:?} {step}"))?;
                wrong.extend(
                    found
                        .into_iter()
                        .map(|what| format!("{side:?} {step}, place {place}: {what}")),
                );
            }
            if !is_reached {
                unreached.push(format!("{side:?} {step}"));
            }
        }
    }
    ensure!(unreached.is_empty(), "never reached: {}", unreached.join(", "));
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!(
        "a repair was cut off {cuts} times, at {} kinds of steps",
        steps.iter().filter(changing).count()
    );
    ensure!(cuts > 0, "no repair was cut off, so nothing was proven");
    Ok(())
}
