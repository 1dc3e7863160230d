//! Uploads from a blocking thread: a `Write` whose bytes are uploaded on the runtime, through a bounded
//! channel.

use std::io::Write;

use bytes::{Bytes, BytesMut};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::error::{Error, Kind, Result};
use crate::store::Store;

/// Bytes travel to the upload in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;
/// Pieces that may wait for the upload; bounds memory together with the store's parts.
const PIECES_WAITING_MAX: usize = 4;

type Upload = AbortOnDropHandle<Result<u64>>;

/// One object that is being uploaded. Write errors contain the store's own error (`Error::carried`). Dropped
/// before [`UploadSink::end`], the upload is aborted and nothing appears.
pub struct UploadSink {
    key: String,
    piece: BytesMut,
    sender: mpsc::Sender<Bytes>,
    upload: Option<Upload>,
    runtime: Handle,
}

impl UploadSink {
    /// Begins the upload of `key`.
    pub fn new(store: &Store, runtime: &Handle, key: String) -> UploadSink {
        let (sender, pieces) = mpsc::channel(PIECES_WAITING_MAX);
        let upload = runtime.spawn(upload(store.clone(), key.clone(), pieces));
        UploadSink {
            key,
            piece: BytesMut::with_capacity(PIECE_BYTES),
            sender,
            upload: Some(AbortOnDropHandle::new(upload)),
            runtime: runtime.clone(),
        }
    }

    fn send(&mut self, piece: Bytes) -> std::io::Result<()> {
        if self.sender.blocking_send(piece).is_ok() {
            return Ok(());
        }
        let ended = self.upload.take().map(|upload| self.runtime.block_on(upload));
        let why = match ended {
            Some(Ok(Err(e))) => e,
            _ => Error::new(Kind::Internal, format!("the upload of {} was stopped", self.key)),
        };
        Err(std::io::Error::other(why))
    }

    /// Sends the rest. The object exists when [`Finishing::wait`] returns `Ok`.
    pub fn end(mut self) -> Result<Finishing> {
        let rest = self.piece.split().freeze();
        let sent = if rest.is_empty() { Ok(()) } else { self.send(rest) };
        // An empty piece marks the end: a dropped sender alone must not make an object.
        sent.and_then(|()| self.send(Bytes::new()))
            .map_err(|e| Error::carried(Kind::Io, format!("cannot store {}", self.key), e))?;
        Ok(Finishing { key: self.key, upload: self.upload, runtime: self.runtime })
    }
}

async fn upload(store: Store, key: String, mut pieces: mpsc::Receiver<Bytes>) -> Result<u64> {
    let mut upload = store.upload(&key).await?;
    while let Some(piece) = pieces.recv().await {
        if piece.is_empty() {
            return upload.finish().await;
        }
        upload.write(piece).await?;
    }
    let _ = upload.abort().await; // logged below; nothing became visible
    Err(Error::new(Kind::Interrupted, format!("the upload of {key} was abandoned")))
}

impl Write for UploadSink {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let n = data.len().min(PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(&data[..n]);
        if self.piece.len() == PIECE_BYTES {
            let full = std::mem::replace(&mut self.piece, BytesMut::with_capacity(PIECE_BYTES));
            self.send(full.freeze())?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// An object whose bytes are all sent.
pub struct Finishing {
    key: String,
    upload: Option<Upload>,
    runtime: Handle,
}

impl Finishing {
    /// Waits until the object is durable, and checks that as many bytes arrived as were written.
    pub fn wait(self, bytes: u64) -> Result<()> {
        let Some(upload) = self.upload else {
            return Err(Error::new(Kind::Internal, format!("the upload of {} was stopped", self.key)));
        };
        let stored = self.runtime.block_on(upload).map_err(|e| {
            Error::new(Kind::Internal, format!("the upload of {} failed", self.key)).because(e)
        })??;
        if stored != bytes {
            let what = format!("{}: {bytes} bytes were written but {stored} were stored", self.key);
            return Err(Error::new(Kind::Internal, what));
        }
        Ok(())
    }
}
