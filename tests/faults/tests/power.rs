//! Power cuts on a disk that forgets what was not synced: at random, before and after every kind of step, and with every
//! kind of sync left out, which must be noticed.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use faults::trial::Trial;
use faults::workload::Mood;
use faults::{Faults, Kill, Loss, Operation, Side, Step, Which, settings};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// How many things each client does in a life.
const CHANGES: usize = 15;
/// After how many kills a new store is begun.
const LIVES: u64 = 10;

/// How often a sync is left out before it counts as one that nobody misses: of those that matter to few requests, most lives lose
/// nothing, and fewer still where the machine is busy.
const MOST_TRIES: usize = 40;

/// A file that holds nothing which could not be read again elsewhere: it need not survive a power cut.
const DERIVED: &str = "wharfinger/listing.redb";

/// Every kind of step that a life of a registry consists of, and how often it took it; and those of a second start.
fn steps(trial: &mut Trial, seed: u64) -> Result<BTreeMap<Step, u64>> {
    trial.begin(seed);
    let mut steps = trial.run_and_die(Faults::default(), 2 * CHANGES)?.steps;
    let wrong = trial.recover(Some(Loss::Unsynced))?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (step, _) in trial.die()?.steps {
        steps.entry(step).or_insert(1);
    }
    Ok(steps)
}

fn loss(random: &mut StdRng) -> Option<Loss> {
    match random.random_range(0..4) {
        0 => None,
        1 => Some(Loss::Some(Box::new(StdRng::seed_from_u64(random.random())))),
        _ => Some(Loss::Unsynced),
    }
}

#[test]
fn a_power_cut_at_any_step_takes_nothing_that_was_acknowledged() -> Result<()> {
    let seed = settings::seed()?;
    let mut random = StdRng::seed_from_u64(seed);
    let mut trial = Trial::new(seed)?;
    let kills = settings::kills()?;
    let (mut planned, mut acknowledged) = (0, 0);
    while trial.kills < kills {
        trial.begin(random.random());
        for _ in 0..LIVES.min(kills - trial.kills) {
            let kill = Kill {
                which: Which::Any,
                skip: random.random_range(0..1_500),
                side: if random.random() { Side::Before } else { Side::After },
            };
            let faults = Faults {
                kill: Some(kill),
                ..Faults::default()
            };
            if random.random_bool(0.3) {
                trial.layer.write_back();
            }
            planned += u64::from(trial.run_and_die(faults, CHANGES)?.killed);
            let wrong = trial.recover(loss(&mut random))?;
            ensure!(wrong.is_empty(), "after {} kills: {}", trial.kills, wrong.join("\n"));
        }
        acknowledged += trial.acknowledged();
    }
    println!(
        "{} kills, {planned} in the middle of a step, {acknowledged} changes acknowledged",
        trial.kills
    );
    ensure!(planned > 0, "no kill interrupted anything, so nothing was proven");
    Ok(())
}

#[test]
fn a_power_cut_before_or_after_each_kind_of_step_takes_nothing_that_was_acknowledged() -> Result<()> {
    let seed = settings::seed()?;
    let mut random = StdRng::seed_from_u64(seed);
    let mut trial = Trial::new(seed)?;
    let steps = steps(&mut trial, seed)?;
    let mut unreached = Vec::new();
    let mut wrong = Vec::new();
    for (step, count) in steps.iter().filter(|(step, _)| step.operation != Operation::Read) {
        for side in [Side::Before, Side::After] {
            let mut skip = random.random_range(0..count.div_ceil(3));
            let mut is_reached = false;
            for _ in 0..5 {
                trial.begin(random.random());
                let kill = Kill {
                    which: Which::Only(step.clone()),
                    skip,
                    side,
                };
                let faults = Faults {
                    kill: Some(kill),
                    ..Faults::default()
                };
                is_reached = trial.run_and_die(faults, CHANGES)?.killed;
                // At first only the process is gone, half of the time: what is seen then need not be on the disk.
                let found = trial.recover(random.random::<bool>().then_some(Loss::Unsynced))?;
                wrong.extend(found.into_iter().map(|what| format!("{side:?} {step}: {what}")));
                // What clients rely on now must last.
                trial.run_and_die(Faults::default(), 3)?;
                let found = trial.recover(Some(Loss::Unsynced))?;
                wrong.extend(
                    found
                        .into_iter()
                        .map(|what| format!("later than {side:?} {step}: {what}")),
                );
                skip = 0;
                if is_reached {
                    break;
                }
            }
            if !is_reached {
                unreached.push(format!("{side:?} {step}"));
            }
        }
    }
    println!("{} kinds of steps, {} kills", steps.len(), trial.kills);
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(unreached.is_empty(), "never reached again: {unreached:?}");
    Ok(())
}

/// Whether a power cut is noticed when one kind of sync is left out: from the beginning, or once the disk has had time to
/// write everything by itself.
fn is_noticed(trial: &mut Trial, step: &Step, seed: u64, has_time: bool) -> Result<Option<String>> {
    trial.begin(seed);
    if has_time {
        trial.start()?;
        trial.run(CHANGES, Mood::Strict)?;
        trial.layer.write_back();
    }
    let faults = Faults {
        ignore: Some(step.clone()),
        ..Faults::default()
    };
    let record = trial.run_and_die(faults, CHANGES)?;
    if record.ignored == 0 {
        return Ok(None);
    }
    Ok(trial.recover(Some(Loss::Unsynced))?.into_iter().next())
}

#[test]
fn each_kind_of_sync_that_is_left_out_is_noticed() -> Result<()> {
    let seed = settings::seed()?;
    let mut random = StdRng::seed_from_u64(seed);
    let mut trial = Trial::new(seed)?;
    let steps = steps(&mut trial, seed)?;
    let mut unnoticed = Vec::new();
    let is_needed = |step: &&Step| step.operation == Operation::Sync && !step.place.ends_with(DERIVED);
    for step in steps.keys().filter(is_needed) {
        let mut noticed = None;
        for has_time in [false, true].into_iter().cycle().take(MOST_TRIES) {
            noticed = is_noticed(&mut trial, step, random.random(), has_time)?;
            if noticed.is_some() {
                break;
            }
        }
        match noticed {
            Some(what) => println!("without `{step}`: {what}"),
            None => unnoticed.push(step.to_string()),
        }
    }
    ensure!(unnoticed.is_empty(), "nobody misses these: {unnoticed:#?}");
    Ok(())
}
