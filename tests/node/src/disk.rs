//! Room on the disk. A kubelet that runs short of it evicts Pods one after the other and lets in no new ones, and what people then see is
//! that everything waits in vain; so it is asked for beforehand.

use std::path::Path;

use anyhow::{Context, Result, ensure};

/// What the node's images, the containers' layers and logs, etcd and the volumes of tests take at most, in bytes.
const NEEDED: u64 = 3 << 30;

/// The bytes that are free for everybody on the disk of `folder`, or of the nearest folder above it that exists.
///
/// # Errors
/// Where the system does not tell.
pub fn free_space(folder: &Path) -> Result<u64> {
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
    let disk = rustix::fs::statvfs(there)
        .with_context(|| format!("cannot tell how full the disk of `{}` is", there.display()))?;
    Ok(disk.f_bavail * disk.f_frsize)
}

/// Fails where a node in `folder` would run short.
pub(crate) fn require(folder: &Path) -> Result<()> {
    let free = free_space(folder)?;
    ensure!(
        free >= NEEDED,
        "the disk of `{}` has {:.1} GiB left, and a node needs {:.1}; builds of old checkouts are usually the largest: `cargo clean` there",
        folder.display(),
        gibibytes(free),
        gibibytes(NEEDED)
    );
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn gibibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1_u32 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_still_to_be_made_is_on_the_disk_of_the_one_above() {
        let above = std::env::temp_dir();
        let below = above.join("not/there/yet");
        // Others write to that disk as well: what is compared is that both are told, and of one order.
        assert!(free_space(&below).unwrap().abs_diff(free_space(&above).unwrap()) < NEEDED);
        assert!(
            require(Path::new("/proc"))
                .unwrap_err()
                .to_string()
                .contains("a node needs 3.0")
        );
    }
}
