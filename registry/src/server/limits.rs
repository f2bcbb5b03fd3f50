//! The limits of the data port, ready for use.

use std::time::Duration;

/// How many connections at once, and how long they may be silent.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once.
    pub connections: u32,
    /// Connections at once from one address that is not a trusted proxy's.
    pub connections_per_address: usize,
    /// For the first byte, with TLS for the handshake.
    pub handshake: Duration,
    /// For the head of a request, and between requests.
    pub idle: Duration,
    /// How long a body may stand still.
    pub stall: Duration,
}

impl From<&registry_config::Limits> for Limits {
    fn from(limits: &registry_config::Limits) -> Self {
        Self {
            connections: limits.connections.get(),
            connections_per_address: limits.connections_per_address.get() as usize,
            handshake: limits.handshake_timeout.get(),
            idle: limits.idle_timeout.get(),
            stall: limits.stall_timeout.get(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::from(&registry_config::Limits::default())
    }
}
