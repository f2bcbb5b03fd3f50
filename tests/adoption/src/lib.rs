//! Moving a store between registries: the others' programs, and what is expected to be in the store.
//!
//! Everything listens on 127.0.0.1, on ports that the system chooses.

mod contents;
mod image;
mod other;

pub use contents::{Contents, expect, location};
pub use image::{Content, Image, digest};
pub use other::{Kind, Other, purge_uploads};
