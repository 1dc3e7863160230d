//! A request to cancel what the server does for one of our connections: closing a socket does not end
//! a query, so whatever is given up is cancelled too.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::frontend;

/// How long sending it may take: the caller is on its way out.
const WAIT: Duration = Duration::from_secs(2);

/// The far end of a connection.
#[derive(Clone, Debug)]
pub enum Peer {
    /// A Unix socket.
    Socket(PathBuf),
    /// The address that the host's name stood for.
    Address(SocketAddr),
}

/// What the server gave us to cancel a connection's queries with.
#[derive(Clone, Debug)]
pub struct CancelKey {
    /// Where it is.
    pub peer: Peer,
    /// The number of its process, or what a pooler gives for one.
    pub process: i32,
    /// The secret that belongs to it.
    pub secret: i32,
}

impl CancelKey {
    /// Asks the server to cancel what runs now, as libpq's `PQcancel` does: over a connection of its own, which the
    /// server takes in the clear, whatever pg_hba.conf says. It blocks for two seconds at most. Nobody answers: that
    /// it was sent does not say that anything was cancelled, and an error is nothing that the caller could mend.
    pub fn send(&self) {
        let mut request = BytesMut::new();
        frontend::cancel_request(self.process, self.secret, &mut request);
        let sent = match &self.peer {
            Peer::Socket(path) => UnixStream::connect(path).and_then(|mut socket| {
                socket.set_write_timeout(Some(WAIT))?;
                socket.write_all(&request)
            }),
            Peer::Address(address) => TcpStream::connect_timeout(address, WAIT).and_then(|mut socket| {
                socket.set_write_timeout(Some(WAIT))?;
                socket.write_all(&request)
            }),
        };
        if let Err(error) = sent {
            tracing::debug!(%error, process = self.process, "a query could not be cancelled");
        }
    }
}
