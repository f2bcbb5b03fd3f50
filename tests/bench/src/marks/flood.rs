//! Wrong passwords, each of which costs the work of a hash: what they do to those who pull meanwhile.

use std::collections::VecDeque;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::content::{digest, noise, push_blob};
use crate::contest::Contest;
use crate::figure::{Better, Figures, Goal, Row};
use crate::peer::{PASSWORD, Peer, Server, USER};

/// How many wrong passwords come in a second, whether or not those before are answered.
const RATE: u32 = 50;
/// How long an attempt is waited for before its connection is given up: longer than the registry ever delays an answer.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long the flood runs before anything is measured.
const WARM_UP: Duration = Duration::from_secs(3);
/// How many pulls one figure is made of.
const PULLS: usize = 1000;
/// The size of what is pulled.
const BLOB_BYTES: usize = 1024 * 1024;
/// The name of the column without a flood.
const CALM: &str = "without the flood";

pub(super) fn measure(contest: &Contest) -> Result<Vec<Row>> {
    let server = contest.start(Peer::Wharfinger, "flood")?;
    let blob = noise(BLOB_BYTES);
    push_blob(&mut server.connect()?, "bench", &blob)?;
    let path = format!("/v2/bench/blobs/{}", digest(&blob));
    let (mut flooded, mut calm, mut grown) = (Figures::default(), Figures::default(), Figures::default());
    // Before the first flood: what one flood leaves behind is not the next one's.
    slowest(&server, &path)?;
    let before = server.process.resident()?;
    for _ in 0..contest.rounds {
        calm.add(slowest(&server, &path)?);
        flooded.add(during_flood(&server, || slowest(&server, &path))?);
        grown.add(server.process.most_resident()? - before);
    }
    Ok(vec![
        Row {
            work: format!(
                "pull 1 MiB with Basic credentials while {RATE} wrong passwords come a second: p99 of {PULLS}"
            ),
            unit: "ms",
            better: Better::Lower,
            columns: vec![("wharfinger".into(), flooded), (CALM.into(), calm)],
            goal: Goal::Times(3.0, CALM),
        },
        Row {
            work: "most resident memory since the first flood, above that before it".into(),
            unit: "MB",
            better: Better::Lower,
            columns: vec![("wharfinger".into(), grown)],
            goal: Goal::Value(80.0),
        },
    ])
}

fn authorization(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// How long the slowest pulls take in ms: 99 of 100 take less.
fn slowest(server: &Server, path: &str) -> Result<f64> {
    let authorization = authorization(USER, PASSWORD);
    let mut connection = server.connect()?;
    let mut took = Vec::with_capacity(PULLS);
    for _ in 0..PULLS {
        let begun = Instant::now();
        let reply = connection.ask("GET", path, &[("Authorization", &authorization)], b"")?;
        took.push(begun.elapsed());
        ensure!(
            reply.status == 200 && reply.body.len() == BLOB_BYTES,
            "a pull was answered with {}",
            reply.status
        );
    }
    took.sort();
    Ok(took[PULLS * 99 / 100].as_secs_f64() * 1e3)
}

/// Does `work` while wrong passwords come, to which nobody waits for answers.
fn during_flood<T>(server: &Server, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let flood = scope.spawn(|| flood(server, &is_over));
        thread::sleep(WARM_UP);
        let result = work();
        is_over.store(true, Ordering::Relaxed);
        flood.join().ok().context("the flood panicked")??;
        result
    })
}

fn flood(server: &Server, is_over: &AtomicBool) -> Result<()> {
    let begun = Instant::now();
    let mut waiting: VecDeque<(Instant, TcpStream)> = VecDeque::new();
    let mut number = 0;
    while !is_over.load(Ordering::Relaxed) {
        let due = begun + number * Duration::from_secs(1) / RATE;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut stream = TcpStream::connect(server.address)?;
        let authorization = authorization(USER, &format!("wrong {number}"));
        write!(
            stream,
            "GET /v2/ HTTP/1.1\r\nHost: registry\r\nConnection: close\r\nAuthorization: {authorization}\r\n\r\n"
        )?;
        waiting.push_back((Instant::now(), stream));
        while waiting.front().is_some_and(|(sent, _)| sent.elapsed() > PATIENCE) {
            waiting.pop_front();
        }
        number += 1;
    }
    Ok(())
}
