//! HTTP/2: its limits, and what HTTP/1.1 gets from the connection itself — time-outs on idleness and on responses that
//! nobody reads, here for each stream alone.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper_util::rt::TokioTimer;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::store::BoxError;

/// Requests at once on one connection.
const STREAMS: u32 = 100;
/// Requests that a client may cancel before they were looked at. More of them end the connection: opening and
/// cancelling is cheap for a client and work for a server (CVE-2023-44487).
const CANCELLED: usize = 20;
/// Streams that a connection may have reset for the client's own mistakes, before it ends.
const MISTAKEN: usize = 100;
/// How much of a body a client may send before it was read, in one stream and in all: what bounds the speed of an upload
/// over a long way (2 MiB in 50 ms are 40 MB/s) and the memory that a connection costs.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// The largest frame that a client may send.
const FRAME: u32 = 256 * 1024;
/// How much of a response is kept until the client takes it.
const SEND_BUFFER: usize = 1024 * 1024;
/// The largest piece of a response at once. A client that takes less than this in the time for a stall has stalled.
const PIECE: usize = 64 * 1024;
/// How often a connection is asked whether it is still there, and how long the answer may take.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(20);

/// The settings of a connection.
pub(super) fn builder(streams: Streams, largest_head: u32) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(largest_head)
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(CANCELLED)
        .max_local_error_reset_streams(MISTAKEN)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG);
    builder
}

/// The streams of one connection. It runs each as a task, and drops the task, which resets the stream, when its client
/// stops reading.
#[derive(Clone)]
pub(super) struct Streams {
    stall: Duration,
    count: Arc<watch::Sender<Count>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    open: usize,
    opened: u64,
}

impl Streams {
    pub(super) fn new(stall: Duration) -> Self {
        Self {
            stall,
            count: Arc::new(watch::Sender::new(Count::default())),
        }
    }

    /// Completes when there was no stream for as long as `limit`: none was opened, or what came was never a request.
    pub(super) async fn idle(&self, limit: Duration) {
        let mut counts = self.count.subscribe();
        loop {
            // The sender lives as long as `self`.
            let opened = counts.wait_for(|count| count.open == 0).await.map(|count| count.opened);
            let Ok(opened) = opened else { return };
            if timeout(limit, counts.wait_for(|count| count.opened != opened))
                .await
                .is_err()
            {
                return;
            }
        }
    }
}

/// A stream that is open.
struct Open(Arc<watch::Sender<Count>>);

impl Open {
    fn new(count: &Arc<watch::Sender<Count>>) -> Self {
        count.send_modify(|count| {
            count.open += 1;
            count.opened += 1;
        });
        Self(count.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|count| count.open -= 1);
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let (open, stall) = (Open::new(&self.count), self.stall);
        let progress = Progress::default();
        tokio::spawn(PROGRESS.scope(progress.clone(), async move {
            let _open = open;
            tokio::select! {
                () = stream => {}
                () = progress.stalled(stall) => tracing::debug!("a stream was reset: the client stopped reading"),
            }
        }));
    }
}

tokio::task_local! {
    /// The progress of the stream that this task is.
    static PROGRESS: Progress;
}

/// Since when a stream waits for its client to take what was given to it.
#[derive(Clone, Default)]
struct Progress(Arc<Mutex<Option<Instant>>>);

impl Progress {
    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    async fn stalled(&self, limit: Duration) {
        loop {
            let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let left = since.map_or(limit, |since| limit.saturating_sub(since.elapsed()));
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }
}

/// A response's body that notes when it was last asked for more.
pub(super) struct PacedBody<B> {
    body: B,
    rest: Bytes,
    progress: Progress,
}

impl<B> PacedBody<B> {
    /// Paces the response of the stream that runs this.
    pub(super) fn new(body: B) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            progress: PROGRESS.try_with(Clone::clone).unwrap_or_default(),
        }
    }
}

impl<B: Body<Data = Bytes, Error = BoxError> + Unpin> Body for PacedBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(context) {
                // Now it is the store that is waited for.
                Poll::Pending => {
                    self.progress.set(None);
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other @ Poll::Ready(_) => return other,
            }
        }
        self.progress.set(Some(Instant::now()));
        let length = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper + rest);
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_when_no_stream_was_open_for_as_long_as_the_limit() {
        let (streams, limit) = (Streams::new(Duration::from_secs(60)), Duration::from_secs(60));
        let started = Instant::now();
        streams.idle(limit).await;
        assert_eq!(started.elapsed(), limit);
        streams.execute(sleep(Duration::from_secs(90)));
        let started = Instant::now();
        streams.idle(limit).await;
        assert_eq!(started.elapsed(), Duration::from_secs(90) + limit);
        // One that was over at once counts as well.
        let started = Instant::now();
        let other = streams.clone();
        tokio::spawn(async move {
            sleep(Duration::from_secs(50)).await;
            other.execute(async {});
        });
        streams.idle(limit).await;
        assert_eq!(started.elapsed(), Duration::from_secs(50) + limit);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_when_its_client_takes_nothing_and_not_while_the_store_is_slow() {
        let (streams, limit) = (Streams::new(Duration::from_secs(60)), Duration::from_secs(600));
        let slow = async {
            let body = futures::stream::once(async {
                sleep(Duration::from_secs(200)).await;
                Ok(Bytes::from_static(b"x"))
            });
            let mut body = PacedBody::new(crate::body::stream::<BoxError>(body));
            assert!(body.frame().await.unwrap().is_ok());
        };
        let started = Instant::now();
        streams.execute(slow);
        streams.idle(limit).await;
        assert_eq!(started.elapsed(), Duration::from_secs(200) + limit);
        let stuck = async {
            let mut body = PacedBody::new(crate::body::full(Bytes::from_static(b"x")));
            assert!(body.frame().await.unwrap().is_ok());
            std::future::pending::<()>().await;
        };
        let started = Instant::now();
        streams.execute(stuck);
        streams.idle(limit).await;
        assert_eq!(started.elapsed(), Duration::from_secs(60) + limit);
    }

    #[tokio::test]
    async fn large_pieces_are_cut_and_nothing_is_lost() {
        let content: Bytes = (0..251).cycle().take(200_000).collect();
        let body = Full::new(content.clone()).map_err(|never| match never {});
        let mut body = PacedBody::new(body);
        let mut read = Vec::new();
        while let Some(frame) = {
            assert_eq!(body.size_hint().exact(), Some((content.len() - read.len()) as u64));
            body.frame().await
        } {
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE);
            read.extend_from_slice(&piece);
        }
        assert!(read == content && body.is_end_stream());
    }
}
