//! Large blobs, from the page cache, by one client and by six at once.

use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::content::{LAYER_BYTES, digest, noise, push_blob};
use crate::contest::Contest;
use crate::figure::{Better, Row};
use crate::peer::Server;
use crate::transfer;

/// How often each client pulls in one turn, so that the processor time, which is counted in hundredths of a second, is
/// long enough.
const PULLS: usize = 4;

pub(super) fn measure(contest: &Contest) -> Result<Vec<Row>> {
    let layer = noise(LAYER_BYTES);
    let path = format!("/v2/bench/blobs/{}", digest(&layer));
    let servers = contest.start_all("pull")?;
    for (_, server) in &servers {
        push_blob(&mut server.connect()?, "bench", &layer)?;
    }
    let [one, one_cpu] = contest.rounds(&servers, |_, server| pull(server, &path, 1))?;
    let [six, six_cpu] = contest.rounds(&servers, |_, server| pull(server, &path, 6))?;
    Ok(vec![
        Row::against_best("pull 512 MiB, 1 client", "MB/s", Better::Higher, one, 1.0),
        Row::against_best(
            "pull 512 MiB, 1 client: server's CPU",
            "s/GB",
            Better::Lower,
            one_cpu,
            1.0,
        ),
        Row::against_best("pull 512 MiB, 6 clients", "MB/s", Better::Higher, six, 1.3),
        Row::against_best(
            "pull 512 MiB, 6 clients: server's CPU",
            "s/GB",
            Better::Lower,
            six_cpu,
            1.0,
        ),
    ])
}

/// MB/s, and processor seconds of the server per GB.
fn pull(server: &Server, path: &str, clients: usize) -> Result<[f64; 2]> {
    let cpu = server.process.cpu_seconds()?;
    let begun = Instant::now();
    thread::scope(|scope| {
        let pulls: Vec<_> = (0..clients)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..PULLS {
                        let length = transfer::pull(server, path)?;
                        ensure!(length == LAYER_BYTES, "{length} bytes came");
                    }
                    Ok(())
                })
            })
            .collect();
        pulls
            .into_iter()
            .try_for_each(|pull| pull.join().ok().context("a client panicked")?)
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = server.process.cpu_seconds()? - cpu;
    let bytes = u32::try_from(LAYER_BYTES)?;
    let gigabytes = f64::from(bytes) * f64::from(u32::try_from(clients * PULLS)?) / 1e9;
    Ok([gigabytes * 1e3 / seconds, cpu / gigabytes])
}
