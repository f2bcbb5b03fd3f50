//! Servers taking turns, so that what disturbs the machine disturbs all of them.

use std::path::PathBuf;

use anyhow::Result;

use crate::figure::Figures;
use crate::peer::{Binaries, Peer, Server};

/// What every measurement needs.
#[derive(Debug, Clone)]
pub(crate) struct Contest {
    pub(crate) binaries: Binaries,
    /// For the stores.
    pub(crate) folder: PathBuf,
    /// In memory, for stores of so many files that a disk would take long to make and remove them. Nothing is measured there
    /// that reads more than names.
    pub(crate) memory: PathBuf,
    pub(crate) rounds: usize,
}

impl Contest {
    /// Starts each peer on an empty store of its own; `name` tells the stores of different measurements apart.
    pub(crate) fn start_all(&self, name: &str) -> Result<Vec<(Peer, Server)>> {
        Peer::ALL
            .into_iter()
            .map(|peer| Ok((peer, self.start(peer, name)?)))
            .collect()
    }

    /// Starts one peer on a store of its own.
    pub(crate) fn start(&self, peer: Peer, name: &str) -> Result<Server> {
        self.binaries.start(peer, &self.store(peer, name))
    }

    /// Where a peer's store is.
    pub(crate) fn store(&self, peer: Peer, name: &str) -> PathBuf {
        self.folder.join(name).join(peer.name())
    }

    /// The same contest with all stores in memory.
    pub(crate) fn in_memory(&self) -> Self {
        Self {
            folder: self.memory.clone(),
            ..self.clone()
        }
    }

    /// Lets each server have its turn, round by round; `turn` returns one figure for each of `N` rows.
    pub(crate) fn rounds<const N: usize>(
        &self,
        servers: &[(Peer, Server)],
        mut turn: impl FnMut(Peer, &Server) -> Result<[f64; N]>,
    ) -> Result<[Vec<(String, Figures)>; N]> {
        let column = |(peer, _): &(Peer, Server)| (peer.name().to_owned(), Figures::default());
        let mut rows = std::array::from_fn(|_| servers.iter().map(column).collect::<Vec<_>>());
        for round in 0..self.rounds {
            for at in 0..servers.len() {
                // Nobody is always the one behind the same other.
                let at = (at + round) % servers.len();
                let (peer, server) = &servers[at];
                let figures = turn(*peer, server)?;
                for (row, figure) in rows.iter_mut().zip(figures) {
                    row[at].1.add(figure);
                }
            }
        }
        Ok(rows)
    }
}
