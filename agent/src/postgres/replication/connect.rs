//! A replication connection: opened, authenticated, asked its few questions.

use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{self, ChannelBinding, ScramSha256};
use postgres_protocol::message::backend::{DataRowBody, Message};
use postgres_protocol::message::frontend;
use tokio::net::{TcpStream, UnixStream};

use super::stream::Streaming;
use super::tls;
use super::wire::{Incoming, Socket, Wire, code_of};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;
use crate::names::wal::{SegmentBytes, SlotName, TimelineId};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::password;

/// A connection that streams nothing yet.
pub struct Replication {
    pub(super) wire: Wire,
}

/// What the server is and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    /// The cluster's identity.
    pub identifier: String,
    /// The timeline it writes, or replays.
    pub timeline: TimelineId,
    /// How far it has flushed, or replayed.
    pub flushed: Lsn,
    /// Its segment size.
    pub segment_bytes: SegmentBytes,
}

/// Rows of text.
pub(super) type Rows = Vec<Vec<Option<String>>>;

impl Replication {
    /// Connects; `application_name` is what `synchronous_standby_names` knows us by.
    ///
    /// # Errors
    /// `Postgres`: no answer, password wrong, no REPLICATION privilege, no line in pg_hba.conf.
    pub async fn connect(options: &PostgresOptions, application_name: &str) -> Result<Replication> {
        let place = format!("replication at {}:{} as {}", options.host_text(), options.port, options.user);
        let connecting = async {
            let wire = Wire::new(open(options, &place).await?, place.clone());
            let mut replication = Replication { wire };
            replication.start(options, application_name).await?;
            Ok(replication)
        };
        let done = tokio::time::timeout(options.connect_timeout, connecting).await;
        let done = done.unwrap_or_else(|_| {
            let wait = clock::span_text(options.connect_timeout);
            Err(Error::new(Kind::Postgres, format!("no answer within {wait}: {place}")))
        });
        done.map_err(|e: Error| match code_of(&e) {
            Some("28000" | "42501") => e.next("let the agent's role replicate: ALTER ROLE … REPLICATION, and a line `replication` in pg_hba.conf"),
            Some("28P01") => e.next("put the right password into the configured password file"),
            Some("53300") => e.next("raise max_wal_senders"),
            _ => e.next("see whether PostgreSQL is running and listens there"),
        })
    }

    async fn start(&mut self, options: &PostgresOptions, application_name: &str) -> Result<()> {
        let parameters = [
            ("user", options.user.as_str()),
            ("replication", "true"),
            ("application_name", application_name),
            ("client_encoding", "UTF8"),
        ];
        self.wire.send(|buffer| frontend::startup_message(parameters, buffer)).await?;
        let secret = || -> Result<String> {
            password::find(options, "replication")?.ok_or_else(|| {
                Error::new(Kind::Postgres, "the server asks for a password and none is configured")
                    .next("set postgres.password_file")
            })
        };
        let mut scram: Option<ScramSha256> = None;
        loop {
            let Incoming::Other(message) = self.wire.next().await? else { return Err(self.unexpected()) };
            match message {
                Message::AuthenticationOk | Message::BackendKeyData(_) => {}
                Message::AuthenticationCleartextPassword => {
                    let password = secret()?;
                    self.wire.send(|buffer| frontend::password_message(password.as_bytes(), buffer)).await?;
                }
                Message::AuthenticationMd5Password(body) => {
                    let hash = md5_hash(options.user.as_bytes(), secret()?.as_bytes(), body.salt());
                    self.wire.send(|buffer| frontend::password_message(hash.as_bytes(), buffer)).await?;
                }
                Message::AuthenticationSasl(body) => {
                    let mechanisms: Vec<&str> = body.mechanisms().collect().map_err(|_| self.unexpected())?;
                    if !mechanisms.contains(&sasl::SCRAM_SHA_256) {
                        return Err(self.unexpected());
                    }
                    let dialogue = ScramSha256::new(secret()?.as_bytes(), ChannelBinding::unsupported());
                    let first = dialogue.message().to_vec();
                    scram = Some(dialogue);
                    self.wire
                        .send(|buffer| frontend::sasl_initial_response(sasl::SCRAM_SHA_256, &first, buffer))
                        .await?;
                }
                Message::AuthenticationSaslContinue(body) => {
                    let dialogue = scram.as_mut().ok_or_else(|| self.unexpected())?;
                    dialogue.update(body.data()).map_err(refused)?;
                    let answer = dialogue.message().to_vec();
                    self.wire.send(|buffer| frontend::sasl_response(&answer, buffer)).await?;
                }
                Message::AuthenticationSaslFinal(body) => {
                    let dialogue = scram.as_mut().ok_or_else(|| self.unexpected())?;
                    dialogue.finish(body.data()).map_err(refused)?;
                }
                Message::ReadyForQuery(_) => return Ok(()),
                _ => return Err(self.unexpected()),
            }
        }
    }

    /// What the server is.
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

    /// Makes a physical slot that keeps WAL from now on.
    ///
    /// # Errors
    /// SQLSTATE 42710 where it exists.
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

    /// Streams from `begin` on, out of `timeline`, through the slot.
    ///
    /// # Errors
    /// `Postgres`; SQLSTATE 58P01 where that WAL is gone, 55000 where the slot is lost, 55006
    /// where somebody else uses it.
    pub async fn stream(mut self, slot: &SlotName, begin: Lsn, timeline: TimelineId) -> Result<Streaming> {
        let sql = format!("START_REPLICATION SLOT \"{slot}\" PHYSICAL {begin} TIMELINE {}", timeline.0);
        self.wire.send(|buffer| frontend::query(&sql, buffer)).await?;
        match self.wire.next().await? {
            Incoming::CopyBoth => Ok(Streaming::new(self.wire)),
            _ => Err(self.unexpected()),
        }
    }

    /// A connection that has ended its stream.
    pub(super) fn after_stream(wire: Wire) -> Replication {
        Replication { wire }
    }

    /// Runs one command and gives its rows; after an error the connection can be used again.
    pub(super) async fn query(&mut self, sql: &str) -> Result<Rows> {
        self.wire.send(|buffer| frontend::query(sql, buffer)).await?;
        self.rows().await
    }

    /// The rows up to ReadyForQuery.
    pub(super) async fn rows(&mut self) -> Result<Rows> {
        let mut rows = Rows::new();
        let mut failed = None;
        loop {
            match self.wire.next().await {
                Ok(Incoming::Other(Message::ReadyForQuery(_))) => return failed.map_or(Ok(rows), Err),
                Ok(Incoming::Other(Message::DataRow(row))) => {
                    rows.push(cells(&row).ok_or_else(|| self.unexpected())?);
                }
                Ok(Incoming::Other(_)) => {}
                Ok(_) => return Err(self.unexpected()),
                // an error of the server is followed by ReadyForQuery, a lost connection is not
                Err(e) if code_of(&e).is_some() && failed.is_none() => failed = Some(e),
                Err(e) => return Err(failed.unwrap_or(e)),
            }
        }
    }

    fn unexpected(&self) -> Error {
        Error::new(Kind::Postgres, format!("an answer that was not expected: {}", self.wire.place()))
            .next("is there a proxy between? Replication wants the server itself")
    }
}

/// The columns of a row, as text.
pub(super) fn cells(row: &DataRowBody) -> Option<Vec<Option<String>>> {
    let cells =
        row.ranges().map(|range| Ok(range.map(|at| String::from_utf8_lossy(&row.buffer()[at]).into_owned())));
    cells.collect().ok()
}

fn refused(e: std::io::Error) -> Error {
    Error::new(Kind::Postgres, "SCRAM authentication failed")
        .because(e)
        .next("check the configured password file")
}

/// `16MB` as SHOW writes it.
fn size_of(text: &str) -> Option<SegmentBytes> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let scale = match &text[digits..] {
        "MB" => 20,
        "GB" => 30,
        _ => return None,
    };
    SegmentBytes::try_from(text[..digits].parse::<u64>().ok()? << scale).ok()
}

async fn open(options: &PostgresOptions, place: &str) -> Result<Box<dyn Socket>> {
    let failed =
        |e: std::io::Error| Error::new(Kind::Postgres, format!("cannot connect: {place}")).because(e);
    if let Some(dir) = options.socket_dir() {
        let path = dir.join(format!(".s.PGSQL.{}", options.port));
        return Ok(Box::new(UnixStream::connect(path).await.map_err(failed)?));
    }
    let socket = TcpStream::connect((options.host_text(), options.port)).await.map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    tls::secure(options, socket, place).await
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
