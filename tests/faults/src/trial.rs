//! [`Trial`]: a store, its clients and the process in between, through any number of lives.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::ledger::Ledger;
use crate::server::{Program, Server};
use crate::verify::{self, Past};
use crate::workload::{self, Client, Mood, Outcome};
use crate::{Faults, Layer, Loss, Record};

/// The store's directory below the mount point; the registry makes it.
const ROOT: &str = "data";

/// A registry on a [`Layer`], and its clients.
#[derive(Debug)]
pub struct Trial {
    // It goes before its disk, which could not be unmounted otherwise.
    server: Option<Server>,
    /// Its disk.
    pub layer: Layer,
    /// Who knows what must be there.
    pub clients: Vec<Client>,
    /// How often the registry was killed.
    pub kills: u64,
    program: Program,
}

impl Trial {
    /// An empty disk and clients that know nothing. No registry runs.
    ///
    /// # Errors
    /// Where FUSE is missing or the registry was not built.
    pub fn new(seed: u64) -> Result<Self> {
        let layer = Layer::mount()?;
        Ok(Self {
            program: Program::find(&layer.path().join(ROOT))?,
            layer,
            clients: workload::clients(seed),
            kills: 0,
            server: None,
        })
    }

    /// Begins again with an empty disk and clients that know nothing.
    pub fn begin(&mut self, seed: u64) {
        self.server = None;
        self.layer.plan(Faults::default());
        self.layer.wipe();
        self.clients = workload::clients(seed);
    }

    /// Starts the registry.
    ///
    /// # Errors
    /// With what it said, where it does not start.
    pub fn start(&mut self) -> Result<()> {
        let layer = &self.layer;
        let server = self
            .program
            .start(|command| layer.start(|| command.spawn().context("cannot start the registry")))?;
        self.server = Some(server);
        Ok(())
    }

    /// The registry that runs.
    ///
    /// # Errors
    /// Where none was started.
    pub fn server(&mut self) -> Result<&mut Server> {
        self.server.as_mut().context("no registry was started")
    }

    /// Lets the clients work.
    ///
    /// # Errors
    /// Where the registry answered what it must not.
    pub fn run(&mut self, changes: usize, mood: Mood) -> Result<Outcome> {
        let address = self.server()?.address;
        let outcome = workload::run(&mut self.clients, address, changes, mood);
        let log = self.server()?.log();
        ensure!(
            outcome.wrong.is_empty(),
            "{}\nthe log ends with\n{}",
            outcome.wrong.join("\n"),
            tail(&log)
        );
        Ok(outcome)
    }

    /// Lets the clients work while the plan says when the registry dies. It is dead afterwards, by then at the latest.
    ///
    /// # Errors
    /// Where the registry answered what it must not, or ended by itself.
    pub fn run_and_die(&mut self, faults: Faults, changes: usize) -> Result<Record> {
        self.layer.plan(faults);
        if self.server.is_none() {
            let started = self.start();
            if started.is_err() && !self.layer.record().killed {
                return Err(started.err().context("it failed")?);
            }
        }
        if self.server.is_some() {
            self.run(changes, Mood::Strict)?;
            let is_planned = self.layer.record().killed;
            let server = self.server()?;
            ensure!(
                is_planned || server.is_running()?,
                "the registry ended by itself:\n{}",
                server.log()
            );
        }
        self.die()
    }

    /// Kills the registry, if it still lives. Returns what happened since the plan was made, and ends the plan.
    ///
    /// # Errors
    /// Where the system does not let it be killed.
    pub fn die(&mut self) -> Result<Record> {
        if let Some(mut server) = self.server.take() {
            server.kill()?;
        }
        self.kills += 1;
        let record = self.layer.record();
        self.layer.plan(Faults::default());
        Ok(record)
    }

    /// Looks through the store, and repairs it if asked to, while the plan says what goes wrong. Returns the exit code, none where
    /// it was killed, and what it said; and what happened.
    ///
    /// # Errors
    /// Where it cannot be started or waited for.
    pub fn scrub(&mut self, repair: bool, faults: Faults) -> Result<(Option<i32>, String, Record)> {
        self.server = None;
        self.layer.plan(faults);
        let layer = &self.layer;
        let (code, said) = self.program.scrub(repair, |command| {
            layer.start(|| command.spawn().context("cannot start the scrub"))
        })?;
        let record = self.layer.record();
        self.layer.plan(Faults::default());
        Ok((code, said, record))
    }

    /// Starts the registry again, after a power cut if there is a `loss`, and returns what is wrong then.
    ///
    /// # Errors
    /// Where it does not start or goes away.
    pub fn recover(&mut self, loss: Option<Loss>) -> Result<Vec<String>> {
        let past = if loss.is_some() { Past::Cut } else { Past::Killed };
        if let Some(loss) = loss {
            self.layer.cut_power(loss);
        }
        self.start()?;
        self.verify(past)
    }

    /// Compares the registry that runs with what the clients know, and returns what is wrong.
    ///
    /// # Errors
    /// Where it goes away.
    pub fn verify(&mut self, past: Past) -> Result<Vec<String>> {
        let address = self.server()?.address;
        let ledgers = self.clients.iter_mut().map(|client| &mut client.ledger);
        let mut wrong = verify::verify(address, ledgers, past)?;
        wrong.extend(verify::files(&self.layer.files(&Path::new(ROOT).join("docker"))));
        Ok(wrong)
    }

    /// How many changes were acknowledged in all.
    pub fn acknowledged(&self) -> u64 {
        self.ledgers().map(|ledger| ledger.acknowledged).sum()
    }

    fn ledgers(&self) -> impl Iterator<Item = &Ledger> {
        self.clients.iter().map(|client| &client.ledger)
    }
}

/// The last lines of a log.
pub fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
