//! Messages to and from the server, over a socket.
//!
//! Errors of the server are distinguished by their SQLSTATE ([`code_of`]), never by their text: that is in
//! the language of `lc_messages`.

use bytes::{Bytes, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{self, DataRowBody, ErrorFields, Message};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::error::shown::foreign;
use crate::error::{Error, Kind, Result};

/// The longest message that is read: WAL arrives in pieces of at most 128 KiB.
const MESSAGE_BYTES_MAX: i32 = 64 << 20;
/// How much is read from the socket at once, if that much is there...
const READ_BYTES: usize = 256 << 10;
/// ... and never less than this: a base backup arrives fast.
const READ_BYTES_MIN: usize = 32 << 10;
/// CopyBothResponse, which `postgres-protocol` does not know.
const COPY_BOTH_TAG: u8 = b'W';

/// The transport of a connection.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

/// A message of the server.
pub enum Incoming {
    /// The server starts to stream.
    CopyBoth,
    /// A piece of a stream.
    Copy(Bytes),
    /// Any other.
    Other(Message),
}

/// A piece of an answer.
pub enum Piece {
    /// A row.
    Row(DataRowBody),
    /// Data of a COPY, cut anywhere.
    Copy(Bytes),
}

/// A connection, message by message.
pub struct Wire {
    socket: Box<dyn Socket>,
    incoming: BytesMut,
    place: String,
    lost: bool,
    given_up: bool,
}

impl Wire {
    /// `place` is for errors: `replication at db1:5432 as odoo`.
    pub fn new(socket: Box<dyn Socket>, place: String) -> Wire {
        Wire { socket, incoming: BytesMut::with_capacity(READ_BYTES), place, lost: false, given_up: false }
    }

    /// `replication at db1:5432 as odoo`.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Runs one query string (PostgreSQL manual, 55.2.3) and reads its whole answer; `each` gets every
    /// row, and every piece of a COPY. Returns the total row count of its statements. After an error of
    /// the server the connection can be used again.
    ///
    /// # Errors
    /// The server's error; whatever `each` returns: then the rest of the answer is not read and the
    /// connection cannot be used any more.
    pub async fn ask(&mut self, sql: &str, each: impl FnMut(Piece) -> Result<()>) -> Result<u64> {
        self.send(|buffer| frontend::query(sql, buffer)).await?;
        self.answer(each).await
    }

    /// The part of [`Wire::ask`] that reads, up to ReadyForQuery.
    pub async fn answer(&mut self, mut each: impl FnMut(Piece) -> Result<()>) -> Result<u64> {
        let (mut count, mut failed) = (0, None);
        loop {
            let piece = match self.next().await {
                Ok(Incoming::Other(Message::ReadyForQuery(_))) => return failed.map_or(Ok(count), Err),
                Ok(Incoming::Other(Message::DataRow(row))) => Piece::Row(row),
                Ok(Incoming::Copy(data)) => Piece::Copy(data),
                Ok(Incoming::Other(Message::CommandComplete(body))) => {
                    let tag = body.tag().unwrap_or_default();
                    count += tag.rsplit(' ').next().and_then(|rows| rows.parse::<u64>().ok()).unwrap_or(0);
                    continue;
                }
                Ok(Incoming::Other(_)) => continue,
                Ok(Incoming::CopyBoth) => return Err(self.unexpected()),
                // an error of the server is followed by ReadyForQuery, a lost connection is not
                Err(e) if code_of(&e).is_some() && failed.is_none() => {
                    failed = Some(e);
                    continue;
                }
                Err(e) => return Err(failed.unwrap_or(e)),
            };
            if let Err(e) = each(piece) {
                self.given_up = true;
                return Err(e);
            }
        }
    }

    /// The error for an answer that the protocol does not allow here.
    pub fn unexpected(&self) -> Error {
        Error::new(Kind::Postgres, format!("unexpected answer of the server: {}", self.place))
            .next("if there is a proxy, connect to the server itself")
    }

    /// Sets another place for errors: the login has its own.
    pub fn at(mut self, place: String) -> Wire {
        self.place = place;
        self
    }

    /// Sends what `write` puts into the buffer.
    pub async fn send(&mut self, write: impl FnOnce(&mut BytesMut) -> std::io::Result<()>) -> Result<()> {
        let mut buffer = BytesMut::new();
        write(&mut buffer).map_err(|e| Error::new(Kind::Internal, "cannot write a message").because(e))?;
        let sent = self.socket.write_all(&buffer).await;
        match sent {
            Ok(()) => match self.socket.flush().await {
                Ok(()) => Ok(()),
                Err(e) => Err(self.lost(e)),
            },
            Err(e) => Err(self.lost(e)),
        }
    }

    /// The next message; it skips messages that the server may send at any time (notices, parameters).
    /// Cancel-safe.
    ///
    /// # Errors
    /// `Postgres` with the server's message if the server sends an error: [`code_of`] returns its SQLSTATE.
    pub async fn next(&mut self) -> Result<Incoming> {
        loop {
            match self.parse()? {
                Some(Incoming::Other(Message::NoticeResponse(_) | Message::ParameterStatus(_))) => {}
                Some(Incoming::Other(Message::ErrorResponse(body))) => {
                    return Err(self.server_error(body.fields()));
                }
                Some(message) => return Ok(message),
                None => {
                    if self.incoming.spare_capacity_mut().len() < READ_BYTES_MIN {
                        self.incoming.reserve(READ_BYTES);
                    }
                    let read = self.socket.read_buf(&mut self.incoming).await;
                    match read {
                        Ok(0) => return Err(self.lost(std::io::ErrorKind::UnexpectedEof.into())),
                        Ok(_) => {}
                        Err(e) => return Err(self.lost(e)),
                    }
                }
            }
        }
    }

    fn parse(&mut self) -> Result<Option<Incoming>> {
        let broken = |place: &str, e: std::io::Error| {
            Error::new(Kind::Postgres, format!("{place} does not speak PostgreSQL's protocol")).because(e)
        };
        let header = backend::Header::parse(&self.incoming).map_err(|e| broken(&self.place, e))?;
        let Some(header) = header else { return Ok(None) };
        if header.len() > MESSAGE_BYTES_MAX {
            let e = std::io::Error::other(format!("a message of {} bytes", header.len()));
            return Err(broken(&self.place, e));
        }
        let whole = header.len() as usize + 1;
        if header.tag() == COPY_BOTH_TAG {
            let there = self.incoming.len() >= whole;
            return Ok(there.then(|| {
                drop(self.incoming.split_to(whole));
                Incoming::CopyBoth
            }));
        }
        let message = Message::parse(&mut self.incoming).map_err(|e| broken(&self.place, e))?;
        Ok(message.map(|message| match message {
            Message::CopyData(data) => Incoming::Copy(data.into_bytes()),
            message => Incoming::Other(message),
        }))
    }

    /// Whether an answer was left unread: the connection cannot be used any more.
    pub fn is_given_up(&self) -> bool {
        self.given_up
    }

    /// Whether the connection has ended.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    fn lost(&mut self, e: std::io::Error) -> Error {
        self.lost = true;
        Error::new(Kind::Postgres, format!("the connection is lost: {}", self.place)).because(e)
    }

    fn server_error(&self, mut fields: ErrorFields<'_>) -> Error {
        let (mut code, mut text) = (String::new(), String::new());
        while let Ok(Some(field)) = fields.next() {
            let value = String::from_utf8_lossy(field.value_bytes());
            match field.type_() {
                b'C' => code = value.into_owned(),
                b'M' => text.insert_str(0, &foreign(&value)),
                // For a constraint (class 23) the message repeats a row.
                b'D' if code.starts_with("23") => {}
                b'D' | b'H' => text.push_str(&format!("; {}", foreign(&value))),
                _ => {}
            }
        }
        // The message may contain a tenant's data: text of its functions, or a row.
        let said = ServerError { code, text };
        Error::new(Kind::Postgres, format!("the server reported an error: {}", self.place)).because(said)
    }
}

/// The server's message, as the cause of an error.
#[derive(Clone, Debug)]
pub struct ServerError {
    code: String,
    text: String,
}

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.text, self.code)
    }
}

impl std::error::Error for ServerError {}

/// The SQLSTATE of an error that the server sent.
pub fn code_of(error: &Error) -> Option<&str> {
    said(error).map(|said| said.code.as_str())
}

/// The server's message, if an error is the server's: the cause of another error with more context.
pub fn said(error: &Error) -> Option<&ServerError> {
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        if let Some(said) = cause.downcast_ref::<ServerError>() {
            return Some(said);
        }
        next = cause.source();
    }
    None
}
