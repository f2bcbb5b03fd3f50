//! Proof that the registry never loses what it has acknowledged, whatever ends it and whatever its disk does.
//!
//! Eight [`workload`] clients push, move, delete, mount and resume against the real binary ([`server`]), each keeping a
//! [`ledger`] of what was acknowledged to it. The binary is killed, or its disk ([`layer`]) loses power, fills up, fails or
//! becomes read-only. Then [`verify`] compares what is there with the ledgers.

pub mod http;
pub mod layer;
pub mod ledger;
pub mod server;
pub mod settings;
pub mod trial;
pub mod verify;
pub mod workload;

pub use layer::{Faults, Kill, Layer, Loss, Operation, Record, Side, Step, Which};
