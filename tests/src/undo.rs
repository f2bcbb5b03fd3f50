//! Putting right what a test disturbs, whatever becomes of the test.

use std::panic::{AssertUnwindSafe, resume_unwind};

use anyhow::Result;
use futures::FutureExt;

/// Does some work, then undoes what was done for it: also when the work failed, and when an assertion of it did.
///
/// # Errors
/// That of the work, otherwise that of undoing.
pub async fn undo_after<T>(work: impl Future<Output = Result<T>>, undo: impl Future<Output = Result<()>>) -> Result<T> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    let undone = undo.await;
    match done {
        Err(panic) => resume_unwind(panic),
        Ok(done) => {
            let value = done?;
            undone.map(|()| value)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use anyhow::bail;

    use super::*;

    #[tokio::test]
    async fn what_fails_and_what_panics_is_undone() {
        let undone = AtomicBool::new(false);
        let undo = async || {
            undone.store(true, Ordering::Relaxed);
            Ok(())
        };
        assert!(undo_after(async { bail!("no") as Result<()> }, undo()).await.is_err());
        assert!(undone.swap(false, Ordering::Relaxed));
        let panicking = undo_after(async { panic!("no") as Result<()> }, undo());
        assert!(AssertUnwindSafe(panicking).catch_unwind().await.is_err());
        assert!(undone.load(Ordering::Relaxed));
    }
}
