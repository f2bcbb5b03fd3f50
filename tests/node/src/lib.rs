//! A real one-node Kubernetes for the demo and the tests: etcd, the control plane, a kubelet with containerd, and on
//! request Docker Engines, all of it inside a network namespace of its own.
//!
//! [`Tools::install`] builds and caches the programs, [`Node::up`] starts or attaches to a node, and [`Node::down`]
//! leaves nothing behind. Nodes of different names run side by side.
//!
//! Deliberately absent: cluster DNS (a lookup inside a Pod fails at once; Pods reach the API server by the address that
//! Kubernetes injects), network policies (nothing enforces them), and any way out of the namespace other than
//! [`Node::forward`].
//!
//! Errors are `anyhow`'s throughout: whoever runs a test node can only show them to a person.

mod cgroups;
mod component;
mod containers;
mod disk;
mod docker;
mod etcd;
mod files;
mod forward;
mod images;
mod layout;
mod mounts;
mod network;
mod node;
mod pki;
mod process;
mod progress;
mod state;
mod teardown;
mod tools;

pub use component::Component;
pub use disk::free_space;
pub use docker::Engine;
pub use forward::Forward;
pub use images::BUSYBOX_IMAGE;
pub use layout::{API_SERVER_ADDRESS, NODE_ADDRESS, POD_RANGE, SERVICE_RANGE, STORAGE_CLASS};
pub use node::{Node, Options};
pub use process::Signal;
pub use progress::Progress;
pub use tools::Tools;
pub use tools::debian::install_load_generator;
pub use tools::neighbours::{Neighbours, install_distribution, install_regctl, install_token_server};
