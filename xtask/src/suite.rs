//! `cargo xtask test`: everything that CI runs, in parts with names, times and one closing count.

mod audit;
mod chart;
mod counts;
mod licences;
mod reasons;
mod schemas;
mod tests;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use node::{Neighbours, Node, Options, Progress, Tools, install_regctl, install_token_server};

use crate::build::{self, Program};
use crate::cluster::{self, Settings};
use crate::suite::counts::Counts;
use crate::{exec, image, repository, terminal};

/// The test cluster's name.
const NODE: &str = "test";

/// A part of the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// `cargo fmt --check`
    Format,
    /// The programs of the test cluster.
    Tools,
    /// Everything of the workspace.
    Build,
    /// `cargo clippy`, warnings are errors.
    Clippy,
    /// `cargo doc`, warnings are errors.
    Docs,
    /// `cargo deny`: licences, banned and duplicate crates, advisories where their database can be reached.
    Licences,
    /// Unit and integration tests, which need no cluster.
    Unit,
    /// Kills, power cuts, full and failing disks; needs root and /dev/fuse.
    Faults,
    /// The registry beside other real programs: a store goes to CNCF Distribution and back, clients come through nginx, traces go to a
    /// collector.
    Neighbours,
    /// `helm lint` and `helm template`.
    Chart,
    /// The test cluster's own tests.
    Selftest,
    /// The test cluster, with the operator installed by the chart.
    Cluster,
    /// kubeconform: the chart and the examples against the schemas of that very API server.
    Manifests,
    /// End-to-end tests on the test cluster.
    E2e,
    /// The API server never refused the operator anything.
    Audit,
    /// Nothing is left of the test cluster.
    Down,
}

impl Part {
    fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    /// What must have been done before.
    fn needs(self) -> &'static [Self] {
        match self {
            Self::Format | Self::Tools | Self::Build | Self::Clippy | Self::Docs | Self::Licences => &[],
            Self::Unit | Self::Faults | Self::Neighbours => &[Self::Build],
            Self::Chart | Self::Down => &[Self::Tools],
            Self::Selftest | Self::Cluster => &[Self::Tools, Self::Build],
            Self::Manifests | Self::E2e | Self::Audit => &[Self::Cluster],
        }
    }
}

/// What is to be run.
pub(crate) enum Selection {
    /// These parts and what they need; all of them if none is named.
    Parts(Vec<Part>),
    /// The long measurement, and the long run of kills.
    Soak,
}

impl Selection {
    fn parts(&self) -> Vec<Part> {
        let named = match self {
            Self::Parts(parts) if parts.is_empty() => return Part::value_variants().to_vec(),
            Self::Parts(parts) => parts.clone(),
            Self::Soak => vec![Part::Faults, Part::E2e, Part::Down],
        };
        let mut wanted = named;
        let mut at = 0;
        while let Some(part) = wanted.get(at).copied() {
            wanted.extend(part.needs());
            at += 1;
        }
        Part::value_variants()
            .iter()
            .copied()
            .filter(|part| wanted.contains(part))
            .collect()
    }

    /// Whether the cluster is made anew, so that nothing of an earlier run can help or harm.
    fn is_fresh(&self) -> bool {
        self.parts().contains(&Part::Down)
    }
}

/// Runs the parts, goes on to the end whatever fails, and says what came of it.
pub(crate) fn run(selection: &Selection, filter: &[String]) -> ExitCode {
    let mut suite = Suite {
        progress: Progress::to(|line| terminal::line(line)),
        is_soak: matches!(selection, Selection::Soak),
        is_fresh: selection.is_fresh(),
        filter: filter.to_vec(),
        tools: None,
        programs: Vec::new(),
        node: None,
        counts: Counts::default(),
    };
    let begun = Instant::now();
    say_free_space();
    let mut report: Vec<Row> = Vec::new();
    for part in selection.parts() {
        terminal::heading(part.name());
        let missing = part
            .needs()
            .iter()
            .find(|need| report.iter().any(|row| row.part == **need && row.is_failure()));
        let started = Instant::now();
        let outcome = match missing {
            Some(need) => Err(anyhow::anyhow!("not run, because `{}` failed", need.name())),
            None => suite.run(part),
        };
        if let Err(error) = &outcome {
            terminal::line(format_args!("FAILED: {error:#}"));
        }
        report.push(Row {
            part,
            took: started.elapsed(),
            outcome,
        });
    }
    terminal::heading("summary");
    for row in &report {
        terminal::line(row);
    }
    terminal::line(format_args!("{:<12}{:>8.1} s", "all", begun.elapsed().as_secs_f64()));
    say_free_space();
    // Said again, because it may stand far above.
    for row in &report {
        if let Err(error) = &row.outcome {
            terminal::line(format_args!("FAILED: {}: {error:#}", row.part.name()));
        }
    }
    terminal::line(suite.counts);
    if report.iter().any(Row::is_failure) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// A full disk shows itself in ways that are hard to read; this makes it easy.
fn say_free_space() {
    match node::free_space(repository::root()) {
        Ok(bytes) => terminal::line(format_args!("free on the disk: {} GiB", bytes >> 30)),
        Err(error) => terminal::line(format_args!("{error:#}")),
    }
}

/// How a part ended.
struct Row {
    part: Part,
    took: Duration,
    /// What is worth saying about a success; often nothing.
    outcome: Result<String>,
}

impl Row {
    fn is_failure(&self) -> bool {
        self.outcome.is_err()
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (end, said) = match &self.outcome {
            Ok(said) => ("ok", said.as_str()),
            Err(_) => ("FAILED", ""),
        };
        let row = format!(
            "{:<12}{:>8.1} s  {end:<7} {said}",
            self.part.name(),
            self.took.as_secs_f64()
        );
        f.write_str(row.trim_end())
    }
}

/// What the parts hand to each other.
struct Suite {
    progress: Progress,
    is_soak: bool,
    is_fresh: bool,
    filter: Vec<String>,
    tools: Option<Tools>,
    programs: Vec<Program>,
    node: Option<Node>,
    counts: Counts,
}

impl Suite {
    fn run(&mut self, part: Part) -> Result<String> {
        match part {
            Part::Format => exec::run(repository::cargo("fmt").args(["--all", "--check"]))?,
            Part::Tools => self.tools = Some(Tools::install(&self.progress)?),
            Part::Build => self.programs = build::everything()?,
            Part::Clippy => {
                exec::run(repository::cargo("clippy").args(["--workspace", "--all-targets", "--", "--deny=warnings"]))?;
            }
            Part::Docs => {
                let mut doc = repository::cargo("doc");
                doc.args(["--workspace", "--no-deps", "--document-private-items"])
                    .env("RUSTDOCFLAGS", "--deny=warnings");
                exec::run(&mut doc)?;
            }
            Part::Licences => return licences::check(),
            Part::Unit => return tests::unit(&self.programs, &self.filter, &mut self.counts),
            Part::Faults => return tests::faults(&self.programs, self.kind(), &self.filter, &mut self.counts),
            Part::Neighbours => {
                let others = Neighbours::install(&self.progress)?;
                return tests::neighbours(&self.programs, &others, &self.filter, &mut self.counts);
            }
            Part::Chart => chart::check(self.tools()?)?,
            Part::Selftest => self.selftest()?,
            Part::Cluster => self.start_cluster()?,
            Part::Manifests => return schemas::check(self.node()?),
            Part::E2e => {
                let node = self.node.as_ref().context("there is no test cluster")?;
                let regctl = install_regctl(&self.progress)?;
                let token_server = install_token_server(&self.progress)?;
                let current_docker = node.current_docker(&self.progress)?;
                let clients = tests::Clients {
                    regctl: &regctl,
                    token_server: &token_server,
                    current_docker: &current_docker,
                    plugin: build::find(&self.programs, "kubectl-wharfinger")?,
                };
                return tests::end_to_end(
                    node,
                    &self.programs,
                    &clients,
                    self.kind(),
                    &self.filter,
                    &mut self.counts,
                );
            }
            Part::Audit => return audit::check(&self.node()?.audit_log()),
            Part::Down => Node::find(&Options::new(NODE), self.tools()?)?.down(&self.progress)?,
        }
        Ok(String::new())
    }

    fn kind(&self) -> tests::Kind {
        if self.is_soak {
            tests::Kind::Soak
        } else {
            tests::Kind::Short
        }
    }

    fn tools(&self) -> Result<&Tools> {
        self.tools.as_ref().context("the programs are not installed")
    }

    fn node(&self) -> Result<&Node> {
        self.node.as_ref().context("there is no test cluster")
    }

    fn start_cluster(&mut self) -> Result<()> {
        let tools = self.tools()?;
        let options = Options::new(NODE);
        if self.is_fresh {
            Node::find(&options, tools)?.down(&self.progress)?;
        }
        let images = image::stage_all(&self.programs)?;
        let node = Node::up(&options, tools, &self.progress)?;
        cluster::load_images(&node, &images, &self.progress)?;
        // The tests search the operator's log for secrets, so it should say all it can.
        cluster::install(&node, &images, &Settings { log_level: "trace" }, &self.progress)?;
        self.progress.step("starting the Docker Engine");
        node.docker()?;
        self.node = Some(node);
        Ok(())
    }

    /// A node of its own, which the test cluster's does not disturb.
    fn selftest(&self) -> Result<()> {
        let mut command = std::process::Command::new(build::find(&self.programs, "node")?);
        command.args(["--name", "selftest", "selftest"]);
        match exec::watch(&mut command, Duration::from_mins(15), |line| terminal::line(line))? {
            exec::End::Exited(status) if status.success() => Ok(()),
            exec::End::Exited(status) => bail!("the self-test ended with {status}"),
            exec::End::TooLate => bail!("the self-test took more than 15 minutes"),
        }
    }
}

#[cfg(test)]
mod selection {
    use super::*;

    #[test]
    fn every_part_comes_after_what_it_needs() {
        let order = Part::value_variants();
        let place = |part: &Part| order.iter().position(|other| other == part);
        for part in order {
            for need in part.needs() {
                assert!(place(need) < place(part), "{part:?} needs {need:?}");
            }
        }
    }

    #[test]
    fn one_part_brings_what_it_needs_and_leaves_the_cluster_running() {
        let only = Selection::Parts(vec![Part::E2e]);
        assert_eq!(only.parts(), [Part::Tools, Part::Build, Part::Cluster, Part::E2e]);
        assert!(!only.is_fresh());
        assert!(Selection::Parts(Vec::new()).is_fresh());
        assert_eq!(Selection::Soak.parts().last(), Some(&Part::Down));
    }
}
