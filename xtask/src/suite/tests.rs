//! Running test binaries that are already built: unit and integration tests here, end-to-end tests on the node.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use node::{Engine, Neighbours, Node};

use crate::build::Program;
use crate::exec::{self, End};
use crate::suite::counts::Counts;
use crate::suite::reasons::Reasons;
use crate::{repository, terminal};

/// The package of the end-to-end tests.
const END_TO_END: &str = "e2e";

/// The package of the tests of crashes and failing disks; its own unit tests are in a binary of the same name.
const FAULTS: &str = "faults";

/// The package of the tests with other programs; it has no tests of its own.
const NEIGHBOURS: &str = "neighbours";

/// How much the end-to-end tests and those of crashes do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All of them, with 50 changes of each kind where they measure and 60 kills where they kill at random.
    Short,
    /// Of the end-to-end tests only those that measure, with 200; those of crashes with 1000 kills.
    Soak,
}

/// All tests that need no cluster, those in the documentation among them.
pub(crate) fn unit(programs: &[Program], filter: &[String], counts: &mut Counts) -> Result<String> {
    let mut sum = Counts::default();
    let mut failed = Vec::new();
    for program in programs
        .iter()
        .filter(|program| program.is_test && ![END_TO_END, NEIGHBOURS].contains(&program.package.as_str()))
        .filter(|program| !is_fault(program))
    {
        let mut command = Command::new(&program.executable);
        command.args(filter).current_dir(&program.folder);
        repository::forget_cargo(&mut command);
        command
            .env("CARGO_MANIFEST_DIR", &program.folder)
            .env("INSTA_UPDATE", "no");
        binary(program, &mut command, Duration::from_mins(10), &mut sum, &mut failed)?;
    }
    // Cargo builds and runs these itself; there is nothing that could have been built before.
    let mut doc = repository::cargo("test");
    doc.args(["--workspace", "--doc", "--no-fail-fast"]);
    if filter.is_empty() {
        one(
            "documentation",
            &mut doc,
            Duration::from_mins(20),
            print,
            &mut sum,
            &mut failed,
        )?;
    }
    *counts += sum;
    conclude(sum, &failed)
}

/// Whether this breaks a registry's process or disk.
fn is_fault(program: &Program) -> bool {
    program.is_test && program.package == FAULTS && program.name != FAULTS
}

/// The tests that kill the registry and break its disk.
pub(crate) fn faults(programs: &[Program], kind: Kind, filter: &[String], counts: &mut Counts) -> Result<String> {
    let (kills, limit) = match kind {
        Kind::Short => ("60", Duration::from_mins(20)),
        Kind::Soak => ("1000", Duration::from_hours(4)),
    };
    let mut sum = Counts::default();
    let mut failed = Vec::new();
    for program in programs.iter().filter(|program| is_fault(program)) {
        let mut command = Command::new(&program.executable);
        // What they count should be seen; and one at a time, so that none starves the other.
        command
            .args(["--nocapture", "--test-threads=1"])
            .args(filter)
            .current_dir(&program.folder);
        repository::forget_cargo(&mut command);
        command.env(
            "WHARFINGER_KILLS",
            std::env::var("WHARFINGER_KILLS").as_deref().unwrap_or(kills),
        );
        binary(program, &mut command, limit, &mut sum, &mut failed)?;
    }
    *counts += sum;
    conclude(sum, &failed)
}

/// The tests with other programs.
pub(crate) fn neighbours(
    programs: &[Program],
    others: &Neighbours,
    filter: &[String],
    counts: &mut Counts,
) -> Result<String> {
    let mut sum = Counts::default();
    let mut failed = Vec::new();
    for program in programs
        .iter()
        .filter(|program| program.is_test && program.package == NEIGHBOURS)
    {
        let mut command = Command::new(&program.executable);
        command.args(filter).current_dir(&program.folder);
        repository::forget_cargo(&mut command);
        command.env("WHARFINGER_DISTRIBUTION", &others.distribution);
        command.env("WHARFINGER_COLLECTOR", &others.collector);
        binary(program, &mut command, Duration::from_mins(5), &mut sum, &mut failed)?;
    }
    *counts += sum;
    conclude(sum, &failed)
}

/// Programs that the end-to-end tests start and that are not the node's.
pub(crate) struct Clients<'a> {
    /// `regctl`.
    pub(crate) regctl: &'a Path,
    /// The token server of CNCF Distribution.
    pub(crate) token_server: &'a Path,
    /// The current Docker Engine; Debian's is where every command of the node finds it.
    pub(crate) current_docker: &'a Engine,
    /// The plugin of `kubectl`.
    pub(crate) plugin: &'a Path,
}

/// The end-to-end tests, within the node's network namespace.
pub(crate) fn end_to_end(
    node: &Node,
    programs: &[Program],
    clients: &Clients<'_>,
    kind: Kind,
    filter: &[String],
    counts: &mut Counts,
) -> Result<String> {
    // Where much fails, each failure waits for minutes; so the limit is for all of them together.
    let (changes, limit) = match kind {
        Kind::Short => ("50", Duration::from_mins(30)),
        Kind::Soak => ("200", Duration::from_hours(3)),
    };
    let deadline = Instant::now() + limit;
    let wanted = |program: &&Program| {
        program.is_test && program.package == END_TO_END && (kind == Kind::Short || program.name.contains("latency"))
    };
    let mut sum = Counts::default();
    let mut failed = Vec::new();
    let mut any = false;
    for program in programs.iter().filter(wanted) {
        any = true;
        let mut command = node.command(&program.executable);
        // What they measure should be seen; and one at a time, because several of them stop parts of the cluster.
        command
            .args(["--nocapture", "--test-threads=1"])
            .args(filter)
            .current_dir(&program.folder);
        repository::forget_cargo(&mut command);
        command.envs(variables(node)).env(
            "WHARFINGER_CHANGES",
            std::env::var("WHARFINGER_CHANGES").as_deref().unwrap_or(changes),
        );
        command.env("CARGO_MANIFEST_DIR", &program.folder);
        command.env("WHARFINGER_PLUGIN", clients.plugin);
        command.env("WHARFINGER_REGCTL", clients.regctl);
        command.env("WHARFINGER_CURRENT_DOCKER", &clients.current_docker.client);
        command.env("WHARFINGER_CURRENT_DOCKER_HOST", &clients.current_docker.host);
        command.env("WHARFINGER_TOKEN_SERVER", clients.token_server);
        let left = deadline.saturating_duration_since(Instant::now());
        binary(program, &mut command, left, &mut sum, &mut failed)?;
    }
    if !any {
        bail!("there are no such tests in the package `{END_TO_END}`");
    }
    *counts += sum;
    conclude(sum, &failed)
}

/// What end-to-end tests are told about where they run, besides what [`Node::command`] says.
fn variables(node: &Node) -> [(&'static str, std::ffi::OsString); 4] {
    [
        ("WHARFINGER_NODE", super::NODE.into()),
        ("WHARFINGER_TOOLS", node.tools().bin().into()),
        ("WHARFINGER_OPERATOR_NAMESPACE", crate::cluster::NAMESPACE.into()),
        ("WHARFINGER_RELEASE", crate::cluster::RELEASE.into()),
    ]
}

fn binary(
    program: &Program,
    command: &mut Command,
    limit: Duration,
    sum: &mut Counts,
    failed: &mut Vec<String>,
) -> Result<()> {
    let name = if program.name == program.package {
        program.name.clone()
    } else {
        format!("{}: {}", program.package, program.name)
    };
    one(&name, command, limit, print, sum, failed)
}

fn print(line: &str) {
    terminal::line(line);
}

/// Runs what prints test results, once or several times, and adds them up. A run that ends without results, because it
/// crashed or took too long, counts as one failed test. What is printed goes to `say`.
fn one(
    name: &str,
    command: &mut Command,
    limit: Duration,
    say: fn(&str),
    sum: &mut Counts,
    failed: &mut Vec<String>,
) -> Result<()> {
    say(&format!("-- {name}"));
    let mut seen = Counts::default();
    let mut reasons = Reasons::default();
    let end = exec::watch(command, limit, |line| {
        say(line);
        seen += Counts::parse(line).unwrap_or_default();
        reasons.see(line);
    })?;
    let trouble = match end {
        End::Exited(status) if status.success() => None,
        End::Exited(_) if seen.failed > 0 => Some(name.to_owned()),
        End::Exited(status) => Some(format!("{name} ({status})")),
        End::TooLate => Some(format!("{name} (ended after {} s)", limit.as_secs())),
    };
    if trouble.is_some() && seen.failed == 0 {
        seen.failed = 1;
    }
    failed.extend(trouble.map(|what| reasons.of(what)));
    *sum += seen;
    Ok(())
}

fn conclude(sum: Counts, failed: &[String]) -> Result<String> {
    if failed.is_empty() {
        Ok(sum.to_string())
    } else {
        bail!("{sum}; in\n{}", failed.join("\n"))
    }
}

#[cfg(test)]
mod running {
    use super::*;

    fn sh(script: &str) -> (Counts, Vec<String>) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let (mut sum, mut failed) = (Counts::default(), Vec::new());
        // Said aloud, these made-up results would be counted as some of this very program.
        let nobody = |_: &str| {};
        one(
            "some",
            &mut command,
            Duration::from_mins(1),
            nobody,
            &mut sum,
            &mut failed,
        )
        .unwrap();
        (sum, failed)
    }

    #[test]
    fn a_crash_without_results_counts_as_one_failed_test() {
        let (sum, failed) = sh("echo 'test one ... '; exit 134");
        assert_eq!((sum.passed, sum.failed), (0, 1));
        assert_eq!(failed, ["some (exit status: 134)"]);
    }

    #[test]
    fn failed_tests_are_counted_as_the_binary_counts_them() {
        let (sum, failed) = sh("echo 'test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured'; exit 101");
        assert_eq!((sum.passed, sum.failed), (3, 2));
        assert_eq!(failed, ["some"]);
    }
}
