//! Bodies of requests and responses.

use bytes::{Bytes, BytesMut};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};

use crate::store::{BoxError, Chunks};

/// The body of a request, whatever carries it.
pub type RequestBody = UnsyncBoxBody<Bytes, BoxError>;
/// The body of a response.
pub type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;

/// A body without content.
pub fn empty() -> ResponseBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that is here already.
pub fn full(content: Bytes) -> ResponseBody {
    Full::new(content).map_err(|never| match never {}).boxed_unsync()
}

/// A body that comes piece by piece.
pub fn stream<E: Into<BoxError> + 'static>(
    pieces: impl futures::Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> ResponseBody {
    use futures::TryStreamExt;
    StreamBody::new(pieces.map_ok(http_body::Frame::data).map_err(Into::into)).boxed_unsync()
}

/// The pieces of a request's body, trailers left out.
pub fn chunks(body: RequestBody) -> Chunks {
    use futures::StreamExt;
    body.into_data_stream().boxed()
}

/// Why a body was not collected.
#[derive(Debug)]
pub enum CollectError {
    /// It is larger than the limit.
    TooLarge,
    /// It did not come to its end.
    Interrupted(BoxError),
}

/// Collects a body of at most `limit` bytes.
///
/// # Errors
/// Where the body is larger, or ends early.
pub async fn collect(mut body: RequestBody, limit: usize) -> Result<Bytes, CollectError> {
    let mut content = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // Trailers carry nothing that is needed here.
        let Ok(data) = frame.map_err(CollectError::Interrupted)?.into_data() else {
            continue;
        };
        if content.len() + data.len() > limit {
            return Err(CollectError::TooLarge);
        }
        content.extend_from_slice(&data);
    }
    Ok(content.freeze())
}
