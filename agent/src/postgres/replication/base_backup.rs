//! `BASE_BACKUP`: the server reads its own data directory and sends it as tar archives (PostgreSQL
//! manual, 55.4). Up to version 14 each archive is its own COPY; since 15 all are in one.

use std::time::Duration;

use bytes::{Buf, Bytes};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;

use super::connect::{Replication, Rows, cells};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;
use crate::postgres::quote::literal;
use crate::postgres::wire::message::{Incoming, Wire, code_of};

/// How long the (fast) checkpoint before a backup may take, together with the server's walk over all files
/// for their sizes.
const START_WAIT_MAX: Duration = Duration::from_secs(30 * 60);
/// How long the server may send nothing afterwards.
const SILENCE_MAX: Duration = Duration::from_secs(10 * 60);
/// The server's SQLSTATE if a page's checksum was wrong twice; by then everything was sent.
const DATA_CORRUPTED: &str = "XX001";

/// What the server reports before it sends any data.
#[derive(Clone, Debug)]
pub struct BaseStart {
    /// Where replay starts.
    pub start_lsn: Lsn,
    /// OID and directory of every tablespace outside the data directory.
    pub tablespaces: Vec<(u32, String)>,
    /// About how many bytes it will send, without WAL.
    pub bytes: u64,
}

/// A message of a base backup.
#[derive(Debug)]
pub enum BaseMessage {
    /// A tar archive begins: of the tablespace with this OID, or of the data directory itself.
    Archive(Option<u32>),
    /// The next bytes of the archive.
    Data(Bytes),
    /// Everything was sent.
    End {
        /// Where the copy is consistent.
        stop_lsn: Lsn,
        /// Whether the server also found pages with wrong checksums.
        corrupted: bool,
    },
}

/// A base backup that is being sent.
pub struct BaseStream {
    wire: Wire,
    /// One COPY with messages in it (15 and newer).
    one_copy: bool,
    /// Archives of an older server that are still to come, the next one last.
    to_come: Vec<Option<u32>>,
    /// Whether the next archive has already begun.
    begun: bool,
}

impl Replication {
    /// Creates a slot that keeps WAL since the last checkpoint until this connection ends.
    pub async fn temporary_slot(&mut self, name: &str) -> Result<()> {
        let sql = format!("CREATE_REPLICATION_SLOT \"{name}\" TEMPORARY PHYSICAL RESERVE_WAL");
        self.query(&sql).await.map(drop)
    }

    /// Starts a base backup with its WAL, after a fast checkpoint. The server verifies page checksums: it can
    /// read a page again that was being written. `in_place` says that there are tablespaces in `pg_tblspc`
    /// itself.
    ///
    /// # Errors
    /// `Postgres`: no WAL sender is free, `wal_level` is too low, or the connection is lost.
    pub async fn base_backup(
        mut self,
        label: &str,
        major: u32,
        in_place: bool,
    ) -> Result<(BaseStart, BaseStream)> {
        let (start, to_come) = within(START_WAIT_MAX, self.begin(&command(label, major, in_place))).await?;
        let one_copy = major >= 15;
        let to_come = if one_copy { Vec::new() } else { to_come };
        Ok((start, BaseStream { wire: self.wire, one_copy, to_come, begun: !one_copy }))
    }

    async fn begin(&mut self, command: &str) -> Result<(BaseStart, Vec<Option<u32>>)> {
        self.wire.send(|buffer| frontend::query(command, buffer)).await?;
        let (begun, archives) = (result(&mut self.wire).await?, result(&mut self.wire).await?);
        let parsed = start(&begun, &archives).ok_or_else(|| broken(&self.wire))?;
        match self.wire.next().await? {
            Incoming::Other(Message::CopyOutResponse(_)) => Ok(parsed),
            _ => Err(broken(&self.wire)),
        }
    }
}

/// The command in the syntax of this major version. Version 15 with `tablespace_map` leaves out everything in
/// `pg_tblspc`, including in-place tablespaces; newer versions send those as separate archives.
fn command(label: &str, major: u32, in_place: bool) -> String {
    let label = literal(label);
    let map = if major == 15 && in_place { "" } else { "TABLESPACE_MAP, " };
    match major {
        15.. => format!(
            "BASE_BACKUP (LABEL {label}, PROGRESS, CHECKPOINT 'fast', WAL, WAIT false, {map}MANIFEST 'no')"
        ),
        _ => format!("BASE_BACKUP LABEL {label} PROGRESS FAST WAL NOWAIT TABLESPACE_MAP"),
    }
}

/// Reads the two answers before the archives; returns the archives' order, the first one last.
fn start(begun: &Rows, archives: &Rows) -> Option<(BaseStart, Vec<Option<u32>>)> {
    let start_lsn = begun.first()?.first()?.as_ref()?.parse().ok()?;
    let mut start = BaseStart { start_lsn, tablespaces: Vec::new(), bytes: 0 };
    let mut order = Vec::new();
    for row in archives {
        let [oid, location, kilobytes, ..] = row.as_slice() else { return None };
        let kilobytes: u64 = kilobytes.as_ref()?.parse().ok()?;
        start.bytes = start.bytes.saturating_add(kilobytes.saturating_mul(1024));
        let oid = match oid {
            Some(oid) => Some(oid.parse().ok()?),
            None => None,
        };
        if let Some(oid) = oid {
            start.tablespaces.push((oid, location.clone()?));
        }
        order.insert(0, oid);
    }
    start.tablespaces.sort();
    (!order.is_empty()).then_some((start, order))
}

impl BaseStream {
    /// The next message.
    ///
    /// # Errors
    /// `Postgres`: the server reported an error, the connection is lost, or nothing arrived for ten minutes.
    pub async fn next(&mut self) -> Result<BaseMessage> {
        within(SILENCE_MAX, self.message()).await
    }

    async fn message(&mut self) -> Result<BaseMessage> {
        if std::mem::take(&mut self.begun) {
            return Ok(BaseMessage::Archive(self.to_come.pop().flatten()));
        }
        loop {
            match self.wire.next().await? {
                Incoming::Copy(data) if !self.one_copy => return Ok(BaseMessage::Data(data)),
                Incoming::Copy(data) => match parse(data) {
                    Some(Some(message)) => return Ok(message),
                    Some(None) => {}
                    None => return Err(broken(&self.wire)),
                },
                Incoming::Other(Message::CopyDone) if self.to_come.is_empty() => return self.end().await,
                Incoming::Other(Message::CopyDone) => match self.wire.next().await? {
                    Incoming::Other(Message::CopyOutResponse(_)) => {
                        return Ok(BaseMessage::Archive(self.to_come.pop().flatten()));
                    }
                    _ => return Err(broken(&self.wire)),
                },
                _ => return Err(broken(&self.wire)),
            }
        }
    }

    /// After the last archive: reads the end of the backup and whether the server reports success.
    async fn end(&mut self) -> Result<BaseMessage> {
        let rows = result(&mut self.wire).await?;
        let stop_lsn = rows.first().and_then(|row| row.first()?.as_ref()?.parse().ok());
        let stop_lsn = stop_lsn.ok_or_else(|| broken(&self.wire))?;
        loop {
            match self.wire.next().await {
                Ok(Incoming::Other(Message::ReadyForQuery(_))) => {
                    return Ok(BaseMessage::End { stop_lsn, corrupted: false });
                }
                Ok(Incoming::Other(_)) => {}
                Ok(_) => return Err(broken(&self.wire)),
                Err(e) if code_of(&e) == Some(DATA_CORRUPTED) => {
                    return Ok(BaseMessage::End { stop_lsn, corrupted: true });
                }
                Err(e) => return Err(e),
            }
        }
    }
}

/// A message inside the single COPY of newer servers: `Some(None)` is one to ignore, `None` is an invalid
/// one.
fn parse(mut data: Bytes) -> Option<Option<BaseMessage>> {
    match data.try_get_u8().ok()? {
        b'd' => Some(Some(BaseMessage::Data(data))),
        b'p' => Some(None), // progress: we count the bytes ourselves
        b'n' => {
            let name = data.split(|byte| *byte == 0).next()?;
            let name = std::str::from_utf8(name).ok()?.strip_suffix(".tar")?;
            let oid = if name == "base" { None } else { Some(name.parse().ok()?) };
            Some(Some(BaseMessage::Archive(oid)))
        }
        _ => None, // 'm' would be a manifest, which we did not request
    }
}

/// The rows of one answer.
async fn result(wire: &mut Wire) -> Result<Rows> {
    let mut rows = Rows::new();
    loop {
        match wire.next().await? {
            Incoming::Other(Message::RowDescription(_)) => {}
            Incoming::Other(Message::DataRow(row)) => rows.push(cells(&row).ok_or_else(|| broken(wire))?),
            Incoming::Other(Message::CommandComplete(_)) => return Ok(rows),
            _ => return Err(broken(wire)),
        }
    }
}

fn broken(wire: &Wire) -> Error {
    Error::new(Kind::Postgres, format!("the server's base backup has an unknown format: {}", wire.place()))
        .next("if there is a proxy, connect to the server itself: replication needs that")
}

async fn within<T>(most: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(most, work).await.unwrap_or_else(|_| {
        let silence = clock::span_text(most);
        Err(Error::new(Kind::Postgres, format!("the server sent nothing of the base backup for {silence}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_major_is_asked_in_its_own_words() {
        let old = "BASE_BACKUP LABEL 'it''s' PROGRESS FAST WAL NOWAIT TABLESPACE_MAP";
        assert_eq!([13, 14].map(|major| command("it's", major, false)), [old, old]);
        let new = "BASE_BACKUP (LABEL 'x', PROGRESS, CHECKPOINT 'fast', WAL, WAIT false, TABLESPACE_MAP, MANIFEST 'no')";
        assert_eq!([15, 18].map(|major| command("x", major, false)), [new, new]);
        assert_eq!(
            [15, 18].map(|major| command("x", major, true)),
            [&new.replace("TABLESPACE_MAP, ", ""), new]
        );
    }

    #[test]
    fn messages_and_answers_are_read() {
        let parsed = |data: &'static [u8]| parse(Bytes::from_static(data));
        assert!(matches!(parsed(b"nbase.tar\0\0"), Some(Some(BaseMessage::Archive(None)))));
        assert!(matches!(parsed(b"n16390.tar\0/far\0"), Some(Some(BaseMessage::Archive(Some(16390))))));
        assert!(matches!(parsed(b"dxyz"), Some(Some(BaseMessage::Data(data))) if data == "xyz"));
        assert!(matches!(parsed(b"p\0\0\0\0\0\0\0\x01"), Some(None)));
        for bad in [&b""[..], b"m", b"n../x.tar\0", b"nbase.tar.gz\0"] {
            assert!(parsed(bad).is_none(), "{bad:?}");
        }
        let text = |cells: &[&str]| {
            cells.iter().map(|c| (!c.is_empty()).then(|| (*c).to_owned())).collect::<Vec<_>>()
        };
        let begun = vec![text(&["0/2000028", "1"])];
        let archives = vec![text(&["16390", "/far", "7"]), text(&["", "", "30"])];
        let (started, order) = start(&begun, &archives).unwrap();
        assert_eq!((started.start_lsn, started.bytes), (Lsn(0x200_0028), 37 << 10));
        assert_eq!(started.tablespaces, [(16390, "/far".to_owned())]);
        assert_eq!(order, [None, Some(16390)], "the data directory comes last");
        assert!(start(&begun, &vec![]).is_none() && start(&archives, &archives).is_none());
    }
}
