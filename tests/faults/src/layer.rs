//! [`Layer`]: a mounted file system that forgets what was not synced, fails as planned, and knows each step that is taken
//! on it.

mod disk;
mod mount;
mod step;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use fuser::{BackgroundSession, Errno, INodeNo};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub use disk::Loss;
pub use step::{Operation, Step};

use disk::{Disk, Inode};

/// Whether a process is killed before or after the step that it dies at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Nothing of the step is done.
    Before,
    /// The step is done, but nobody hears of it.
    After,
}

/// Which steps a plan is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// All that change or sync something.
    Any,
    /// One kind.
    Only(Step),
}

impl Which {
    fn is(&self, step: &Step) -> bool {
        match self {
            Self::Any => step.operation != Operation::Read,
            Self::Only(only) => only == step,
        }
    }
}

/// When the process dies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    /// At which steps.
    pub which: Which,
    /// How many of them are left alone.
    pub skip: u64,
    /// Before or after the step.
    pub side: Side,
}

/// What is made to go wrong. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// The process is killed.
    pub kill: Option<Kill>,
    /// Every third of these steps, the first among them, fails with EIO.
    pub fail: Option<Step>,
    /// These syncs say that they were done, but were not.
    pub ignore: Option<Step>,
    /// Nothing can be changed any more: EROFS.
    pub read_only: bool,
}

/// How many steps of a kind stand between two that fail.
const FAIL_EVERY: u64 = 3;

/// What happened since [`Layer::plan`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// How often each step was taken.
    pub steps: BTreeMap<Step, u64>,
    /// How many operations failed because of [`Faults::fail`], [`Faults::read_only`] or the capacity.
    pub failed: u64,
    /// How many syncs were ignored.
    pub ignored: u64,
    /// Whether the process was killed.
    pub killed: bool,
}

/// What the threads of the mount and of the test share.
#[derive(Debug)]
struct Shared {
    disk: Disk,
    faults: Faults,
    record: Record,
    /// How many steps of the plan's kind were seen.
    matched: u64,
    victim: Option<Pid>,
}

impl Shared {
    /// Decides what becomes of a step before it is taken.
    fn before(&mut self, step: &Step) -> Result<(), Errno> {
        if self.record.killed {
            return Err(Errno::EIO);
        }
        *self.record.steps.entry(step.clone()).or_default() += 1;
        if self.dies(step, Side::Before) {
            self.kill();
            return Err(Errno::EIO);
        }
        if self.faults.read_only && step.operation.is_change() {
            self.record.failed += 1;
            return Err(Errno::EROFS);
        }
        if self.faults.fail.as_ref() == Some(step) {
            self.matched += 1;
            if self.matched % FAIL_EVERY == 1 {
                self.record.failed += 1;
                return Err(Errno::EIO);
            }
        }
        Ok(())
    }

    /// Decides who hears of a step that was taken.
    fn after(&mut self, step: &Step) -> Result<(), Errno> {
        if self.dies(step, Side::After) {
            self.kill();
            return Err(Errno::EIO);
        }
        Ok(())
    }

    fn dies(&mut self, step: &Step, side: Side) -> bool {
        let Some(kill) = &self.faults.kill else { return false };
        if kill.side != side || !kill.which.is(step) {
            return false;
        }
        self.matched += 1;
        self.matched > kill.skip
    }

    fn kill(&mut self) {
        self.record.killed = true;
        if let Some(victim) = self.victim {
            // It is a child that nobody has waited for, so the number is still its own.
            let _ = kill_process(victim, Signal::KILL);
        }
    }

    fn sync(&mut self, step: &Step, inode: Inode) -> Result<(), disk::Refusal> {
        if self.faults.ignore.as_ref() == Some(step) {
            self.record.ignored += 1;
            return Ok(());
        }
        self.disk.sync(inode)
    }
}

/// The file system, mounted for as long as this lives.
#[derive(Debug)]
pub struct Layer {
    shared: Arc<Mutex<Shared>>,
    session: Option<BackgroundSession>,
    directory: TempDir,
}

impl Layer {
    /// Mounts an empty one.
    ///
    /// # Errors
    /// Where FUSE is missing, or this user may not mount.
    pub fn mount() -> Result<Self> {
        let shared = Arc::new(Mutex::new(Shared {
            disk: Disk::new(),
            faults: Faults::default(),
            record: Record::default(),
            matched: 0,
            victim: None,
        }));
        let directory = tempfile::Builder::new().prefix("wharfinger-faults-").tempdir()?;
        let session = mount::at(directory.path(), shared.clone()).context(
            "cannot mount a FUSE file system, which these tests need: run them as root, where `/dev/fuse` is (`modprobe fuse`)",
        )?;
        Ok(Self {
            shared,
            session: Some(session),
            directory,
        })
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// Starts a process that the plan is about. Nothing that it does is done before it is known.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(&self, start: impl FnOnce() -> Result<Child>) -> Result<Child> {
        let mut shared = self.lock();
        let child = start()?;
        shared.victim = Some(Pid::from_child(&child));
        Ok(child)
    }

    /// Says what goes wrong from now on, and begins a new record.
    pub fn plan(&self, faults: Faults) {
        let mut shared = self.lock();
        shared.faults = faults;
        shared.record = Record::default();
        shared.matched = 0;
        drop(shared);
        self.forget();
    }

    /// Lets the kernel ask for everything again. What it remembers may be wrong where it was told that something failed
    /// that was done, and where the power was cut.
    fn forget(&self) {
        let Some(session) = &self.session else { return };
        let names: Vec<String> = match self.lock().disk.entries(disk::ROOT) {
            Ok(entries) => entries.keys().cloned().collect(),
            Err(_) => return,
        };
        for name in names {
            // It may not know the name, which is as good.
            let _ = session.notifier().inval_entry(INodeNo::ROOT, name.as_ref());
        }
    }

    /// What happened since the last plan.
    pub fn record(&self) -> Record {
        self.lock().record.clone()
    }

    /// Forgets what a power cut takes. No process may have it open.
    pub fn cut_power(&self, loss: Loss) {
        self.forget();
        self.lock().disk.cut_power(loss);
    }

    /// Makes everything durable that was written, as a disk does that has had time.
    pub fn write_back(&self) {
        self.lock().disk.sync_all();
    }

    /// Makes it a disk on which `free` bytes are left, or one without limits.
    pub fn limit(&self, free: Option<u64>) {
        let mut shared = self.lock();
        let used = shared.disk.used();
        shared.disk.capacity = free.map(|free| used + free);
    }

    /// Removes everything.
    pub fn wipe(&self) {
        self.forget();
        self.lock().disk.wipe();
    }

    /// All files below a directory, without going through the mount.
    pub fn files(&self, below: &Path) -> Vec<(String, Vec<u8>)> {
        let prefix = format!("/{}", below.display());
        let files = self.lock().disk.files();
        files
            .into_iter()
            .filter(|(path, _)| path.starts_with(&prefix))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.session.take().map(BackgroundSession::umount_and_join) {
            eprintln!("cannot unmount `{}`: {error}", self.directory.path().display());
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
