//! The registry at its boundary: requests in, status, headers and bodies out, over the real store in a directory of its
//! own. `standalone` and `wire` go through sockets, the former with the real binary; so does
//! whatever has its answers from `exchange`.

#[cfg(test)]
mod addresses;
#[cfg(test)]
mod audit_mode;
#[cfg(test)]
mod bounds;
#[cfg(test)]
mod challenges;
#[cfg(test)]
mod client_certificates;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod contents;
#[cfg(test)]
mod cors;
#[cfg(test)]
mod credentials;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod exchange;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod forged_foreign_tokens;
#[cfg(test)]
mod forged_tokens;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod issuer;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod methods;
#[cfg(test)]
mod mounts;
#[cfg(test)]
mod mutual;
#[cfg(test)]
mod observability;
#[cfg(test)]
mod oidc;
#[cfg(test)]
mod passwords;
#[cfg(test)]
mod paths;
#[cfg(test)]
mod proxies;
#[cfg(test)]
mod referrers;
#[cfg(test)]
mod refresh;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod scrub;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod shown;
#[cfg(test)]
mod sign_in;
#[cfg(test)]
mod standalone;
#[cfg(test)]
mod store;
#[cfg(test)]
mod subjects;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod token_endpoint;
#[cfg(test)]
mod token_server;
#[cfg(test)]
mod uploads;
#[cfg(test)]
mod user_file;
#[cfg(test)]
mod ways;
#[cfg(test)]
mod wire;
