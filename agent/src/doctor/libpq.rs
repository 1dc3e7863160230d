//! Settings for libpq on this host that Lifeboat does not use, although whoever made them expects it to.

use std::path::Path;

use super::Check;
use crate::disk;

/// Those that have a key in our configuration instead.
const KEYS: [(&str, &str); 9] = [
    ("PGHOST", "postgres.host"),
    ("PGPORT", "postgres.port"),
    ("PGUSER", "postgres.user"),
    ("PGDATABASE", "postgres.maintenance_database"),
    ("PGSSLMODE", "postgres.tls"),
    ("PGSSLROOTCERT", "postgres.tls_ca_file"),
    ("PGSSLCERT", "postgres.tls_cert_file"),
    ("PGSSLKEY", "postgres.tls_key_file"),
    ("PGCONNECT_TIMEOUT", "postgres.connect_timeout"),
];
/// Those that Lifeboat uses for all connections, if the configuration names no password.
const USED: [&str; 2] = ["PGPASSWORD", "PGPASSFILE"];
/// Those that have nothing to do with a connection.
const OTHERS: [&str; 3] = ["PGDATA", "PGLOCALEDIR", "PGCLUSTER"];

/// A warning if something is set that no connection uses.
pub fn check() -> Option<Check> {
    let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".postgresql/postgresql.crt"));
    let certificate = home.filter(|path| disk::metadata(path).is_ok_and(|found| found.is_some()));
    ignored(names, certificate.as_deref())
}

fn ignored(names: impl Iterator<Item = String>, certificate: Option<&Path>) -> Option<Check> {
    let is_libpq = |name: &String| {
        name.starts_with("PG")
            && name.bytes().all(|b| b.is_ascii_uppercase())
            && !USED.iter().chain(&OTHERS).any(|known| known == name)
    };
    let mut found: Vec<String> = names.filter(is_libpq).collect();
    found.sort();
    let key = |name: &String| KEYS.iter().find(|(variable, _)| variable == name).map(|(_, key)| *key);
    let mut keys: Vec<&str> = found.iter().filter_map(key).collect();
    if let Some(path) = certificate {
        found.push(path.display().to_string());
        keys.extend(["postgres.tls_cert_file", "postgres.tls_key_file"]);
        keys.dedup();
    }
    if found.is_empty() {
        return None;
    }
    let next = match keys.is_empty() {
        true => "unset it: Lifeboat sets these settings itself on every connection".to_owned(),
        false => format!("set this in the configuration instead: {}", keys.join(", ")),
    };
    let text =
        format!("{}: set for libpq, but no connection of Lifeboat or its pg_dump uses it", found.join(", "));
    Some(Check::warn("libpq", text, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_and_not_used_is_named_with_its_key() {
        let found = |names: &[&str], file: Option<&str>| {
            ignored(names.iter().map(|name| (*name).to_owned()), file.map(Path::new))
        };
        assert!(found(&["PGPASSWORD", "PGPASSFILE", "PGDATA", "PATH", "PG_COLOR", "PGmine"], None).is_none());
        let check = found(&["PGSSLKEY", "PGSSLCERT", "PGOPTIONS"], None).unwrap();
        assert!(check.text.starts_with("PGOPTIONS, PGSSLCERT, PGSSLKEY"), "{}", check.text);
        assert_eq!(
            check.next.as_deref(),
            Some("set this in the configuration instead: postgres.tls_cert_file, postgres.tls_key_file")
        );
        let check = found(&[], Some("/root/.postgresql/postgresql.crt")).unwrap();
        assert!(check.text.contains("/root/.postgresql/postgresql.crt"), "{}", check.text);
        assert!(found(&["PGSERVICE"], None).unwrap().next.unwrap().contains("unset"));
    }
}
