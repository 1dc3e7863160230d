//! Where a drill restores and what it finds there: a private server on this machine ([`local`]), or a
//! namespace of a Kubernetes cluster ([`kube`]).
//!
//! A place carries out the stages of a drill between the choice of the snapshot and the report: it
//! provisions, has the stages run inside ([`crate::stages::inside`]), and tears down, whatever happens. Code
//! of the tenant's owner runs in it. So stages work as [`OWNER`], a role without rights, and use the
//! superuser only to create roles, databases and extensions.

use std::path::PathBuf;

use futures::future::BoxFuture;
use lifeboat::error::Result;
use lifeboat::postgres::{PostgresOptions, Session, Tls};

use crate::drill::stage::Drill;
use crate::setup::Chosen;

pub mod kube;
pub mod local;

use local::account::Account;

/// The superuser of the private cluster. Only the user that runs the drill may connect as it.
pub const SUPERUSER: &str = "postgres";
/// The role that owns the restored tenant and runs the checks. It has no other rights.
pub const OWNER: &str = "tenant";
/// Only a part of the socket's name: nothing listens on TCP.
pub const PORT: u16 = 5432;
/// The name of the restored database, the only tenant of the server.
pub const DATABASE: &str = "drill";

/// A place in which a drill restores.
pub trait Place: Send + Sync {
    /// Provisions, has the stages run inside, and tears down; records each in the drill.
    fn carry_out<'a>(&'a self, drill: &'a mut Drill<'_>, chosen: &'a Chosen) -> BoxFuture<'a, ()>;
}

/// The server into which the tenant is restored, and its files: everything that a stage needs to know.
#[derive(Clone, Debug)]
pub struct Room {
    /// The directory of the server's Unix socket.
    pub socket_dir: PathBuf,
    /// Odoo's data directory of the restored tenant.
    pub data_dir: PathBuf,
    /// The database of the tenant.
    pub database: String,
    /// The role that checks it: it has no more rights than those who own the tenant's tables.
    pub owner: String,
    /// The superuser of the server.
    pub superuser: String,
    /// PostgreSQL's programs in the server's version.
    pub bin_dir: PathBuf,
    /// Who runs the programs of the place.
    pub(crate) account: Account,
}

impl Room {
    /// How a role connects.
    pub fn options(&self, role: &str) -> PostgresOptions {
        PostgresOptions {
            host: Some(self.socket_dir.display().to_string()),
            port: PORT,
            user: role.to_owned(),
            tls: Tls::Disable,
            ..PostgresOptions::default()
        }
    }

    /// A session in a database, as [`Room::owner`].
    ///
    /// # Errors
    /// Those of [`Session::connect`].
    pub async fn connect(&self, database: &str) -> Result<Session> {
        Session::connect(&self.options(&self.owner), database).await
    }

    /// The same as [`Room::superuser`], for statements that run no code of the tenant.
    ///
    /// # Errors
    /// Those of [`Session::connect`].
    pub async fn connect_superuser(&self, database: &str) -> Result<Session> {
        Session::connect(&self.options(&self.superuser), database).await
    }

    /// The filestore of a database in Odoo's data directory.
    pub fn filestore(&self, database: &str) -> PathBuf {
        self.data_dir.join("filestore").join(database)
    }
}
