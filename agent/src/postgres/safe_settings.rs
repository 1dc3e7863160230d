//! The settings that every connection of ours begins with: sessions, replication and PostgreSQL's programs alike.
//!
//! They travel in the startup packet (`options`, which is PGOPTIONS of libpq), so they hold before the first statement,
//! they win over what `ALTER ROLE … SET` and `ALTER DATABASE … SET` say, and nothing of them can stay behind in a
//! session that a pooler hands to somebody else. What a role may not set, or not every supported major knows, is not
//! among them: the server would refuse the whole connection.

use std::time::Duration;

/// How long anything of ours waits for a lock, pg_dump and the counting beside it alike: a migration or a VACUUM FULL
/// that holds a table is waited for, and must not hang a backup. Where waiting could make others queue behind us, the
/// fence, it is much shorter.
pub const LOCK_WAIT: Duration = Duration::from_secs(60);
/// How long a question of ours may take, waiting for a lock included; more only where [`super::Session::allow`] says so.
pub const QUESTION_WAIT: Duration = Duration::from_secs(120);
/// How long one statement may take that reads or writes a whole table, or a whole database.
pub const TABLE_WAIT: Duration = Duration::from_secs(4 * 3600);

/// For every connection, of whatever role and on whatever major.
const ALWAYS: [(&str, &str); 15] = [
    // Nothing that a database's owner made is found by a bare name; pg_temp last, or a temporary table could take the
    // place of a catalog.
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

/// Settings that newer servers have: the first major, name, value. A session sets them once it knows what the server
/// is; programs are of the server's own major.
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

/// For a session of ours.
pub(super) fn for_session() -> String {
    text([("lock_timeout", LOCK_WAIT), ("statement_timeout", QUESTION_WAIT)]) + " -c TimeZone=UTC"
}

/// For a replication connection, which streams for as long as it may.
pub(super) fn for_replication() -> String {
    text([("lock_timeout", Duration::ZERO), ("statement_timeout", Duration::ZERO)])
}

/// For a program of this major: it ends when it is done, and has its own limit for locks.
pub(super) fn for_program(major: u32) -> String {
    let mut text = for_replication();
    for (_, name, value) in since(major) {
        text.push_str(&format!(" -c {name}={value}"));
    }
    text
}

/// What this major has besides.
pub(super) fn since(major: u32) -> impl Iterator<Item = &'static (u32, &'static str, &'static str)> {
    SINCE.iter().filter(move |(first, _, _)| *first <= major)
}

/// The search path as a server shows it that took these settings.
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
