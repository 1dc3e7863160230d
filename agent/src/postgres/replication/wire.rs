//! Messages to and from the server, over a socket.

use bytes::{Bytes, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{self, ErrorFields, Message};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::error::{Error, Kind, Result};

/// The longest message that is read: WAL comes in pieces of at most 128 KiB.
const MESSAGE_BYTES_MAX: i32 = 64 << 20;
/// How much is read from the socket at once, where there is so much...
const READ_BYTES: usize = 256 << 10;
/// ... and never less than this: a base backup comes fast.
const READ_BYTES_MIN: usize = 32 << 10;
/// CopyBothResponse, which `postgres-protocol` does not know.
const COPY_BOTH_TAG: u8 = b'W';

/// What a connection runs over.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

/// A message of the server.
pub enum Incoming {
    /// The server streams from here on.
    CopyBoth,
    /// A piece of a stream.
    Copy(Bytes),
    /// Any other.
    Other(Message),
}

/// A connection, message by message.
pub struct Wire {
    socket: Box<dyn Socket>,
    incoming: BytesMut,
    place: String,
}

impl Wire {
    /// `place` is for errors: `replication at db1:5432 as odoo`.
    pub fn new(socket: Box<dyn Socket>, place: String) -> Wire {
        Wire { socket, incoming: BytesMut::with_capacity(READ_BYTES), place }
    }

    /// `replication at db1:5432 as odoo`.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Sends what `write` puts into the buffer.
    pub async fn send(&mut self, write: impl FnOnce(&mut BytesMut) -> std::io::Result<()>) -> Result<()> {
        let mut buffer = BytesMut::new();
        write(&mut buffer).map_err(|e| Error::new(Kind::Internal, "cannot write a message").because(e))?;
        let sent = self.socket.write_all(&buffer).await;
        match sent {
            Ok(()) => self.socket.flush().await.map_err(|e| self.lost(e)),
            Err(e) => Err(self.lost(e)),
        }
    }

    /// The next message; what the server sends at any time (notices, parameters) is passed over.
    /// Cancel-safe.
    ///
    /// # Errors
    /// `Postgres` with the server's words where it sends an error: [`code_of`] tells which.
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

    fn lost(&self, e: std::io::Error) -> Error {
        Error::new(Kind::Postgres, format!("the connection is lost: {}", self.place)).because(e)
    }

    fn server_error(&self, mut fields: ErrorFields<'_>) -> Error {
        let (mut code, mut text) = (String::new(), String::new());
        while let Ok(Some(field)) = fields.next() {
            let value = String::from_utf8_lossy(field.value_bytes());
            match field.type_() {
                b'C' => code = value.into_owned(),
                b'M' => text.insert_str(0, &value),
                b'D' | b'H' => text.push_str(&format!("; {value}")),
                _ => {}
            }
        }
        let said = ServerError { code, text };
        Error::new(Kind::Postgres, format!("the server refused: {}", self.place)).because(said)
    }
}

/// What the server said, as the cause of an error.
#[derive(Debug)]
struct ServerError {
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
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        if let Some(said) = cause.downcast_ref::<ServerError>() {
            return Some(&said.code);
        }
        next = cause.source();
    }
    None
}
