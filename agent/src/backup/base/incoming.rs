//! Reads what a server sends of a base backup, on a blocking thread: at the configured pace, until the run
//! ends.

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::backup::pace::{self, Pace};
use crate::error::Result;
use crate::names::Lsn;
use crate::postgres::replication::{BaseMessage, BaseStream};

/// The next thing that comes.
pub enum Next {
    /// A tar archive: read its [`Incoming::data`].
    Archive(Option<u32>),
    /// Nothing more.
    End {
        /// Where the copy is consistent.
        stop_lsn: Lsn,
        /// Whether the server, too, found pages with wrong checksums.
        corrupted: bool,
    },
}

/// A base backup on its way in.
pub struct Incoming {
    runtime: Handle,
    stream: BaseStream,
    cancel: CancellationToken,
    pace: Pace,
    /// A message that came after an archive.
    pending: Option<BaseMessage>,
}

impl Incoming {
    /// Reads `stream` no faster than `pace` allows: the server waits while nobody reads.
    pub fn new(runtime: Handle, stream: BaseStream, cancel: CancellationToken, pace: Pace) -> Incoming {
        Incoming { runtime, stream, cancel, pace, pending: None }
    }

    /// What comes next; the unread rest of an archive is skipped.
    pub fn next(&mut self) -> Result<Next> {
        while self.data()?.is_some() {}
        Ok(match self.message()? {
            BaseMessage::End { stop_lsn, corrupted } => Next::End { stop_lsn, corrupted },
            BaseMessage::Archive(oid) => Next::Archive(oid),
            BaseMessage::Data(_) => Next::Archive(None), // `data` took all of them
        })
    }

    /// More of the archive; `None` at its end.
    pub fn data(&mut self) -> Result<Option<Bytes>> {
        match self.message()? {
            BaseMessage::Data(data) => {
                self.pace.take(data.len() as u64)?;
                Ok(Some(data))
            }
            other => {
                self.pending = Some(other);
                Ok(None)
            }
        }
    }

    fn message(&mut self) -> Result<BaseMessage> {
        if let Some(message) = self.pending.take() {
            return Ok(message);
        }
        let Incoming { runtime, stream, cancel, .. } = self;
        let message = runtime.block_on(async {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(pace::stopped()),
                message = stream.next() => message,
            }
        });
        message.map_err(|e| match e.effect_text() {
            Some(_) => e,
            None => e.effect("no base backup was stored").safe("running again is safe"),
        })
    }
}
