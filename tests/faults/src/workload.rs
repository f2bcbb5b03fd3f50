//! The clients: each asks for one thing after the other, as its seed has it, and notes in its ledger what it is told.

mod content;
mod requests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::http::Connection;
use crate::ledger::{Fate, Key, Ledger};

/// How many clients there are.
pub const CLIENTS: usize = 8;

/// All clients push to all of these; their tags and manifests are their own.
const REPOSITORIES: [&str; 3] = ["team/app", "team/lib", "solo/app"];

/// How clients take answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Each answer must be the one of a registry that works. The connection may end: then the client stops.
    Strict,
    /// Errors that say that the registry has trouble are noted, and the client goes on.
    Patient,
}

/// Why a client stopped.
#[derive(Debug)]
enum Stop {
    /// The registry went away.
    Gone,
    /// It has trouble, and says so.
    Trouble,
    /// It said what it must not say.
    Wrong(String),
}

/// One client, from one life of the registry to the next.
#[derive(Debug)]
pub struct Client {
    /// What it knows.
    pub ledger: Ledger,
    name: String,
    random: StdRng,
    /// How many things it has made: no two are the same.
    made: u64,
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How often each status that means trouble was answered.
    pub trouble: BTreeMap<u16, u64>,
    /// How often a connection ended in the middle.
    pub gone: u64,
    /// What must not be.
    pub wrong: Vec<String>,
}

/// All clients of a run.
pub fn clients(seed: u64) -> Vec<Client> {
    let client = |index: usize| Client {
        ledger: Ledger::default(),
        name: format!("c{index}"),
        random: StdRng::seed_from_u64(seed.wrapping_mul(CLIENTS as u64).wrapping_add(index as u64)),
        made: 0,
    };
    (0..CLIENTS).map(client).collect()
}

/// Lets each client do `changes` things, at the same time.
pub fn run(clients: &mut [Client], address: SocketAddr, changes: usize, mood: Mood) -> Outcome {
    let outcomes = thread::scope(|scope| {
        let running: Vec<_> = clients
            .iter_mut()
            .map(|client| scope.spawn(move || client.run(address, changes, mood)))
            .collect();
        let ended: Vec<Outcome> = running
            .into_iter()
            .map(|client| match client.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect();
        ended
    });
    let mut sum = Outcome::default();
    for outcome in outcomes {
        sum.gone += outcome.gone;
        sum.wrong.extend(outcome.wrong);
        for (status, count) in outcome.trouble {
            *sum.trouble.entry(status).or_default() += count;
        }
    }
    sum
}

impl Client {
    fn run(&mut self, address: SocketAddr, changes: usize, mood: Mood) -> Outcome {
        let mut outcome = Outcome::default();
        let mut connection = None;
        for _ in 0..changes {
            let Ok(open) = connection.take().map_or_else(|| Connection::open(address), Ok) else {
                break;
            };
            let mut asking = requests::Asking {
                connection: open,
                outcome: &mut outcome,
                mood,
            };
            match self.change(&mut asking) {
                Ok(()) => connection = Some(asking.connection),
                // The rest of the request may still be on this connection.
                Err(Stop::Trouble) => {}
                Err(Stop::Gone) => {
                    outcome.gone += 1;
                    if mood == Mood::Strict {
                        break;
                    }
                }
                Err(Stop::Wrong(what)) => {
                    outcome.wrong.push(format!("{}: {what}", self.name));
                    break;
                }
            }
        }
        outcome
    }

    /// Does one thing. Where there is nothing to do it to, something is pushed instead.
    fn change(&mut self, asking: &mut requests::Asking<'_>) -> Result<(), Stop> {
        let doubtful = self.doubtful_blob().filter(|_| self.random.random());
        if let Some(key) = doubtful {
            return self.push_again(asking, &key);
        }
        let repository = (*REPOSITORIES.choose(&mut self.random).unwrap_or(&"solo/app")).to_owned();
        match self.random.random_range(0..100) {
            0..14 => self.push_shared(asking, &repository),
            14..24 => self.push_own(asking, &repository),
            24..32 => self.leave_upload(asking, &repository),
            32..38 => self.resume_upload(asking),
            38..42 => self.cancel_upload(asking),
            42..48 => self.delete_blob(asking),
            48..54 => self.mount(asking, &repository),
            54..74 => self.push_manifest(asking, &repository),
            74..84 => self.move_tag(asking),
            84..89 => self.delete_tag(asking),
            89..93 => self.delete_manifest(asking),
            _ => self.read(asking),
        }
    }

    /// Any of those keys that `wanted` lets through.
    fn pick<'a, T: 'a>(
        random: &mut StdRng,
        things: impl IntoIterator<Item = (&'a Key, &'a T)>,
        wanted: impl Fn(&Key, &T) -> bool,
    ) -> Option<Key> {
        let keys: Vec<&Key> = things
            .into_iter()
            .filter(|(key, thing)| wanted(key, thing))
            .map(|(key, _)| key)
            .collect();
        keys.choose(random).map(|key| (*key).clone())
    }

    fn present_manifest(&mut self) -> Option<Key> {
        Self::pick(&mut self.random, &self.ledger.manifests, |_, manifest| {
            manifest.fate == Fate::Present
        })
    }
}
