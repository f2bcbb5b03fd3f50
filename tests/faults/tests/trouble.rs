//! A disk that fills up, fails or becomes read-only: clients are told so, nothing is lost, and it passes.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use faults::http::Connection;
use faults::trial::Trial;
use faults::verify::Past;
use faults::workload::Mood;
use faults::{Faults, Loss, Operation, Record, Step, settings};

/// How many things each client does at a time.
const CHANGES: usize = 10;
/// How often the clients are let loose until a fault is met.
const ATTEMPTS: usize = 4;
/// With how many stores a kind of step is looked for: some are rare.
const MOST_TRIES: usize = 10;

/// After the trouble: the same process works again, and everything acknowledged is there, also after a power cut.
fn recovers(trial: &mut Trial, what: &str) -> Result<()> {
    let before = trial.acknowledged();
    ensure!(
        trial.server()?.is_running()?,
        "{what}: the registry ended:\n{}",
        trial.server()?.log()
    );
    trial.run(5, Mood::Strict)?;
    ensure!(trial.acknowledged() > before, "{what}: nothing can be pushed any more");
    let wrong = trial.verify(Past::Killed)?;
    ensure!(wrong.is_empty(), "{what}: {}", wrong.join("\n"));
    trial.die()?;
    let wrong = trial.recover(Some(Loss::Unsynced))?;
    ensure!(wrong.is_empty(), "{what}, after a power cut: {}", wrong.join("\n"));
    Ok(())
}

fn is_ready(trial: &mut Trial) -> Result<bool> {
    let mut admin = Connection::open(trial.server()?.admin)?;
    Ok(admin.ask("GET", "/readyz", &[], &[])?.status == 200)
}

#[test]
fn a_full_disk_is_507_loses_nothing_and_passes() -> Result<()> {
    let seed = settings::seed()?;
    let mut trial = Trial::new(seed)?;
    for (turn, free) in [0, 700, 5_000, 40_000, 600_000].into_iter().enumerate() {
        trial.begin(seed.wrapping_add(turn as u64));
        trial.start()?;
        trial.run(CHANGES, Mood::Strict)?;
        trial.layer.plan(Faults::default());
        trial.layer.limit(Some(free));
        let mut answers = BTreeSet::new();
        let mut full = 0;
        for _ in 0..ATTEMPTS {
            let outcome = trial.run(CHANGES, Mood::Patient)?;
            answers.extend(outcome.trouble.keys().copied());
            full += outcome.trouble.get(&507).copied().unwrap_or(0);
        }
        let failed = trial.layer.record().failed;
        println!("{free} bytes free: {failed} operations failed, {full} requests were answered with 507");
        ensure!(failed > 0 && full > 0, "the disk was never full");
        ensure!(
            answers == BTreeSet::from([507]),
            "a full disk is 507, but the answers were {answers:?}"
        );
        let wrong = trial.verify(Past::Stuck)?;
        ensure!(wrong.is_empty(), "while the disk is full: {}", wrong.join("\n"));
        trial.layer.limit(None);
        recovers(&mut trial, &format!("{free} bytes free"))?;
    }
    Ok(())
}

#[test]
fn a_disk_that_becomes_read_only_still_serves_and_takes_again_when_it_can() -> Result<()> {
    let seed = settings::seed()?;
    let mut trial = Trial::new(seed)?;
    trial.start()?;
    trial.run(CHANGES, Mood::Strict)?;
    ensure!(is_ready(&mut trial)?, "the registry is not ready");
    let before = trial.acknowledged();
    trial.layer.plan(Faults {
        read_only: true,
        ..Faults::default()
    });
    let outcome = trial.run(CHANGES, Mood::Patient)?;
    let failed = trial.layer.record().failed;
    println!("{failed} operations failed, answers: {:?}", outcome.trouble);
    ensure!(failed > 0 && !outcome.trouble.is_empty(), "nothing was refused");
    ensure!(
        trial.acknowledged() == before,
        "something was acknowledged that cannot have been written"
    );
    ensure!(
        !is_ready(&mut trial)?,
        "a registry that cannot write says that it is ready"
    );
    trial.layer.plan(Faults::default());
    ensure!(is_ready(&mut trial)?, "the registry does not get ready again");
    recovers(&mut trial, "read-only")?;
    // Nor does it start on such a disk, and it says why.
    trial.die()?;
    trial.layer.plan(Faults {
        read_only: true,
        ..Faults::default()
    });
    let error = trial.start().err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(
        error.contains("cannot write") && error.contains("Read-only file system"),
        "{error}"
    );
    trial.layer.plan(Faults::default());
    let wrong = trial.recover(None)?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Lets one kind of step fail while the clients work; or while the registry starts, where that is what takes the step.
fn fail(trial: &mut Trial, step: &Step, seed: u64) -> Result<Record> {
    let faults = Faults {
        fail: Some(step.clone()),
        ..Faults::default()
    };
    trial.begin(seed);
    trial.start()?;
    trial.run(CHANGES, Mood::Strict)?;
    trial.layer.plan(faults.clone());
    for _ in 0..ATTEMPTS {
        trial.run(CHANGES, Mood::Patient)?;
        if trial.layer.record().failed > 0 {
            break;
        }
    }
    let record = trial.layer.record();
    if record.failed > 0 {
        trial.layer.plan(Faults::default());
        return Ok(record);
    }
    trial.begin(seed);
    trial.layer.plan(faults);
    let started = trial.start();
    if started.is_ok() {
        trial.run(CHANGES, Mood::Patient)?;
    }
    let record = trial.layer.record();
    trial.layer.plan(Faults::default());
    if let Err(error) = started {
        ensure!(error.to_string().contains("cannot"), "{step}: {error}");
        trial.start()?;
    }
    Ok(record)
}

/// Such a name is there as long as the power is, and lists show it; what is kept of them must not outlast it.
#[test]
fn a_tag_that_could_not_be_synced_is_not_listed_after_a_power_cut() -> Result<()> {
    let seed = settings::seed()?;
    let mut trial = Trial::new(seed)?;
    trial.start()?;
    trial.run(CHANGES, Mood::Strict)?;
    // What keeps the lists is on the disk from here on.
    trial.layer.write_back();
    trial.layer.plan(Faults {
        fail: Some(Step {
            operation: Operation::Sync,
            place: "data/docker/registry/v2/repositories/<name>/<name>/_manifests/tags/<tag>/current".to_owned(),
        }),
        ..Faults::default()
    });
    for _ in 0..ATTEMPTS {
        trial.run(CHANGES, Mood::Patient)?;
    }
    ensure!(trial.layer.record().failed > 0, "nothing failed");
    trial.layer.plan(Faults::default());
    let wrong = trial.verify(Past::Killed)?;
    ensure!(wrong.is_empty(), "before the power cut: {}", wrong.join("\n"));
    // The lists are saved then.
    trial.server()?.stop()?;
    trial.die()?;
    let wrong = trial.recover(Some(Loss::Unsynced))?;
    ensure!(wrong.is_empty(), "after the power cut: {}", wrong.join("\n"));
    Ok(())
}

#[test]
fn each_kind_of_step_may_fail_with_an_io_error_and_nothing_is_lost() -> Result<()> {
    let seed = settings::seed()?;
    let mut trial = Trial::new(seed)?;
    trial.start()?;
    trial.run(2 * CHANGES, Mood::Strict)?;
    let steps = trial.die()?.steps;
    let mut missed = Vec::new();
    let mut hits = 0;
    for (turn, step) in steps.keys().enumerate() {
        let mut seed = seed.wrapping_add(turn as u64);
        let mut failed = 0;
        for _ in 0..MOST_TRIES {
            failed = fail(&mut trial, step, seed)?.failed;
            if failed > 0 {
                break;
            }
            seed = seed.wrapping_add(steps.len() as u64);
        }
        println!("{failed:>4} times: {step}");
        hits += failed;
        if failed == 0 {
            missed.push(step.to_string());
            continue;
        }
        recovers(&mut trial, &step.to_string())?;
    }
    println!("{} kinds of steps, {hits} errors", steps.len());
    ensure!(
        missed.is_empty(),
        "these were never hit, so nothing is known of them: {missed:#?}"
    );
    ensure!(
        steps.keys().any(|step| step.operation == Operation::Read),
        "nothing was read"
    );
    Ok(())
}
