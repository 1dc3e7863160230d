//! Cancels the query of one of our connections in the server: closing a socket does not end a query, so a
//! query that is given up is cancelled too.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::frontend;

/// How long sending the request may take: the caller is about to end.
const WAIT: Duration = Duration::from_secs(2);

/// The server's end of a connection.
#[derive(Clone, Debug)]
pub enum Peer {
    /// A Unix socket.
    Socket(PathBuf),
    /// The address that the host name resolved to.
    Address(SocketAddr),
}

/// What is needed to cancel a connection's queries.
#[derive(Clone, Debug)]
pub struct CancelKey {
    /// The server.
    pub peer: Peer,
    /// The session's process number, or a pooler's substitute.
    pub process: i32,
    /// The secret key of the session.
    pub secret: i32,
}

impl CancelKey {
    /// Asks the server to cancel the running query, like libpq's `PQcancel`: over a separate, unencrypted
    /// connection, which the server accepts whatever pg_hba.conf says. It blocks for at most two seconds,
    /// even if the server hangs. There is no answer: a sent request does not prove that a query was
    /// cancelled, and the caller cannot correct an error.
    pub fn send(&self) {
        let (key, (sent, wait)) = (self.clone(), mpsc::channel());
        std::thread::spawn(move || sent.send(key.ask()));
        let why = match wait.recv_timeout(WAIT) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the server accepted no connection".to_owned(),
        };
        tracing::debug!(why, process = self.process, "a query could not be cancelled");
    }

    fn ask(&self) -> std::io::Result<()> {
        let mut request = BytesMut::new();
        frontend::cancel_request(self.process, self.secret, &mut request);
        match &self.peer {
            Peer::Socket(path) => UnixStream::connect(path)?.write_all(&request),
            Peer::Address(address) => TcpStream::connect_timeout(address, WAIT)?.write_all(&request),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_takes_no_connection_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".s.PGSQL.5432");
        let hanging = tokio::net::UnixSocket::new_stream().unwrap();
        hanging.bind(&path).unwrap();
        let _hanging = hanging.listen(1).unwrap();
        let key = CancelKey { peer: Peer::Socket(path), process: 1, secret: 2 };
        // Its queue takes some, and the next one has to wait.
        let sending = || (0..4).map(|_| key.clone()).map(|key| std::thread::spawn(move || key.send()));
        let all: Vec<_> = sending().collect();
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || done.send(all.into_iter().all(|thread| thread.join().is_ok())));
        assert!(ended.recv_timeout(WAIT * 4).unwrap());
    }
}
