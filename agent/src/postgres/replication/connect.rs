//! Opens a replication connection and runs the few commands that it supports.

use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::DataRowBody;
use postgres_protocol::message::frontend;

use crate::error::{Error, Result};
use crate::names::Lsn;
use crate::names::wal::{SegmentBytes, SlotName, TimelineId};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::safe_settings as settings;
use crate::postgres::wire::login::{Purpose, login};
use crate::postgres::wire::message::{Piece, Wire};

/// A connection that does not stream yet.
pub struct Replication {
    pub(super) wire: Wire,
}

/// The server's identity and current position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    /// The cluster's identity.
    pub identifier: String,
    /// The timeline that it writes, or replays.
    pub timeline: TimelineId,
    /// How far it has flushed, or replayed.
    pub flushed: Lsn,
    /// Its segment size.
    pub segment_bytes: SegmentBytes,
}

/// Rows of text.
pub(super) type Rows = Vec<Vec<Option<String>>>;

impl Replication {
    /// Connects; `application_name` is our name in `synchronous_standby_names`.
    ///
    /// # Errors
    /// `Postgres`: no answer or wrong password; `Denied`: no REPLICATION privilege or no line in pg_hba.conf;
    /// `Config`: a pooler answers.
    pub async fn connect(options: &PostgresOptions, application_name: &str) -> Result<Replication> {
        let settings = settings::for_replication();
        let login = login(options, Purpose::Replication, application_name, &settings).await?;
        Ok(Replication { wire: login.wire })
    }

    /// Reads the server's identity and current position.
    pub async fn system(&mut self) -> Result<System> {
        let rows = self.query("IDENTIFY_SYSTEM").await?;
        let size = self.query("SHOW wal_segment_size").await?;
        let cell = |rows: &Rows, column: usize| rows.first()?.get(column)?.clone();
        let parsed = || {
            Some(System {
                identifier: cell(&rows, 0)?,
                timeline: TimelineId(cell(&rows, 1)?.parse().ok()?),
                flushed: cell(&rows, 2)?.parse().ok()?,
                segment_bytes: size_of(&cell(&size, 0)?)?,
            })
        };
        parsed().ok_or_else(|| self.unexpected())
    }

    /// Creates a physical slot that keeps WAL from now on.
    ///
    /// # Errors
    /// SQLSTATE 42710 if it exists.
    pub async fn create_slot(&mut self, slot: &SlotName) -> Result<()> {
        let sql = format!("CREATE_REPLICATION_SLOT \"{slot}\" PHYSICAL RESERVE_WAL");
        self.query(&sql).await.map(drop).map_err(|e| {
            e.context(format!("create replication slot {slot}"))
                .next("raise max_replication_slots, or drop a slot that nobody uses")
        })
    }

    /// The text of a timeline's history file.
    pub async fn history(&mut self, timeline: TimelineId) -> Result<String> {
        let rows = self.query(&format!("TIMELINE_HISTORY {}", timeline.0)).await?;
        let text = rows.first().and_then(|row| row.get(1)?.clone());
        text.ok_or_else(|| self.unexpected())
    }

    /// A connection whose stream has ended.
    pub(super) fn after_stream(wire: Wire) -> Replication {
        Replication { wire }
    }

    /// Runs one command and returns its rows; after an error the connection can be used again.
    pub(super) async fn query(&mut self, sql: &str) -> Result<Rows> {
        self.wire.send(|buffer| frontend::query(sql, buffer)).await?;
        self.rows().await
    }

    /// The rows up to ReadyForQuery.
    pub(super) async fn rows(&mut self) -> Result<Rows> {
        let (mut rows, mut broken) = (Rows::new(), false);
        let answer = self.wire.answer(|piece| {
            match piece {
                Piece::Row(row) => match cells(&row) {
                    Some(row) => rows.push(row),
                    None => broken = true,
                },
                Piece::Copy(_) => broken = true,
            }
            Ok(())
        });
        answer.await?;
        if broken { Err(self.unexpected()) } else { Ok(rows) }
    }

    pub(super) fn unexpected(&self) -> Error {
        self.wire.unexpected()
    }
}

/// The columns of a row, as text.
pub(super) fn cells(row: &DataRowBody) -> Option<Vec<Option<String>>> {
    let cells =
        row.ranges().map(|range| Ok(range.map(|at| String::from_utf8_lossy(&row.buffer()[at]).into_owned())));
    cells.collect().ok()
}

/// Parses `16MB`, the format of SHOW.
fn size_of(text: &str) -> Option<SegmentBytes> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let scale = match &text[digits..] {
        "MB" => 20,
        "GB" => 30,
        _ => return None,
    };
    SegmentBytes::try_from(text[..digits].parse::<u64>().ok()? << scale).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_sizes_are_read_as_the_server_shows_them() {
        assert_eq!(size_of("16MB"), Some(SegmentBytes::USUAL));
        assert_eq!(size_of("1GB").map(SegmentBytes::get), Some(1 << 30));
        for bad in ["", "16", "16kB", "3MB", "MB"] {
            assert_eq!(size_of(bad), None, "{bad}");
        }
    }
}
