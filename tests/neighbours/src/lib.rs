//! The registry beside other programs: how those are started, and what is expected of a store that goes between registries.
//!
//! Everything listens on 127.0.0.1, on ports that the system chooses.

mod child;
mod contents;
mod image;
mod other;

pub use child::{Child, wait};
pub use contents::{Contents, expect, location};
pub use image::{Content, Image, digest};
pub use other::{Kind, Other, purge_uploads};
