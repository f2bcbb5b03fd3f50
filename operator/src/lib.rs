//! The Wharfinger operator: turns Registries, their identities and their policies into running registries.
//!
//! One Registry is one unit of work. A pass over it reads everything (`snapshot`), decides in pure steps (`validate`,
//! `render`), writes (`apply`, `publish`), asks the Pods what they enforce (`proof`) and says what it found (`status`).

pub mod api;
mod cluster_issuer;
mod context;
pub mod controllers;
pub mod http;
pub mod leader;
pub mod metrics;
pub mod settings;

mod access_policy;
mod conditions;
mod hashing;
mod names;
mod outcome;
mod password_source;
mod prune;
mod registry;
mod registry_identity;
mod state;
mod stores;
mod unknown_fields;
