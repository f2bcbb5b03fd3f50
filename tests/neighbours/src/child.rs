//! [`Child`]: another program that runs, what it says, and its end.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{self, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How soon to look again.
const LOOK: Duration = Duration::from_millis(20);

/// A program that runs. It ends when this is dropped.
#[derive(Debug)]
pub struct Child {
    process: process::Child,
    said: Arc<Mutex<String>>,
}

impl Child {
    /// Starts a program, and keeps what it says on standard error.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = command.spawn().with_context(|| {
            format!("cannot start {command:?}: run `cargo xtask test --only neighbours`, which installs it")
        })?;
        let stderr = process.stderr.take().context("what it says was asked for")?;
        let said = Arc::new(Mutex::new(String::new()));
        let copy = said.clone();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut said = copy.lock().unwrap_or_else(PoisonError::into_inner);
                said.push_str(&line);
                said.push('\n');
            }
        });
        Ok(Self { process, said })
    }

    /// What it has said.
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it listens on `address`.
    ///
    /// # Errors
    /// With what it said, where it does not.
    pub fn listens(mut self, address: SocketAddr) -> Result<Self> {
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = self.process.try_wait()?;
            ensure!(
                ended.is_none() && begun.elapsed() < PATIENCE,
                "it does not listen ({ended:?}):\n{}",
                self.said()
            );
            thread::sleep(LOOK);
        }
        Ok(self)
    }

    /// Waits until it has said what `found` looks for.
    ///
    /// # Errors
    /// With what it said, where it does not say that.
    pub fn wait<T>(&self, what: &str, found: impl Fn(&str) -> Option<T>) -> Result<T> {
        wait(what, || self.said(), found)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until in what `say` returns there is what `found` looks for.
///
/// # Errors
/// With what was said at last, where it is not.
pub fn wait<T>(what: &str, say: impl Fn() -> String, found: impl Fn(&str) -> Option<T>) -> Result<T> {
    let begun = Instant::now();
    loop {
        let said = say();
        if let Some(found) = found(&said) {
            return Ok(found);
        }
        ensure!(begun.elapsed() < PATIENCE, "no {what} in:\n{said}");
        thread::sleep(LOOK);
    }
}
