//! Finds a password: in a file that contains only it, in a libpq password file, or in libpq's environment;
//! never on the command line.

use std::path::{Path, PathBuf};

use crate::disk;
use crate::error::Result;
use crate::postgres::connect::PostgresOptions;

const PASSWORD_FILE_BYTES_MAX: u64 = 64 << 10;

/// The password for this database; `None` if none is known. It is searched in this order: `password`,
/// `password_file`, `passfile`, `PGPASSWORD`, `PGPASSFILE`, `~/.pgpass`. A configured file must exist;
/// the others may be absent.
pub fn find(options: &PostgresOptions, database: &str) -> Result<Option<String>> {
    if let Some(secret) = &options.password {
        return Ok(Some(secret.0.clone()));
    }
    if let Some(path) = &options.password_file {
        let text = disk::read_secret_text("password file", path, PASSWORD_FILE_BYTES_MAX).map_err(|e| {
            e.next("correct postgres.password_file").context("cannot read the PostgreSQL password")
        })?;
        return Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()));
    }
    if let Some(path) = &options.passfile {
        return in_passfile(path, options, database);
    }
    if let Ok(password) = std::env::var("PGPASSWORD") {
        return Ok(Some(password));
    }
    let default = std::env::var_os("PGPASSFILE")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".pgpass")));
    match default {
        Some(path) if disk::metadata(&path).is_ok_and(|meta| meta.is_some_and(|m| m.is_file())) => {
            in_passfile(&path, options, database)
        }
        _ => Ok(None),
    }
}

fn in_passfile(path: &Path, options: &PostgresOptions, database: &str) -> Result<Option<String>> {
    // libpq ignores a file that others can read in the same way.
    let text = disk::read_secret_text("password file", path, PASSWORD_FILE_BYTES_MAX).map_err(|e| {
        e.next(format!("correct the path of the password file {}", path.display()))
            .context("cannot read the PostgreSQL password file")
    })?;
    let host = match options.socket_dir() {
        Some(_) => "localhost",
        None => options.host_text(),
    };
    let port = options.port.to_string();
    let wanted = [host, &port, database, &options.user];
    let socket = options.socket_dir().map(|dir| dir.to_string_lossy().into_owned());
    Ok(text.lines().find_map(|line| {
        let mut fields = split(line)?;
        let password = fields.pop()?;
        let fits = fields.iter().enumerate().all(|(i, field)| {
            field == "*" || field == wanted[i] || (i == 0 && socket.as_deref() == Some(field))
        });
        fits.then_some(password)
    }))
}

/// The five fields of a line (PostgreSQL manual, 34.16): `\:` and `\\` are escapes, the password
/// is the rest of the line up to a colon.
fn split(line: &str) -> Option<Vec<String>> {
    if line.starts_with('#') {
        return None;
    }
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => fields.last_mut()?.push(chars.next()?),
            ':' if fields.len() == 5 => break,
            ':' => fields.push(String::new()),
            _ => fields.last_mut()?.push(c),
        }
    }
    (fields.len() == 5).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn options(host: &str, passfile: &Path) -> PostgresOptions {
        PostgresOptions {
            host: Some(host.into()),
            user: "odoo".into(),
            passfile: Some(passfile.into()),
            ..PostgresOptions::default()
        }
    }

    #[test]
    fn the_first_matching_line_of_a_passfile_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pgpass");
        let lines = "# comment\nshort:line\ndb1:5432:shop:odoo:a\\:b\\\\c\n*:*:other:odoo:second\nlocalhost:5432:*:odoo:sock\n";
        disk::write_new_durable(&path, lines.as_bytes()).unwrap();
        let find = |host: &str, database: &str| find(&options(host, &path), database).unwrap();
        assert_eq!(find("db1", "shop").as_deref(), Some("a:b\\c"));
        assert_eq!(find("db2", "other").as_deref(), Some("second"));
        assert_eq!(find("db2", "shop"), None);
        assert_eq!(find("/run/postgresql", "shop").as_deref(), Some("sock"));
    }

    #[test]
    fn a_password_file_holds_one_line_and_must_exist() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        disk::write_new_durable(&path, b"s3cret \n").unwrap();
        let mut options = PostgresOptions { password_file: Some(path.clone()), ..PostgresOptions::default() };
        assert_eq!(find(&options, "x").unwrap().as_deref(), Some("s3cret "));
        options.password_file = Some(dir.path().join("absent"));
        let error = find(&options, "x").unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
    }
}
