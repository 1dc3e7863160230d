//! Bodies of requests and answers that end early, arrive damaged, or trickle.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, Stream, StreamExt};
use hyper::body::{Frame, SizeHint};
use s3s::{Body, StdError};

/// The steps in which a slow body passes.
const SLOW_STEP: Duration = Duration::from_millis(20);
/// How long a body that will be cut waits for its last bytes to leave.
const FLUSH: Duration = Duration::from_millis(30);

/// What happens to a body on its way.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    /// An error after this many bytes, which drops the connection.
    Cut(u64),
    /// The lowest bit of this byte is flipped.
    Flip(u64),
    /// At most this many bytes a second.
    Slow(u64),
}

pub(crate) fn shape(body: Body, shape: Shape) -> Body {
    let announced = hyper::body::Body::size_hint(&body);
    let frames = match shape {
        Shape::Cut(limit) => cut(body, limit).boxed(),
        Shape::Flip(byte) => flip(body, byte).boxed(),
        Shape::Slow(rate) => trickle(body, rate).boxed(),
    };
    Body::http_body_unsync(Shaped { pieces: frames, announced })
}

/// The pieces of a body under the length that the whole one announces: the server asks for it.
struct Shaped {
    pieces: BoxStream<'static, Piece>,
    announced: SizeHint,
}

impl hyper::body::Body for Shaped {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        self.pieces.poll_next_unpin(cx).map_ok(Frame::data)
    }

    fn size_hint(&self) -> SizeHint {
        self.announced
    }
}

type Piece = Result<Bytes, StdError>;

fn cut(body: Body, limit: u64) -> impl Stream<Item = Piece> + Send + 'static {
    stream::unfold(Some((body, limit)), |state| async move {
        let (mut body, left) = state?;
        if left == 0 {
            tokio::time::sleep(FLUSH).await; // else what came before would die in the server's buffer
            return Some((Err("body cut by plan".into()), None));
        }
        match body.next().await? {
            Ok(piece) => {
                let passed = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                Some((Ok(piece.slice(..passed)), Some((body, left - passed as u64))))
            }
            Err(e) => Some((Err(e), None)),
        }
    })
}

fn flip(body: Body, byte: u64) -> impl Stream<Item = Piece> + Send + 'static {
    let mut at = 0;
    body.map(move |piece| {
        let piece = piece?;
        let place = byte.checked_sub(at).filter(|place| *place < piece.len() as u64);
        at += piece.len() as u64;
        let Some(place) = place else { return Ok(piece) };
        let mut damaged = piece.to_vec();
        damaged[place as usize] ^= 1;
        Ok(damaged.into())
    })
}

fn trickle(body: Body, bytes_per_second: u64) -> impl Stream<Item = Piece> + Send + 'static {
    let step = (bytes_per_second as f64 * SLOW_STEP.as_secs_f64()).max(1.0) as usize;
    let cut = body.flat_map(move |piece| match piece {
        Ok(piece) => {
            let cuts = (0..piece.len()).step_by(step);
            let parts: Vec<_> = cuts.map(|at| Ok(piece.slice(at..piece.len().min(at + step)))).collect();
            stream::iter(parts)
        }
        Err(e) => stream::iter(vec![Err(e)]),
    });
    cut.then(move |part| async move {
        let bytes = part.as_ref().map_or(0, Bytes::len);
        tokio::time::sleep(Duration::from_secs_f64(bytes as f64 / bytes_per_second as f64)).await;
        part
    })
}
