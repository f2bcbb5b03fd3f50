//! Connections that are busy while something changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::Target;
use e2e::http::Credentials;
use tokio::task::JoinHandle;

use crate::{LOAD, MANIFEST};

/// Connections that send one request after the other until they are told to stop; each must succeed.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    requests: Arc<AtomicU64>,
    connections: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    pub(crate) async fn start(target: Target, who: &Credentials) -> Result<Self> {
        let mut load = Self {
            stop: Arc::default(),
            requests: Arc::default(),
            connections: Vec::new(),
        };
        for _ in 0..LOAD {
            let mut connection = target.connect().await?;
            let (stop, requests, who) = (load.stop.clone(), load.requests.clone(), who.clone());
            load.connections.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let status = connection.status(MANIFEST, &who).await?;
                    ensure!(status == 200, "a request of the load got {status}");
                    requests.fetch_add(1, Ordering::Relaxed);
                    // Two cores have a whole cluster to run.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Ok(())
            }));
        }
        Ok(load)
    }

    pub(crate) async fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        for connection in self.connections {
            connection.await??;
        }
        Ok(self.requests.load(Ordering::Relaxed))
    }
}
