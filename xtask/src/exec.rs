//! Running programs: quietly, with everything shown, or line by line with a limit on time.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Runs a program whose output the person sees, and fails if it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs a program and returns what it printed; an error quotes what it complained about.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = finish(command)?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}` ended with {}: {}",
            shown(command),
            output.status,
            complaint.trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into())
}

/// Runs a program and returns all there is to know about its end, whatever that is.
pub(crate) fn finish(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", shown(command)))
}

/// How a watched program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself.
    Exited(ExitStatus),
    /// It was killed, because it took longer than it may.
    TooLate,
}

/// Runs a program and hands over each line that it prints while it runs. After `limit` it is killed.
pub(crate) fn watch(command: &mut Command, limit: Duration, mut see: impl FnMut(&str)) -> Result<End> {
    let deadline = Instant::now() + limit;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    let lines = lines_of(&mut child);
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => see(&line),
            Err(RecvTimeoutError::Disconnected) => return Ok(End::Exited(child.wait()?)),
            // What it has started may hold the pipe open: nobody waits for that.
            Err(RecvTimeoutError::Timeout) => {
                child.kill()?;
                child.wait()?;
                return Ok(End::TooLate);
            }
        }
    }
}

fn lines_of(child: &mut Child) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    send_lines(child.stdout.take().expect("standard output is piped"), sender.clone());
    send_lines(child.stderr.take().expect("standard error is piped"), sender);
    receiver
}

fn send_lines(output: impl Read + Send + 'static, sender: mpsc::Sender<String>) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(output);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
            line.clear();
            if sender.send(text).is_err() {
                return;
            }
        }
    });
}

/// The command as a person would type it, more or less.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn lines_arrive_in_order_and_the_end_is_told() {
        let mut seen = Vec::new();
        let end = watch(
            &mut sh("echo a; printf 'b\\303'; exit 3"),
            Duration::from_mins(1),
            |line| seen.push(line.to_owned()),
        );
        assert_eq!(seen, ["a", "b\u{fffd}"]);
        assert!(matches!(end.unwrap(), End::Exited(status) if status.code() == Some(3)));
    }

    #[test]
    fn a_program_that_takes_too_long_is_killed_even_if_its_child_keeps_the_pipe() {
        let begun = Instant::now();
        let end = watch(
            &mut sh("sleep 5 & echo started; wait"),
            Duration::from_millis(300),
            |_| (),
        )
        .unwrap();
        assert_eq!(end, End::TooLate);
        assert!(begun.elapsed() < Duration::from_secs(4));
    }

    #[test]
    fn an_error_quotes_the_complaint() {
        let error = capture(&mut sh("echo no such thing >&2; exit 1"))
            .unwrap_err()
            .to_string();
        assert!(error.ends_with("no such thing"), "{error}");
    }
}
