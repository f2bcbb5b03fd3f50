//! Leader election by a Lease, fail-stop: only the leader writes, and one that cannot renew in time stops at once and
//! stands for election again.
//!
//! Whether another holder is alive is judged by how long its record has not changed by this process's own monotonic clock,
//! never by comparing wall clocks. Every write names the resourceVersion that it replaces.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};

use crate::api;

/// How long a holder may be silent before another takes over.
const DURATION: Duration = Duration::from_secs(15);
/// A leader that could not renew for this long stops, well before another can have taken over.
const DEADLINE: Duration = Duration::from_secs(10);
/// Pause between looks and between renewals.
const PERIOD: Duration = Duration::from_secs(2);
/// Name of the Lease.
const LEASE: &str = "wharfinger-operator";

/// Takes part in the election.
pub struct Elector {
    leases: Api<Lease>,
    holder: String,
}

/// The right to write, while [`Leadership::keep`] runs.
pub struct Leadership {
    elector: Elector,
    lease: Lease,
}

impl Elector {
    /// A candidate that calls itself `holder`, unique among Pods.
    pub fn new(client: Client, namespace: &str, holder: &str) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            holder: holder.to_owned(),
        }
    }

    /// Waits until this process leads.
    pub async fn win(self) -> Leadership {
        let mut seen: Option<(String, Instant)> = None;
        loop {
            match self.attempt(&mut seen).await {
                Ok(Some(lease)) => {
                    tracing::info!(holder = self.holder, "leading");
                    return Leadership { elector: self, lease };
                }
                Ok(None) => {}
                Err(error) if error.is_conflict() || error.is_already_exists() => {}
                Err(error) => tracing::warn!(error = api::chain(&error), "election: no answer; trying again"),
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    async fn attempt(&self, seen: &mut Option<(String, Instant)>) -> Result<Option<Lease>, api::Error> {
        let Some(current) = api::find("read the Lease", self.leases.get_opt(LEASE)).await? else {
            let mut lease = Lease::default();
            lease.metadata.name = Some(LEASE.to_owned());
            lease.spec = Some(self.spec(0));
            return api::call("make the Lease", self.leases.create(&PostParams::default(), &lease))
                .await
                .map(Some);
        };
        let spec = current.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.unwrap_or_default();
        let version = current.resource_version().unwrap_or_default();
        let since = match seen {
            Some((known, since)) if *known == version => *since,
            _ => seen.insert((version, Instant::now())).1,
        };
        let free = holder.is_empty() || holder == self.holder || since.elapsed() > DURATION;
        if !free {
            return Ok(None);
        }
        let mut next = current;
        next.spec = Some(self.spec(spec.lease_transitions.unwrap_or(0) + 1));
        api::call(
            "take the Lease",
            self.leases.replace(LEASE, &PostParams::default(), &next),
        )
        .await
        .map(Some)
    }

    fn spec(&self, transitions: i32) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        LeaseSpec {
            holder_identity: Some(self.holder.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }
}

impl Leadership {
    /// Renews until leadership is lost, and returns then: all writing must stop at once.
    pub async fn keep(&mut self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(PERIOD).await;
            let left = DEADLINE.saturating_sub(renewed.elapsed());
            let asked = Instant::now();
            match tokio::time::timeout(left, self.renew()).await {
                Ok(Ok(lease)) => {
                    self.lease = lease;
                    renewed = asked;
                }
                Ok(Err(error)) if error.is_conflict() || error.is_not_found() => {
                    tracing::error!(error = api::chain(&error), "the Lease was taken by somebody else");
                    return;
                }
                Ok(Err(error)) => tracing::warn!(error = api::chain(&error), "the Lease was not renewed; trying again"),
                Err(_) => {}
            }
            if renewed.elapsed() >= DEADLINE {
                tracing::error!("the Lease could not be renewed in time");
                return;
            }
        }
    }

    /// Gives leadership up, so that another takes over at once.
    pub async fn release(mut self) {
        if let Some(spec) = &mut self.lease.spec {
            spec.holder_identity = None;
        }
        let leases = &self.elector.leases;
        if let Err(error) = api::call(
            "release the Lease",
            leases.replace(LEASE, &PostParams::default(), &self.lease),
        )
        .await
        {
            tracing::warn!(error = api::chain(&error), "the Lease was not released; it runs out");
        }
    }

    async fn renew(&self) -> Result<Lease, api::Error> {
        let mut next = self.lease.clone();
        if let Some(spec) = &mut next.spec {
            spec.renew_time = Some(MicroTime(Timestamp::now()));
        }
        api::call(
            "renew the Lease",
            self.elector.leases.replace(LEASE, &PostParams::default(), &next),
        )
        .await
    }
}
