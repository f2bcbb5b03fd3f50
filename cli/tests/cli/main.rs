//! The plugin as people run it.

#[cfg(test)]
mod questions;
