//! Wharfinger's registry: an OCI distribution server whose identities and policies come from one access document.
//!
//! A request goes through `route` (what is asked), `authenticate` (who asks), `authorize` (whether that may be) and a
//! handler, which alone reaches the `store`. `access` keeps the document in force; `server` and `admin` are the two
//! ports; `cli` puts them together.

pub mod access;
pub mod admin;
pub mod audit;
pub mod authenticate;
pub mod authorize;
pub mod body;
pub mod challenge;
pub mod cli;
pub mod client;
mod concurrency;
mod cors;
pub mod error;
mod handlers;
pub mod issuer_keys;
pub mod logging;
pub mod metrics;
pub mod oci;
pub mod password;
pub mod route;
pub mod server;
pub mod service;
pub mod store;
pub mod throttle;
pub mod tls;
pub mod token;
pub mod traces;
mod watch;
