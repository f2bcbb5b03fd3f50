//! The plugin as people run it.

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod lint;
#[cfg(test)]
mod questions;
