//! Time-outs on silence: of a client that stops sending a body, and of one that stops reading.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::store::BoxError;

/// A timer that runs only while somebody waits.
struct Patience {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self { limit, timer: None }
    }

    /// Something moved.
    fn reset(&mut self) {
        self.timer = None;
    }

    /// Nothing moved; ready when that has been so for too long.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| {
            let mut timer = Box::pin(sleep(limit));
            timer.as_mut().reset(Instant::now() + limit);
            timer
        });
        timer.as_mut().poll(context)
    }
}

/// A request's body that ends with an error when its client sends nothing for too long.
pub(super) struct StallBody<B> {
    body: B,
    patience: Patience,
}

impl<B> StallBody<B> {
    pub(super) fn new(body: B, limit: Duration) -> Self {
        Self {
            body,
            patience: Patience::new(limit),
        }
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin> Body for StallBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => {
                self.patience.reset();
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => match self.patience.poll(context) {
                Poll::Ready(()) => Poll::Ready(Some(Err(stalled("the client stopped sending").into()))),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection whose writes fail when its client reads nothing for too long. Reads wait as long as they like: silence
/// between requests, and in heads and bodies, is limited elsewhere.
pub(super) struct StallIo<S> {
    stream: S,
    patience: Patience,
}

impl<S> StallIo<S> {
    pub(super) fn new(stream: S, limit: Duration) -> Self {
        Self {
            stream,
            patience: Patience::new(limit),
        }
    }
}

impl<S> StallIo<S> {
    fn written<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        match written {
            Poll::Ready(result) => {
                self.patience.reset();
                Poll::Ready(result)
            }
            Poll::Pending => match self.patience.poll(context) {
                Poll::Ready(()) => Poll::Ready(Err(stalled("the client stopped reading"))),
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buffer);
        self.written(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.written(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn stalled(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_may_be_slow_but_not_silent() {
        let pieces = futures::stream::unfold(0_u64, |index| async move {
            let pause = if index < 20 {
                Duration::from_secs(50)
            } else {
                Duration::from_secs(3600)
            };
            sleep(pause).await;
            Some((Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"x"))), index + 1))
        });
        let mut body = StallBody::new(Box::pin(StreamBody::new(pieces)), Duration::from_secs(60));
        let started = Instant::now();
        for _ in 0..20 {
            assert!(body.frame().await.unwrap().is_ok());
        }
        assert_eq!(started.elapsed(), Duration::from_secs(20 * 50));
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(error.to_string().contains("stopped sending"), "{error}");
        assert_eq!(started.elapsed(), Duration::from_secs(20 * 50 + 60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stopped_reading_is_given_up() {
        let (near, _far) = tokio::io::duplex(16);
        let mut io = StallIo::new(near, Duration::from_secs(60));
        io.write_all(&[0; 16]).await.unwrap();
        let started = Instant::now();
        let error = io.write_all(&[0; 1]).await.unwrap_err();
        assert_eq!(
            (error.kind(), started.elapsed()),
            (io::ErrorKind::TimedOut, Duration::from_secs(60))
        );
    }
}
