//! The stream: receives WAL and sends positions back.

use bytes::{Buf, BufMut, Bytes};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;

use super::connect::Replication;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;
use crate::names::wal::{SlotName, TimelineId};
use crate::postgres::wire::message::{Incoming, Wire};

/// Seconds from 1970 to 2000, PostgreSQL's epoch.
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
    /// The server is alive and has written up to here; it may want a reply now.
    Keepalive {
        /// How far the server's WAL goes.
        end: Lsn,
        /// Whether it wants a reply.
        answer: bool,
    },
    /// The timeline ends here: [`Streaming::next_timeline`] returns the next one.
    End,
}

/// A stream of WAL.
pub struct Streaming {
    wire: Wire,
}

impl Replication {
    /// Streams WAL of `timeline` from `begin`, through the slot.
    ///
    /// # Errors
    /// `Postgres`; SQLSTATE 58P01 if that WAL is gone, 55000 if the slot is lost, 55006 if another client
    /// uses it.
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

    /// Reports our position to the server: everything before `flushed` is durable, so the server may
    /// remove it and acknowledge its commits. `ask` requests a reply at once.
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

    /// Ends the stream after [`WalMessage::End`]; returns the next timeline and where it begins.
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
        Error::new(Kind::Postgres, format!("the server's stream is not WAL: {}", self.wire.place()))
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
