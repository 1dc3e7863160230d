//! Opens a connection: socket, TLS, authentication, and its startup settings.

use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{self, ChannelBinding, ScramSha256};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use tokio::net::{TcpStream, UnixStream};

use super::cancel::{CancelKey, Peer};
use super::message::{Incoming, Socket, Wire, code_of};
use super::{refusal, tls};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::postgres::connect::{PostgresOptions, Tls};
use crate::postgres::password;

/// The purpose of a connection.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    /// Statements in this database.
    Database(&'a str),
    /// Physical replication.
    Replication,
}

/// A connection that is logged in.
pub struct Login {
    /// The connection, ready for a query.
    pub wire: Wire,
    /// What cancels its queries; `None` if the server sent no key.
    pub cancel: Option<CancelKey>,
}

/// Connects and logs in, within `connect_timeout`. `settings` (`-c name=value …`) hold from the beginning
/// of the session and win over the settings of the role and the database.
///
/// # Errors
/// Each error names the place, what was tried, and how to correct it: `NotFound` if the database does not
/// exist, `Denied` if the role may not connect to it, `Config` if a pooler answers, `Postgres` otherwise.
pub async fn login(
    options: &PostgresOptions,
    purpose: Purpose<'_>,
    application_name: &str,
    settings: &str,
) -> Result<Login> {
    let database = match purpose {
        Purpose::Database(database) => Some(database),
        Purpose::Replication => None,
    };
    let connecting = async {
        let first = attempt(options, purpose, application_name, settings, options.tls).await;
        match (first, options.tls) {
            (Ok(login), _) => Ok(login),
            // as libpq with prefer: if encryption fails, try without
            (Err(e), Tls::Prefer) if e.1 => {
                attempt(options, purpose, application_name, settings, Tls::Disable).await.map_err(|_| e.0)
            }
            (Err(e), _) => Err(e.0),
        }
    };
    let done = tokio::time::timeout(options.connect_timeout, connecting).await;
    let done = done.unwrap_or_else(|_| {
        let wait = clock::span_text(options.connect_timeout);
        Err(Error::new(Kind::Postgres, format!("no answer within {wait}"))
            .next("check host, port and firewall"))
    });
    done.map_err(|e| refusal::of_login(e, options, database))
}

/// An error, and whether a try without TLS could succeed.
type Refused = (Error, bool);

async fn attempt(
    options: &PostgresOptions,
    purpose: Purpose<'_>,
    application_name: &str,
    settings: &str,
    tls: Tls,
) -> std::result::Result<Login, Refused> {
    let place = match purpose {
        Purpose::Database(database) => options.place(database),
        Purpose::Replication => options.place_of_replication(),
    };
    let (socket, peer, encrypted) = open(options, &place, tls).await?;
    let mut wire = Wire::new(socket, "the login".to_owned());
    let done = start(&mut wire, options, purpose, application_name, settings).await;
    let key = done.map_err(|e| {
        let by_hba = code_of(&e) == Some("28000");
        (e, encrypted && by_hba)
    })?;
    Ok(Login {
        wire: wire.at(place),
        cancel: key.map(|(process, secret)| CancelKey { peer, process, secret }),
    })
}

async fn open(
    options: &PostgresOptions,
    place: &str,
    tls: Tls,
) -> std::result::Result<(Box<dyn Socket>, Peer, bool), Refused> {
    let failed = |e: std::io::Error| (Error::new(Kind::Postgres, "no connection").because(e), false);
    if let Some(dir) = options.socket_dir() {
        let path = dir.join(format!(".s.PGSQL.{}", options.port));
        let socket = UnixStream::connect(&path).await.map_err(failed)?;
        return Ok((Box::new(socket), Peer::Socket(path), false));
    }
    let socket = TcpStream::connect((options.host_text(), options.port)).await.map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    let peer = Peer::Address(socket.peer_addr().map_err(failed)?);
    if tls == Tls::Disable {
        return Ok((Box::new(socket), peer, false));
    }
    let (socket, encrypted) = tls::secure(options, socket, place).await.map_err(|e| (e, true))?;
    Ok((socket, peer, encrypted))
}

/// Process number and secret key of a new session.
async fn start(
    wire: &mut Wire,
    options: &PostgresOptions,
    purpose: Purpose<'_>,
    application_name: &str,
    settings: &str,
) -> Result<Option<(i32, i32)>> {
    let (which, secret_of) = match purpose {
        Purpose::Database(database) => (("database", database), database),
        Purpose::Replication => (("replication", "true"), "replication"),
    };
    let parameters = [
        ("user", options.user.as_str()),
        which,
        ("application_name", application_name),
        ("client_encoding", "UTF8"),
        ("options", settings),
    ];
    wire.send(|buffer| frontend::startup_message(parameters, buffer)).await?;
    let secret = || -> Result<String> {
        password::find(options, secret_of)?.ok_or_else(|| {
            Error::new(Kind::Postgres, "the server asks for a password, but none is configured")
                .next("set postgres.password_file")
        })
    };
    let mut scram: Option<ScramSha256> = None;
    let mut key = None;
    loop {
        let Incoming::Other(message) = wire.next().await? else { return Err(wire.unexpected()) };
        match message {
            Message::AuthenticationOk => {}
            Message::BackendKeyData(body) => key = Some((body.process_id(), body.secret_key())),
            Message::AuthenticationCleartextPassword => {
                let password = secret()?;
                wire.send(|buffer| frontend::password_message(password.as_bytes(), buffer)).await?;
            }
            Message::AuthenticationMd5Password(body) => {
                let hash = md5_hash(options.user.as_bytes(), secret()?.as_bytes(), body.salt());
                wire.send(|buffer| frontend::password_message(hash.as_bytes(), buffer)).await?;
            }
            Message::AuthenticationSasl(body) => {
                let mechanisms: Vec<&str> = body.mechanisms().collect().map_err(|_| wire.unexpected())?;
                if !mechanisms.contains(&sasl::SCRAM_SHA_256) {
                    return Err(unsupported(&mechanisms.join(", ")));
                }
                let dialogue = ScramSha256::new(secret()?.as_bytes(), ChannelBinding::unsupported());
                let first = dialogue.message().to_vec();
                scram = Some(dialogue);
                wire.send(|buffer| frontend::sasl_initial_response(sasl::SCRAM_SHA_256, &first, buffer))
                    .await?;
            }
            Message::AuthenticationSaslContinue(body) => {
                let dialogue = scram.as_mut().ok_or_else(|| wire.unexpected())?;
                dialogue.update(body.data()).map_err(refused)?;
                let answer = dialogue.message().to_vec();
                wire.send(|buffer| frontend::sasl_response(&answer, buffer)).await?;
            }
            Message::AuthenticationSaslFinal(body) => {
                let dialogue = scram.as_mut().ok_or_else(|| wire.unexpected())?;
                dialogue.finish(body.data()).map_err(refused)?;
            }
            Message::AuthenticationGss | Message::AuthenticationSspi | Message::AuthenticationKerberosV5 => {
                return Err(unsupported("gss"));
            }
            Message::ReadyForQuery(_) => return Ok(key),
            _ => return Err(wire.unexpected()),
        }
    }
}

fn unsupported(method: &str) -> Error {
    Error::new(
        Kind::Config,
        format!("the server requires authentication by {method}, which Lifeboat does not support"),
    )
    .next("give the agent's role a line in pg_hba.conf with scram-sha-256, cert or peer")
}

fn refused(e: std::io::Error) -> Error {
    Error::new(Kind::Postgres, "SCRAM authentication failed")
        .because(e)
        .next("check the configured password file")
}
