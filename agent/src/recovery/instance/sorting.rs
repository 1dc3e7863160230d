//! Whether the indexes of a restored instance are sorted as on this machine. Production's C library or ICU
//! sorted them; another version may sort differently, and then an index misses rows or accepts duplicates.
//! The plan says what is known before a server runs; a started server reports the rest.

use std::process::{Command, Stdio};

use serde::Serialize;

use crate::archive::base::{BaseFacts, ClusterLayout, Collation, Database};
use crate::environment::{self, Child};
use crate::postgres::collations::Sorting;
use crate::postgres::quote::ident;

/// Prints the version of this machine's C library (PostgreSQL manual, 24.2.2.3, on what depends on it).
const GETCONF: &str = "/usr/bin/getconf";
/// How many databases one sentence names.
const NAMED_MAX: usize = 10;
/// Run in a database, it lists what depends on a collation whose version changed (PostgreSQL manual, ALTER
/// COLLATION).
pub const QUERY: &str = "SELECT pg_describe_object(refclassid, refobjid, refobjsubid), \
     pg_describe_object(classid, objid, objsubid) FROM pg_depend JOIN pg_collation c ON refobjid = c.oid \
     AND refclassid = 'pg_collation'::regclass WHERE c.collversion <> pg_collation_actual_version(c.oid)";

/// A database whose indexes must be rebuilt before anybody uses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rebuild {
    /// Its name.
    pub database: String,
    /// Why.
    pub why: String,
    /// Statements for a superuser to run in it.
    pub statements: Vec<String>,
}

/// Facts about this machine that are known without a server.
pub struct Host {
    arch: &'static str,
    libc: Option<String>,
}

impl Host {
    /// Reads them.
    pub fn ask() -> Host {
        let mut command = Command::new(GETCONF);
        command.arg("GNU_LIBC_VERSION").stdin(Stdio::null()).stderr(Stdio::null());
        environment::clean(&mut command, Child::Program);
        let said = command.output().ok().and_then(|output| String::from_utf8(output.stdout).ok());
        let libc = said.and_then(|said| Some(said.trim().strip_prefix("glibc ")?.to_owned()));
        Host { arch: std::env::consts::ARCH, libc }
    }
}

/// What of a base backup may be sorted differently on `host`, one sentence each.
pub fn differs(facts: &BaseFacts, layout: &ClusterLayout, host: &Host) -> Vec<String> {
    let Some(made_on) = &facts.made_on else {
        return vec![
            "this base backup does not say which C library its indexes were written with: if production's differs \
             from this machine's, run REINDEX DATABASE in each database before anybody uses it"
                .to_owned(),
        ];
    };
    let mut out = Vec::new();
    let arch = made_on.platform.split('-').next().unwrap_or_default();
    if !arch.is_empty() && arch != host.arch {
        out.push(format!(
            "production's server was built for {arch}, this machine is {}: some indexes are stored differently there. \
             Run REINDEX DATABASE in each database before anybody uses it",
            host.arch
        ));
    }
    let by = |provider: &str| -> Vec<&str> {
        let sorts = |database: &&Database| matches!(&database.collation, Some(Collation { provider: by, version: Some(_), .. }) if by == provider);
        layout.databases.iter().filter(sorts).map(|database| database.name.as_str()).collect()
    };
    match (&made_on.libc, &host.libc) {
        (Some(then), Some(now)) if then != now => out.push(format!(
            "production sorted text by C library {then}, this machine has {now}: run REINDEX DATABASE {} before \
             anybody uses it; in other databases, rebuild indexes on columns that have a collation of their own",
            in_databases(&by("c"))
        )),
        (Some(then), None) if !by("c").is_empty() => out.push(format!(
            "production sorted text by C library {then}; this machine's version is unknown. If it differs, \
             run REINDEX DATABASE {} before anybody uses it",
            in_databases(&by("c"))
        )),
        _ => {}
    }
    if let (Some(icu), [_, ..]) = (&made_on.icu, by("i").as_slice()) {
        out.push(format!(
            "text is sorted by ICU {icu} {}; only a server can tell whether this machine has the same version (--start compares)",
            in_databases(&by("i"))
        ));
    }
    out
}

fn in_databases(names: &[&str]) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    let named = names.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    match (named.is_empty(), more) {
        (true, _) => "in each database".to_owned(),
        (_, 0) => format!("in {named}"),
        _ => format!("in {named} and {more} more"),
    }
}

/// What the started server sorts differently than production did (`then`), or than its own catalog says.
pub fn rebuild(now: &Sorting, then: &[Database]) -> Vec<Rebuild> {
    let of = |database: &str| {
        then.iter().find(|known| known.name == database)?.collation.as_ref()?.version.as_ref()
    };
    let differs = now.databases.iter().filter_map(|database| {
        let actual = database.version.as_ref()?;
        let other = |written: &&String| *written != actual;
        let written = of(&database.name).filter(other).or(database.recorded.as_ref().filter(other))?;
        let library = if database.provider == "i" { "ICU" } else { "the C library" };
        let name = ident(&database.name);
        let mut statements = vec![format!("REINDEX DATABASE {name}")];
        if database.recorded.is_some() {
            statements.push(format!("ALTER DATABASE {name} REFRESH COLLATION VERSION"));
        }
        Some(Rebuild {
            why: format!(
                "its indexes are sorted by {library} {written} ({}), this server sorts by {actual}",
                database.locale
            ),
            statements,
            database: database.name.clone(),
        })
    });
    differs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::collations::DatabaseSorting;

    fn database(name: &str, provider: &str, version: Option<&str>) -> Database {
        let collation = Collation {
            provider: provider.to_owned(),
            locale: "de".to_owned(),
            version: version.map(str::to_owned),
        };
        Database { oid: 1, name: name.to_owned(), tablespace: 1663, bytes: 1, collation: Some(collation) }
    }

    #[test]
    fn the_started_server_is_compared_with_production_and_with_its_catalog() {
        let then = [database("shop", "c", Some("2.31")), database("same", "i", Some("153.14"))];
        let sorting =
            |name: &str, provider: &str, version: Option<&str>, recorded: Option<&str>| DatabaseSorting {
                oid: 1,
                name: name.to_owned(),
                provider: provider.to_owned(),
                locale: "de".to_owned(),
                version: version.map(str::to_owned),
                recorded: recorded.map(str::to_owned),
            };
        let now = Sorting {
            databases: vec![
                sorting("shop", "c", Some("2.36"), None),
                sorting("same", "i", Some("153.14"), Some("153.14")),
                sorting("old", "i", Some("153.14"), Some("153.112")),
                sorting("plain", "c", None, None),
            ],
            ..Sorting::default()
        };
        let found = rebuild(&now, &then);
        assert_eq!(found.iter().map(|r| r.database.as_str()).collect::<Vec<_>>(), ["shop", "old"]);
        assert_eq!(found[0].statements, ["REINDEX DATABASE \"shop\""]);
        assert!(found[0].why.contains("C library 2.31") && found[0].why.contains("2.36"), "{found:?}");
        assert_eq!(found[1].statements[1], "ALTER DATABASE \"old\" REFRESH COLLATION VERSION");
    }
}
