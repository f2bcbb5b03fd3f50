//! The Wharfinger operator: turns Registries, their identities and their policies into running registries.
//!
//! One Registry is one unit of work. A pass over it reads everything (`snapshot`), decides in pure steps (`validate`,
//! `render`), writes (`apply`, `publish`), asks the Pods what they enforce (`proof`) and says what it found (`status`).

pub mod api;
pub mod controllers;
pub mod http;
pub mod leader;
pub mod metrics;
pub mod settings;

pub use registry::preview;

mod access_policy;
mod cluster_issuer;
mod conditions;
mod context;
mod decoded;
mod hashing;
mod names;
mod outcome;
mod password_source;
mod prune;
mod registry;
mod registry_identity;
mod shards;
mod state;
mod state_shards;
mod stores;
mod unknown_fields;
