//! Buffers that are used again: the system would clear each new one, which costs as much as filling it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// How many buffers are kept for later at most, so that a busy hour does not cost memory for ever.
const KEPT: usize = 16;

/// Buffers of one size.
#[derive(Debug)]
pub(super) struct Buffers {
    size: usize,
    idle: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    /// Buffers of `size` bytes.
    pub(super) fn new(size: usize) -> Self {
        Self {
            size,
            idle: Mutex::default(),
        }
    }

    /// The first `length` bytes of a buffer, as `fill` leaves them. It comes back when nobody needs them any more.
    pub(super) fn fill<E>(
        self: &Arc<Self>,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Bytes, E> {
        let kept = self.idle().pop();
        let mut buffer = Buffer {
            content: kept.unwrap_or_else(|| vec![0; self.size]),
            length: length.min(self.size),
            home: self.clone(),
        };
        fill(&mut buffer.content[..buffer.length])?;
        Ok(Bytes::from_owner(buffer))
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer that is in use.
struct Buffer {
    content: Vec<u8>,
    length: usize,
    home: Arc<Buffers>,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.content[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut idle = self.home.idle();
        if idle.len() < KEPT {
            idle.push(std::mem::take(&mut self.content));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_shows_only_what_was_filled_and_comes_back() {
        let buffers = Arc::new(Buffers::new(4));
        let fill = |content: &'static [u8]| {
            buffers.fill(content.len(), |buffer| {
                buffer.copy_from_slice(content);
                Ok::<_, ()>(())
            })
        };
        let (first, second) = (fill(b"abcd").unwrap(), fill(b"ef").unwrap());
        assert_eq!((&first[..], &second[..]), (&b"abcd"[..], &b"ef"[..]));
        let part = first.slice(1..2);
        drop(first);
        assert_eq!(buffers.idle().len(), 0, "a part of it is still needed");
        drop((part, second));
        assert_eq!(buffers.idle().len(), 2);
        assert_eq!(&fill(b"g").unwrap()[..], b"g", "nothing of the content before");
        assert!(buffers.fill(1, |_| Err(())).is_err());
        assert_eq!(buffers.idle().len(), 2, "a failure loses none");
    }
}
