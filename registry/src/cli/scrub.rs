//! `scrub`: a store is read to its end, and what is damaged in it told or moved aside.

mod progress;

use std::process::ExitCode;
use std::time::Instant;

use registry_config::Storage;

use super::{ScrubArguments, serve};
use crate::store::{self, Mode, Totals};
use progress::{Bytes, Progress};

/// There was damage, whether or not it was repaired.
const DAMAGED: u8 = 1;
/// The store was not looked through.
const FAILED: u8 = 2;
/// How far this process steps back behind others, on the scale of nice(1).
const NICENESS: i32 = 10;

/// Reads the store that a server document names.
pub(super) fn run(arguments: &ScrubArguments) -> ExitCode {
    match scrub(arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(DAMAGED),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

/// How much is damaged.
fn scrub(arguments: &ScrubArguments) -> anyhow::Result<u64> {
    let config = serve::read_config(&arguments.config)?;
    let Storage::Filesystem(storage) = &config.storage;
    let mode = if arguments.repair { Mode::Repair } else { Mode::Report };
    // Who pulls comes first. Where that may not be, the scrub is only in the way.
    let _ = rustix::process::nice(NICENESS);
    let begun = Instant::now();
    let progress = Progress::start();
    let scrubbed = store::scrub(&storage.root, mode, &progress);
    progress.end();
    let totals = scrubbed?;
    for line in summary(&totals, mode, begun) {
        progress::line(line);
    }
    Ok(totals.damaged)
}

fn summary(totals: &Totals, mode: Mode, begun: Instant) -> Vec<String> {
    let Totals {
        blobs,
        bytes,
        repositories,
        links,
        damaged,
        notes,
        quarantine,
    } = totals;
    let mut lines = vec![
        format!(
            "read {blobs} blobs and manifests ({}) and {links} links in {repositories} repositories in {:.1} s",
            Bytes(*bytes),
            begun.elapsed().as_secs_f64()
        ),
        format!("in all {damaged} damaged, {notes} notes"),
    ];
    match (mode, quarantine) {
        (Mode::Report, _) if *damaged > 0 => lines.push(
            "nothing was changed; a registry goes on serving damaged blobs: stop it, run this again with `--repair`, start \
             it, and push again what is named above"
                .to_owned(),
        ),
        (Mode::Repair, Some(path)) => lines.push(format!(
            "what was moved is in `{}`, under the paths that it had; push again what is named above, then scrub again",
            path.display()
        )),
        (Mode::Repair, None) if *damaged > 0 => lines.push("nothing of it could be put right: do what each line says".to_owned()),
        (Mode::Report | Mode::Repair, _) => {}
    }
    lines
}
