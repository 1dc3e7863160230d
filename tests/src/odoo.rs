//! A real Odoo, where this machine has one: `TEST_ODOO_BIN` names its `odoo-bin`, and `TEST_ODOO_PYTHON` the
//! Python with its packages.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::emulator::Emulator;
use crate::{Cluster, children};

const BIN: &str = "TEST_ODOO_BIN";
const PYTHON: &str = "TEST_ODOO_PYTHON";
/// The role with which it connects: Odoo refuses to be `postgres`.
const ROLE: &str = "odoo";
/// How long a database may take until it is loaded, and how long making a new one with its demo data.
const LOAD_LIMIT: Duration = Duration::from_secs(180);
const MAKE_LIMIT: Duration = Duration::from_secs(1800);
const CALL_LIMIT: Duration = Duration::from_secs(300);

/// A running Odoo; it serves every database of its cluster. Killed when dropped.
pub struct Odoo {
    emulator: Emulator,
}

/// The program, and with what it runs; `None` where this machine has none.
pub fn odoo_bin() -> Option<(PathBuf, Option<PathBuf>)> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    Some((named(BIN)?, named(PYTHON)))
}

/// The major version of `TEST_ODOO_BIN`.
///
/// # Panics
/// When it does not start.
pub fn odoo_major() -> Option<u32> {
    let mut command = command()?;
    command.arg("--version");
    let done = children::finish(command, Vec::new(), LOAD_LIMIT);
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let version = text.split_whitespace().last().unwrap_or_default();
    let major = version.split('.').next().and_then(|major| major.parse().ok());
    Some(major.unwrap_or_else(|| panic!("no version: {text} {}", String::from_utf8_lossy(&done.stderr))))
}

fn command() -> Option<Command> {
    let (bin, python) = odoo_bin()?;
    Some(match python {
        Some(python) => {
            let mut command = Command::new(python);
            command.arg(bin);
            command
        }
        None => Command::new(bin),
    })
}

fn of(cluster: &Cluster, data_dir: &Path) -> Option<Command> {
    let mut command = command()?;
    command.arg(format!("--db_host={}", cluster.host())).arg(format!("--db_port={}", cluster.port()));
    command.arg(format!("--db_user={ROLE}")).arg("-D").arg(data_dir);
    command.args(["--max-cron-threads=0", "--workers=0", "--smtp=127.0.0.1", "--smtp-port=9"]);
    Some(command)
}

fn make_role(cluster: &Cluster) {
    cluster.psql(
        "postgres",
        &format!(
            "do $$ begin if not exists (select from pg_roles where rolname = '{ROLE}') then \
               create role {ROLE} login superuser; end if; end $$"
        ),
    );
}

fn install(cluster: &Cluster, data_dir: &Path, args: &[&str]) {
    make_role(cluster);
    let mut command = of(cluster, data_dir).unwrap();
    command.args(args).arg("--stop-after-init");
    let done = children::finish(command, Vec::new(), MAKE_LIMIT);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

impl Odoo {
    /// Starts it over these clusters' databases; `None` where this machine has no Odoo.
    pub fn start(cluster: &Cluster, data_dir: &Path) -> Option<Odoo> {
        odoo_bin()?;
        make_role(cluster);
        let emulator = Emulator::start(|port| {
            let mut command = of(cluster, data_dir).unwrap();
            command.args(["--http-interface=127.0.0.1", &format!("--http-port={port}")]);
            command.arg("--without-demo=all");
            command
        });
        Some(Odoo { emulator })
    }

    /// Makes a tenant with these modules and their demo data: minutes.
    ///
    /// # Panics
    /// When it fails.
    pub fn make_tenant(cluster: &Cluster, data_dir: &Path, name: &str, modules: &str) {
        install(cluster, data_dir, &["-d", name, "-i", modules]);
    }

    /// Adds these modules to a tenant, without demo data.
    ///
    /// # Panics
    /// When it fails.
    pub fn add_modules(cluster: &Cluster, data_dir: &Path, name: &str, modules: &str) {
        install(cluster, data_dir, &["-d", name, "-i", modules, "--without-demo=all"]);
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.emulator.address
    }

    /// Where it answers, as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Logs in, and waits until the database is loaded.
    ///
    /// # Panics
    /// When it refuses, or takes too long.
    pub fn log_in(&self, database: &str, user: &str, password: &str) -> OdooUser<'_> {
        let deadline = Instant::now() + LOAD_LIMIT;
        let args = json!([database, user, password, {}]);
        loop {
            let answer = rpc(self.address(), "common", "authenticate", args.clone());
            match answer.as_ref().map(Value::as_i64) {
                Ok(Some(uid)) => {
                    return OdooUser {
                        odoo: self,
                        database: database.to_owned(),
                        uid,
                        password: password.to_owned(),
                    };
                }
                _ if Instant::now() > deadline => panic!("{user} cannot log in to {database}: {answer:?}"),
                _ => std::thread::sleep(Duration::from_millis(500)),
            }
        }
    }
}

/// A user of a database.
pub struct OdooUser<'o> {
    odoo: &'o Odoo,
    database: String,
    /// The number of the user.
    pub uid: i64,
    password: String,
}

impl OdooUser<'_> {
    /// Calls a method of a model.
    ///
    /// # Panics
    /// When Odoo refuses.
    #[track_caller]
    pub fn call(&self, model: &str, method: &str, args: Value, named: Value) -> Value {
        let shown = format!("{model}.{method} {args}");
        let args = json!([self.database, self.uid, self.password, model, method, args, named]);
        rpc(self.odoo.address(), "object", "execute_kw", args).unwrap_or_else(|e| panic!("{shown}: {e}"))
    }

    /// The `id`s of rows.
    #[track_caller]
    pub fn search(&self, model: &str, domain: Value) -> Vec<i64> {
        let ids = self.call(model, "search", json!([domain]), json!({ "order": "id" }));
        ids.as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect()
    }

    /// Makes a record.
    #[track_caller]
    pub fn create(&self, model: &str, values: Value) -> i64 {
        self.call(model, "create", json!([values]), json!({})).as_i64().unwrap()
    }

    /// A field of a record.
    #[track_caller]
    pub fn field(&self, model: &str, id: i64, field: &str) -> Value {
        let rows = self.call(model, "read", json!([[id], [field]]), json!({}));
        rows[0][field].clone()
    }
}

/// One call; the error is Odoo's message, or why there is no answer.
pub fn rpc(address: SocketAddr, service: &str, method: &str, args: Value) -> Result<Value, String> {
    let body = json!({ "jsonrpc": "2.0", "method": "call", "id": 1,
        "params": { "service": service, "method": method, "args": args } });
    let answer = post(address, body.to_string().as_bytes()).map_err(|e| e.to_string())?;
    let answer: Value = serde_json::from_slice(&answer).map_err(|e| e.to_string())?;
    match answer.get("error") {
        Some(error) => Err(error["data"]["message"].as_str().unwrap_or("no message").to_owned()),
        None => Ok(answer["result"].clone()),
    }
}

/// Posts a body to `/jsonrpc`; the body of the answer.
pub fn post(address: SocketAddr, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(CALL_LIMIT))?;
    let head = format!(
        "POST /jsonrpc HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
    end.map(|end| answer.split_off(end)).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}
