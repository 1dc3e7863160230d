//! The settings with which every connection of ours begins: sessions, replication and PostgreSQL's programs.
//!
//! They are sent in the startup packet (`options`; libpq's PGOPTIONS). So they hold before the first
//! statement, win over `ALTER ROLE … SET` and `ALTER DATABASE … SET`, and never stay in a session that a
//! pooler gives to another client. Settings that a role may not set, or that not every supported major
//! has, are not among them: the server would refuse the connection.

use std::time::Duration;

/// How long we wait for a lock, also in pg_dump and in the counting beside it: long enough for a migration
/// or a VACUUM FULL, but a backup must not hang. The fence waits much less, because others could queue up
/// after it.
pub const LOCK_WAIT: Duration = Duration::from_secs(60);
/// How long one of our queries may take, including waits for locks; [`super::Session::allow`] can allow more.
pub const QUESTION_WAIT: Duration = Duration::from_secs(120);
/// How long a statement may take that reads or writes a whole table or a whole database.
pub const TABLE_WAIT: Duration = Duration::from_secs(4 * 3600);

/// For every connection, with any role and on any major version.
const ALWAYS: [(&str, &str); 15] = [
    // An unqualified name never finds an object of the database's owner. pg_temp comes last, or a
    // temporary table could take the place of a catalog.
    ("search_path", "pg_catalog,pg_temp"),
    ("role", "none"),
    ("idle_in_transaction_session_timeout", "0"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_isolation", "read\\ committed"),
    ("default_transaction_deferrable", "off"),
    ("client_min_messages", "warning"),
    // how values and statements are read and written
    ("standard_conforming_strings", "on"),
    ("quote_all_identifiers", "off"),
    ("transform_null_equals", "off"),
    ("array_nulls", "on"),
    ("DateStyle", "ISO,MDY"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "1"),
    ("tcp_keepalives_idle", "60"),
];

/// Settings of newer servers: first major, name, value. A session sets them when it knows the server's
/// version; programs have the server's own major version.
const SINCE: [(u32, &str, &str); 2] = [(14, "idle_session_timeout", "0"), (17, "transaction_timeout", "0")];

fn text(waits: [(&str, Duration); 2]) -> String {
    let mut text = String::new();
    for (name, value) in ALWAYS {
        text.push_str(&format!("-c {name}={value} "));
    }
    for (name, wait) in waits {
        text.push_str(&format!("-c {name}={} ", wait.as_millis()));
    }
    text.trim_end().to_owned()
}

/// For our sessions.
pub(super) fn for_session() -> String {
    text([("lock_timeout", LOCK_WAIT), ("statement_timeout", QUESTION_WAIT)]) + " -c TimeZone=UTC"
}

/// For a replication connection, which streams without a time limit.
pub(super) fn for_replication() -> String {
    text([("lock_timeout", Duration::ZERO), ("statement_timeout", Duration::ZERO)])
}

/// For a program of this major version: it ends by itself and has its own limit for locks.
pub(super) fn for_program(major: u32) -> String {
    let mut text = for_replication();
    for (_, name, value) in since(major) {
        text.push_str(&format!(" -c {name}={value}"));
    }
    text
}

/// The additional settings of this major version.
pub(super) fn since(major: u32) -> impl Iterator<Item = &'static (u32, &'static str, &'static str)> {
    SINCE.iter().filter(move |(first, _, _)| *first <= major)
}

/// The search path that a server reports if it accepted these settings.
pub(super) fn search_path() -> &'static str {
    ALWAYS[0].1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_major_is_told_only_what_it_knows() {
        assert!(!for_program(13).contains("idle_session_timeout"));
        assert!(for_program(16).contains("-c idle_session_timeout=0"));
        assert!(
            !for_program(16).contains(" transaction_timeout")
                && for_program(17).contains(" transaction_timeout=0")
        );
        assert!(for_session().contains("-c lock_timeout=60000 -c statement_timeout=120000"));
        assert!(for_session().starts_with("-c search_path=pg_catalog,pg_temp "));
        assert_eq!(search_path(), "pg_catalog,pg_temp");
    }
}
