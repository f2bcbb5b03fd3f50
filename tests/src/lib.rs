//! What the end-to-end tests share: a real cluster, clients of the registry, and the programs that people use.
//!
//! The tests live in `tests/`, one file per behaviour. They run inside the network namespace of a test node, with an
//! operator that the chart installed: `cargo xtask test` sees to both. Each test has a Kubernetes namespace of its own
//! (see [`with_namespace`]); what disturbs the whole cluster is in `zz_disturbances.rs`.

pub mod audit;
pub mod certificates;
pub mod cluster;
pub mod environment;
pub mod http;
pub mod image;
pub mod measure;
pub mod objects;
pub mod operator;
pub mod program;
pub mod registry;
pub mod secrets;

mod namespace;
mod undo;
mod wait;

pub use cluster::Cluster;
pub use namespace::{with_namespace, with_strict_namespace};
pub use registry::Target;
pub use undo::undo_after;
pub use wait::wait_for;
