//! Processes that outlive the one that started them: identity, signals, and waiting for their end.
//!
//! A process is known by its number and its start time together, because numbers are used again: a number alone could
//! end a stranger.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, WaitOptions};
use serde::{Deserialize, Serialize};

use crate::node::poll;

/// How a component is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: the component may finish what it is doing.
    Term,
    /// SIGKILL: as in a crash.
    Kill,
}

/// A process, told apart from a later one of the same number by its start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// In clock ticks since the machine started.
    started: u64,
}

impl Process {
    /// The process that has this number now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Stat::of(pid).map(|stat| Self {
            pid,
            started: stat.started,
        })
    }

    /// Whether it still runs; one that has ended and only waits for its parent does not.
    pub(crate) fn is_alive(&self) -> bool {
        let Some(stat) = Stat::of(self.pid) else { return false };
        if stat.started != self.started {
            return false;
        }
        if stat.state == 'Z' {
            // It may be ours to collect; where it is not, its own parent does.
            if let Some(pid) = Pid::from_raw(self.pid) {
                let _ = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
            }
        }
        !matches!(stat.state, 'Z' | 'X')
    }

    /// Sends the signal if the process still runs.
    pub(crate) fn signal(&self, signal: Signal) {
        let number = match signal {
            Signal::Term => rustix::process::Signal::TERM,
            Signal::Kill => rustix::process::Signal::KILL,
        };
        if let (true, Some(pid)) = (self.is_alive(), Pid::from_raw(self.pid)) {
            // The only failure left is that it has just ended.
            let _ = rustix::process::kill_process(pid, number);
        }
    }

    /// Sends the signal and waits for the end; what has not ended after `patience` is killed.
    pub(crate) fn end(&self, signal: Signal, patience: Duration) -> Result<()> {
        self.signal(signal);
        if poll(patience, || Ok(!self.is_alive())).is_ok() {
            return Ok(());
        }
        self.signal(Signal::Kill);
        poll(Duration::from_secs(20), || Ok(!self.is_alive()))
            .with_context(|| format!("process {} does not end, not even by SIGKILL", self.pid))
    }

    /// The words it was started with; empty for a kernel thread and for one that has ended.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let bytes = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        bytes
            .split(|b| *b == 0)
            .filter(|word| !word.is_empty())
            .map(|w| String::from_utf8_lossy(w).into())
            .collect()
    }
}

/// Every process of the machine, except this one and those it descends from: none of those may be ended by accident.
pub(crate) fn others() -> Vec<Process> {
    let mut ours = BTreeSet::new();
    let mut pid = i32::try_from(std::process::id()).ok();
    while let Some(current) = pid.filter(|pid| *pid > 0) {
        ours.insert(current);
        pid = Stat::of(current).map(|stat| stat.parent);
    }
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| !ours.contains(pid))
        .filter_map(Process::of)
        .filter(Process::is_alive)
        .collect()
}

/// Starts a program that stays when this process ends, in a session of its own so that no Ctrl-C reaches it, with its
/// output appended to `log`.
pub(crate) fn spawn_detached(command: &Command, stdin: Stdio, log: &Path) -> Result<Process> {
    let output = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot open the log `{}`", log.display()))?;
    // setsid and whatever it starts replace themselves by the program, so the number stays the same.
    let mut detached = Command::new("setsid");
    detached.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => detached.env(name, value),
            None => detached.env_remove(name),
        };
    }
    let child = detached
        .current_dir("/")
        .stdin(stdin)
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("cannot start `{}`", command.get_program().display()))?;
    let pid = i32::try_from(child.id())?;
    Process::of(pid).with_context(|| format!("`{}` ended at once", command.get_program().display()))
}

/// The fields of `/proc/PID/stat` that matter here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    parent: i32,
    started: u64,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// `proc_pid_stat(5)`: the second field, in parentheses, is the program's name and may itself hold anything.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        // Field 22 of the line; the state was field 3 and the parent field 4.
        let started = fields.nth(17)?.parse().ok()?;
        Some(Self { state, parent, started })
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;

    use super::*;

    #[test]
    fn reads_the_start_time_behind_a_program_name_with_parentheses_and_spaces() {
        let line = "42 (a ) R 1 (b) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 2 18446744073709551615";
        assert_eq!(
            Stat::parse(line),
            Some(Stat {
                state: 'S',
                parent: 7,
                started: 98765
            })
        );
    }

    #[test]
    fn a_process_of_the_same_number_and_another_start_time_is_a_stranger() {
        let me = Process::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(me.is_alive());
        let earlier = Process {
            started: me.started - 1,
            ..me
        };
        assert!(!earlier.is_alive());
    }

    #[test]
    fn a_child_that_has_ended_but_was_not_collected_is_not_alive() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::of(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(process.is_alive());
        process.end(Signal::Kill, Duration::from_secs(5)).unwrap();
        assert!(!process.is_alive());
        let _ = child.wait();
    }

    #[test]
    fn what_has_ended_is_not_alive_though_its_parent_never_collects_it() {
        let script = "sleep 1 & echo $!; exec sleep 60";
        let mut parent = Command::new("sh")
            .args(["-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut number = String::new();
        std::io::BufReader::new(parent.stdout.take().unwrap())
            .read_line(&mut number)
            .unwrap();
        let pid: i32 = number.trim().parse().unwrap();
        let ended = Process::of(pid).unwrap();
        let gone = poll(Duration::from_secs(10), || Ok(!ended.is_alive()));
        let listed = Path::new(&format!("/proc/{pid}")).exists();
        parent.kill().unwrap();
        parent.wait().unwrap();
        gone.unwrap();
        assert!(listed, "it was collected after all, so this test shows nothing");
    }

    #[test]
    fn the_processes_that_may_be_ended_do_not_include_this_one_or_its_parents() {
        let me = i32::try_from(std::process::id()).unwrap();
        let parent = Stat::of(me).unwrap().parent;
        let others = others();
        assert!(!others.is_empty());
        assert!(others.iter().all(|process| process.pid != me && process.pid != parent));
    }
}
