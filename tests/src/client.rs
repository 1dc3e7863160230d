//! How tests and programs reach a [`Cluster`]: SQL, client programs, connection settings.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::children;
use crate::cluster::{Cluster, SUPERUSER};

/// How long one `psql` or client program may take.
const CLIENT_LIMIT: Duration = Duration::from_secs(300);

impl Cluster {
    /// Runs SQL and returns what it printed (`psql -XAtq`: unaligned, tuples only, `|` between
    /// columns), without the last line end.
    ///
    /// # Panics
    /// On the first error of PostgreSQL.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        self.try_psql(database, sql).unwrap_or_else(|e| panic!("psql in {database}: {e}\n{sql:.2000}"))
    }

    /// [`Cluster::psql`] that returns PostgreSQL's message when a statement fails.
    pub fn try_psql(&self, database: &str, sql: &str) -> Result<String, String> {
        self.try_psql_as(SUPERUSER, database, sql)
    }

    /// [`Cluster::psql`] as another role, which the server has to let in without a password.
    ///
    /// # Panics
    /// On the first error of PostgreSQL.
    pub fn psql_as(&self, role: &str, database: &str, sql: &str) -> String {
        self.try_psql_as(role, database, sql).unwrap_or_else(|e| panic!("psql as {role}: {e}\n{sql:.2000}"))
    }

    /// [`Cluster::psql_as`] that returns PostgreSQL's message when a statement fails.
    pub fn try_psql_as(&self, role: &str, database: &str, sql: &str) -> Result<String, String> {
        let mut psql = self.client("psql");
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-U", role, "-f", "-"]);
        let done = children::finish(psql, sql.as_bytes().to_vec(), CLIENT_LIMIT);
        match done.status.success() {
            true => Ok(String::from_utf8(done.stdout).unwrap().trim_end_matches('\n').to_owned()),
            false => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
        }
    }

    /// Ends the current WAL segment; the name of the one that ended. A byte before what `pg_switch_wal`
    /// gives: where nothing was written since the last switch that is the first byte of the next segment,
    /// which `pg_walfile_name` names from PostgreSQL 17 on (13 cannot subtract, and does not name it),
    /// and nobody archives an empty one.
    pub fn switch_wal(&self) -> String {
        match self.major() {
            ..14 => self.psql("postgres", "select pg_walfile_name(pg_switch_wal())"),
            _ => self.psql("postgres", "select pg_walfile_name(pg_switch_wal() - 1)"),
        }
    }

    /// Creates an empty database as Odoo does (template0, UTF8, collation C).
    pub fn create_db(&self, database: &str) {
        self.run("createdb", &["-T", "template0", "-E", "UTF8", "--lc-collate=C", database]);
    }

    /// Makes a copy of a database; from PostgreSQL 15 on it can be chosen how: file by file, as before
    /// that release, or through WAL, which is what it does unless asked.
    pub fn copy_db(&self, template: &str, name: &str, by_files: bool) -> Result<String, String> {
        let how = if by_files && self.major() >= 15 { " strategy file_copy" } else { "" };
        self.try_psql("postgres", &format!("create database {name} template {template}{how}"))
    }

    /// Whether a database of this name exists.
    pub fn has_db(&self, database: &str) -> bool {
        let sql = format!("select 1 from pg_database where datname = '{}'", database.replace('\'', "''"));
        self.psql("postgres", &sql) == "1"
    }

    /// Runs a client program (`pg_restore`, `pgbench`, ...) against this cluster and returns its
    /// standard output.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, program: &str, args: &[&str]) -> String {
        let mut command = self.client(program);
        command.args(args);
        let done = children::finish(command, Vec::new(), CLIENT_LIMIT);
        assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// A client program of this version, with the environment that leads it to this cluster.
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin(program));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command.envs(self.env()).env("PGCONNECT_TIMEOUT", "10").env("LC_ALL", "C.UTF-8");
        command
    }

    /// The libpq variables that lead a program here, over the socket.
    pub fn env(&self) -> Vec<(String, String)> {
        let mut env =
            vec![("PGHOST", self.host()), ("PGPORT", self.port.to_string()), ("PGUSER", SUPERUSER.into())];
        env.extend(self.password.clone().map(|password| ("PGPASSWORD", password)));
        env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The directory of the socket: what a `host` setting wants.
    pub fn host(&self) -> String {
        self.dir.path().to_str().unwrap().to_owned()
    }

    /// The port, of the socket and of 127.0.0.1 alike.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The superuser's name.
    pub fn user(&self) -> &'static str {
        SUPERUSER
    }

    /// The superuser's password, where the cluster asks for one.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// A keyword/value connection string over the socket, without the password.
    pub fn conninfo(&self, database: &str) -> String {
        format!("host={} port={} user={SUPERUSER} dbname={database}", self.host(), self.port)
    }

    /// The path of a program of this version.
    pub fn bin(&self, program: &str) -> PathBuf {
        self.installed.bin_dir.join(program)
    }

    /// Where all programs of this version are.
    pub fn bin_dir(&self) -> &Path {
        &self.installed.bin_dir
    }

    /// The major version.
    pub fn major(&self) -> u32 {
        self.installed.major
    }
}
