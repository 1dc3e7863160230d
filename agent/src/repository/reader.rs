//! Reads a stored object on a blocking thread: a `Read` over its stream.

use std::io::Read;

use bytes::{Buf, Bytes};
use futures::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::error::{Error, Kind, Result};
use crate::store::Store;

/// Pieces fetched ahead; the store gives pieces of some 8 KiB to 1 MiB.
const PIECES_AHEAD_MAX: usize = 8;

/// An object that is being fetched. Read errors contain the store's own error; after an error, every read
/// fails. Use it on a blocking thread.
pub struct ObjectReader {
    key: String,
    pieces: mpsc::Receiver<Result<Bytes>>,
    current: Bytes,
    failed: Option<(Kind, String)>,
    _fetch: AbortOnDropHandle<()>,
}

impl ObjectReader {
    /// Begins to fetch `key`.
    pub fn new(store: &Store, runtime: &Handle, key: String) -> ObjectReader {
        let (sender, pieces) = mpsc::channel(PIECES_AHEAD_MAX);
        let (store, wanted) = (store.clone(), key.clone());
        let fetch = runtime.spawn(async move {
            let mut stream = match store.get_stream(&wanted).await {
                Ok((_, stream)) => stream,
                Err(e) => {
                    let _ = sender.send(Err(e)).await; // that nobody waits any more is no error
                    return;
                }
            };
            while let Some(piece) = stream.next().await {
                let stop = piece.is_err();
                if sender.send(piece).await.is_err() || stop {
                    return;
                }
            }
        });
        let fetch = AbortOnDropHandle::new(fetch);
        ObjectReader { key, pieces, current: Bytes::new(), failed: None, _fetch: fetch }
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if let Some((kind, what)) = &self.failed {
            return Err(std::io::Error::other(Error::new(*kind, what.clone())));
        }
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(Ok(piece)) => self.current = piece,
                Some(Err(e)) => {
                    self.failed = Some((e.kind(), format!("cannot read {}: {}", self.key, e.what())));
                    return Err(std::io::Error::other(e));
                }
            }
        }
        let n = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..n]);
        Ok(n)
    }
}
