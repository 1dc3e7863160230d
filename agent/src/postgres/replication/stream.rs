//! The stream itself: WAL in, positions back.

use bytes::{Buf, BufMut, Bytes};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;

use super::connect::Replication;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;
use crate::names::wal::{SlotName, TimelineId};
use crate::postgres::wire::message::{Incoming, Wire};

/// Seconds from 1970 to 2000, where PostgreSQL's time begins.
const EPOCH_SECONDS: i64 = 946_684_800;

/// A message of the stream.
#[derive(Debug)]
pub enum WalMessage {
    /// WAL.
    Wal {
        /// The position of its first byte.
        begin: Lsn,
        /// How far the server's WAL goes.
        end: Lsn,
        /// Itself.
        wal: Bytes,
    },
    /// The server is alive and has written up to here; it may want an answer now.
    Keepalive {
        /// How far the server's WAL goes.
        end: Lsn,
        /// Whether it waits for an answer.
        answer: bool,
    },
    /// The timeline ends here: [`Streaming::next_timeline`] tells what follows.
    End,
}

/// A stream of WAL.
pub struct Streaming {
    wire: Wire,
}

impl Replication {
    /// Streams from `begin` on, out of `timeline`, through the slot.
    ///
    /// # Errors
    /// `Postgres`; SQLSTATE 58P01 where that WAL is gone, 55000 where the slot is lost, 55006
    /// where somebody else uses it.
    pub async fn stream(mut self, slot: &SlotName, begin: Lsn, timeline: TimelineId) -> Result<Streaming> {
        let sql = format!("START_REPLICATION SLOT \"{slot}\" PHYSICAL {begin} TIMELINE {}", timeline.0);
        self.wire.send(|buffer| frontend::query(&sql, buffer)).await?;
        match self.wire.next().await? {
            Incoming::CopyBoth => Ok(Streaming { wire: self.wire }),
            _ => Err(self.unexpected()),
        }
    }
}

impl Streaming {
    /// The next message. Cancel-safe.
    pub async fn next(&mut self) -> Result<WalMessage> {
        match self.wire.next().await? {
            Incoming::Copy(data) => parse(data).ok_or_else(|| self.broken()),
            Incoming::Other(Message::CopyDone) => Ok(WalMessage::End),
            _ => Err(self.broken()),
        }
    }

    /// Tells the server what we have: `flushed` is durable, and it may forget or acknowledge what
    /// is before. `ask` wants an answer at once.
    pub async fn report(&mut self, written: Lsn, flushed: Lsn, ask: bool) -> Result<()> {
        let now = clock::now().as_microsecond() - EPOCH_SECONDS * 1_000_000;
        let mut update = Vec::with_capacity(34);
        update.put_u8(b'r');
        update.put_u64(written.0);
        update.put_u64(flushed.0);
        update.put_u64(0); // nothing is replayed here
        update.put_i64(now);
        update.put_u8(u8::from(ask));
        self.wire
            .send(|buffer| frontend::CopyData::new(update.as_slice()).map(|data| data.write(buffer)))
            .await
    }

    /// Ends the stream after [`WalMessage::End`]: the timeline that follows, and where it begins.
    pub async fn next_timeline(mut self) -> Result<(Replication, Option<(TimelineId, Lsn)>)> {
        self.wire
            .send(|buffer| {
                frontend::copy_done(buffer);
                Ok(())
            })
            .await?;
        let mut replication = Replication::after_stream(self.wire);
        let rows = replication.rows().await?;
        let next = rows.first().and_then(|row| {
            let timeline = row.first()?.as_ref()?.parse().ok()?;
            Some((TimelineId(timeline), row.get(1)?.as_ref()?.parse().ok()?))
        });
        Ok((replication, next))
    }

    fn broken(&self) -> Error {
        Error::new(Kind::Postgres, format!("a stream that is not WAL: {}", self.wire.place()))
    }
}

fn parse(mut data: Bytes) -> Option<WalMessage> {
    let tag = data.try_get_u8().ok()?;
    let begin = Lsn(data.try_get_u64().ok()?);
    match tag {
        b'w' => {
            let end = Lsn(data.try_get_u64().ok()?);
            data.try_get_i64().ok()?; // when it was sent
            Some(WalMessage::Wal { begin, end, wal: data })
        }
        b'k' => {
            data.try_get_i64().ok()?;
            Some(WalMessage::Keepalive { end: begin, answer: data.try_get_u8().ok()? != 0 })
        }
        _ => None,
    }
}
