//! What is measured.

mod decisions;
mod flood;
mod lists;
mod manifests;
mod memory;
mod pull;
mod push;
mod start;
mod wrk;

use anyhow::Result;
use clap::ValueEnum;

use crate::contest::Contest;
use crate::figure::Row;

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mark {
    /// Large blobs, from the page cache.
    Pull,
    /// Large blobs, pushed as Docker does it.
    Push,
    /// Small manifests by tag.
    Manifests,
    /// The base, with credentials and without.
    SignedIn,
    /// Pulls while wrong passwords come.
    Flood,
    /// Memory, idle and under load.
    Memory,
    /// Pages of long lists.
    Lists,
    /// From the start to the first answer.
    Start,
    /// Policies, without a server.
    Decisions,
}

impl Mark {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Pull => "pulling 512 MiB from the page cache",
            Self::Push => "pushing 512 MiB",
            Self::Manifests => "manifests by tag",
            Self::SignedIn => "requests with credentials",
            Self::Flood => "pulls while wrong passwords come",
            Self::Memory => "memory",
            Self::Lists => "pages of long lists",
            Self::Start => "starting",
            Self::Decisions => "decisions of policies",
        }
    }

    pub(crate) fn measure(self, contest: &Contest) -> Result<Vec<Row>> {
        match self {
            Self::Pull => pull::measure(contest),
            Self::Push => push::measure(contest),
            Self::Manifests => manifests::by_tag(contest),
            Self::SignedIn => manifests::signed_in(contest),
            Self::Flood => flood::measure(contest),
            Self::Memory => memory::measure(contest),
            Self::Lists => lists::measure(contest),
            Self::Start => start::measure(contest),
            Self::Decisions => decisions::measure(contest),
        }
    }
}

/// The ones that were asked for; all where none was.
pub(crate) fn selected(only: &[Mark]) -> Vec<Mark> {
    let is_wanted = |mark: &Mark| only.is_empty() || only.contains(mark);
    Mark::value_variants().iter().copied().filter(is_wanted).collect()
}
