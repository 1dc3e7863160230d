//! What Odoo needs before it starts: a role, a user with a random password, and its configuration. Nothing
//! of it is in a command line or in a message.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat::disk;
use lifeboat::error::{Error, Kind, Result};
use lifeboat::names::random_hex;
use lifeboat::odoo::rpc::api_key;
use lifeboat::postgres::Session;
use lifeboat::postgres::session::column;

use crate::place::local::account::Account;
use crate::place::{DATABASE, OWNER, PORT, Room};
use crate::plan::odoo::OdooPlan;
use crate::process;

/// The role as which Odoo connects: it acts as [`OWNER`], who has no password.
const ROLE: &str = "drill_odoo";
/// A directory with millions of files.
const CHOWN_LIMIT: Duration = Duration::from_secs(3600);
/// The first version that knows API keys of JSON-2.
const API_KEYS: u32 = 19;

/// The technical user, and what is known of the tenant before Odoo starts.
pub struct Entrance {
    /// Odoo's major version.
    pub major: u32,
    /// The whole version.
    pub version: String,
    /// The user's number.
    pub uid: i64,
    /// Its login.
    pub login: String,
    /// Its password; never shown.
    pub password: String,
    /// Its API key, from 19 on; never shown.
    pub key: String,
    /// The company in which is traded: the one with most invoices.
    pub company: i64,
}

/// Where Odoo's own files are.
pub struct Files {
    /// Their directory.
    pub dir: PathBuf,
    /// The configuration.
    pub conf: PathBuf,
    /// The log.
    pub log: PathBuf,
}

/// Writes the configuration, and gives the restored filestore to Odoo's account.
///
/// # Errors
/// Those of the file system and of the server.
pub async fn files(room: &Room, plan: &OdooPlan, port: u16) -> Result<Files> {
    let dir = room.data_dir.with_file_name("odoo");
    disk::create_new_dir(&dir, 0o700)?;
    room.account.own(&dir)?;
    if !disk::is_dir(&room.data_dir) {
        disk::create_new_dir(&room.data_dir, 0o700)?;
    }
    if let Account::Other { uid, gid } = room.account {
        let mut chown = process::command(Path::new("chown"));
        chown.args(["-R", "-h"]).arg(format!("{uid}:{gid}")).arg(&room.data_dir);
        let ended = process::run(&mut chown, CHOWN_LIMIT).await?;
        if !ended.is_success() {
            let what = format!("cannot give {} to Odoo's account", room.data_dir.display());
            return Err(Error::new(Kind::Io, what).because(ended.last_words()));
        }
    }
    let password = role(room).await?;
    let conf = dir.join("odoo.conf");
    disk::write_new_durable(&conf, configuration(room, plan, port, &password).as_bytes())?;
    room.account.own(&conf)?;
    Ok(Files { log: dir.join("odoo.log"), conf, dir })
}

/// No schedule, no list of databases, one process, no mail server that exists.
fn configuration(room: &Room, plan: &OdooPlan, port: u16, password: &str) -> String {
    let addons: Vec<String> = plan.addons_path.iter().map(|dir| dir.display().to_string()).collect();
    let addons = match addons.is_empty() {
        true => String::new(),
        false => format!("addons_path = {}\n", addons.join(",")),
    };
    format!(
        "[options]\ndb_host = {}\ndb_port = {PORT}\ndb_user = {ROLE}\ndb_password = {password}\n\
         db_name = {DATABASE}\ndbfilter = ^{DATABASE}$\nlist_db = False\nadmin_passwd = {}\n\
         data_dir = {}\n{addons}http_interface = 127.0.0.1\nhttp_port = {port}\nproxy_mode = False\n\
         workers = 0\nmax_cron_threads = 0\ndb_maxconn = 16\nlimit_time_real = 1200\nlimit_time_cpu = 1200\n\
         smtp_server = 127.0.0.1\nsmtp_port = 9\nwithout_demo = all\nlog_level = info\nsyslog = False\n",
        room.socket_dir.display(),
        random_hex(24),
        room.data_dir.display(),
    )
}

/// Makes the role, and returns its password.
async fn role(room: &Room) -> Result<String> {
    let password = random_hex(24);
    let sql = format!(
        "CREATE ROLE {ROLE} LOGIN PASSWORD '{password}' IN ROLE {OWNER}; ALTER ROLE {ROLE} SET role = '{OWNER}'"
    );
    let mut superuser = room.connect_superuser("postgres").await?;
    superuser.execute("create the role of Odoo", sql).await?;
    superuser.close().await;
    Ok(password)
}

/// Gives a user of the copy a password that only this drill knows; its second factor is removed.
///
/// # Errors
/// `Postgres`; `NotFound` if the database has no version of Odoo or no active user.
pub async fn entrance(room: &Room) -> Result<Entrance> {
    let mut session = room.connect(DATABASE).await?;
    let lacks = |what: &str| Error::new(Kind::NotFound, format!("the restored database has {what}"));
    let sql = "SELECT latest_version::text FROM public.ir_module_module WHERE name = 'base'";
    let row = session.rows("read Odoo's version", sql).await?.into_iter().next();
    let version: Option<String> = row.map(|row| column(&row, 0)).transpose()?.flatten();
    let version = version.unwrap_or_default();
    let major = major(&version).ok_or_else(|| lacks("no version of Odoo"))?;
    // The administrator that Odoo itself made, else the first who may change settings, else anybody inside.
    let sql = "SELECT u.id::int8, u.login::text, u.company_id::int8 FROM public.res_users u \
        LEFT JOIN public.ir_model_data a ON a.model = 'res.users' AND a.res_id = u.id \
            AND a.module = 'base' AND a.name = 'user_admin' \
        WHERE u.active AND u.share IS NOT TRUE AND u.id > 1 ORDER BY a.id IS NULL, NOT EXISTS ( \
            SELECT FROM public.res_groups_users_rel r JOIN public.ir_model_data g ON g.res_id = r.gid \
            WHERE r.uid = u.id AND g.model = 'res.groups' AND g.module = 'base' AND g.name = 'group_system'), \
        u.id LIMIT 1";
    let row = session.rows("choose a user", sql).await?.into_iter().next();
    let row = row.ok_or_else(|| lacks("no active user"))?;
    let (uid, login, own_company): (i64, String, i64) =
        (column(&row, 0)?, column(&row, 1)?, column(&row, 2)?);
    let mut entrance = Entrance {
        major,
        version,
        uid,
        login,
        password: random_hex(24),
        key: String::new(),
        company: own_company,
    };
    let mut set = format!("password = '{}'", entrance.password);
    if has(&mut session, "res_users", "totp_secret").await? {
        set.push_str(", totp_secret = NULL");
    }
    let sql = format!("UPDATE public.res_users SET {set} WHERE id = {uid}");
    session.execute("set the password of the technical user", sql).await?;
    if major >= API_KEYS {
        entrance.key = key(&mut session, uid).await?;
    }
    if has(&mut session, "account_move", "move_type").await? {
        let sql = "SELECT company_id::int8 FROM public.account_move WHERE move_type = 'out_invoice' \
            AND state = 'posted' GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1";
        if let Some(row) = session.rows("choose a company", sql).await?.into_iter().next() {
            entrance.company = column(&row, 0)?;
        }
    }
    session.close().await;
    Ok(entrance)
}

async fn has(session: &mut Session, table: &str, name: &str) -> Result<bool> {
    let sql = format!(
        "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('public.{table}') \
         AND attname = '{name}' AND NOT attisdropped)"
    );
    column(&session.row("look for a column", sql).await?, 0)
}

/// An API key for a day, of the scope that JSON-2 asks for.
async fn key(session: &mut Session, uid: i64) -> Result<String> {
    let key = random_hex(20);
    let mut salt = [0_u8; 16];
    salt.copy_from_slice(&random_hex(8).into_bytes());
    let (index, hash) = api_key::stored(&key, &salt);
    let sql = format!(
        "INSERT INTO public.res_users_apikeys (name, user_id, scope, index, key, create_date, expiration_date) \
         VALUES ('restore drill', {uid}, 'rpc', '{index}', '{hash}', now(), now() + interval '1 day')"
    );
    session.execute("make an API key", sql).await?;
    Ok(key)
}

/// 17 of `17.0.1.3` and of `saas~17.4.1.3`.
fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.rsplit('~').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_the_first_number() {
        assert_eq!((major("17.0.1.3"), major("saas~18.2.1.3"), major("")), (Some(17), Some(18), None));
    }
}
