//! Kinds of entries of a dump: which have an owner, which grant privileges, which are for certain roles.

use super::statements;
use super::toc::Entry;

/// Kinds that have `ALTER … OWNER TO` and that an unprivileged role can create.
const OWNED: [&str; 20] = [
    "AGGREGATE",
    "BLOB",
    "BLOB METADATA",
    "COLLATION",
    "CONVERSION",
    "DOMAIN",
    "FOREIGN TABLE",
    "FUNCTION",
    "MATERIALIZED VIEW",
    "OPERATOR",
    "PROCEDURE",
    "PUBLICATION",
    "SCHEMA",
    "SEQUENCE",
    "SERVER",
    "STATISTICS",
    "TABLE",
    "TEXT SEARCH CONFIGURATION",
    "TEXT SEARCH DICTIONARY",
    "TYPE",
];
/// The entry of a view is checked separately, because the list above would not be sorted with it.
const VIEW: &str = "VIEW";
/// Privileges: set after the load.
pub(super) const RIGHTS: [&str; 2] = ["ACL", "DEFAULT ACL"];
/// Entries that enable row-level security. They come last: with FORCE ROW LEVEL SECURITY, the tables'
/// owner (the loader, at that time) could neither check the rows' foreign keys nor count them.
pub(super) const ROW_SECURITY: &str = "ROW SECURITY";

/// Whether it has an owner that can be changed.
pub(super) fn is_owned(entry: &Entry) -> bool {
    entry.desc == VIEW || OWNED.contains(&entry.desc.as_str())
}

/// The roles that a policy or a user mapping is for.
pub(super) fn named_roles(entry: &Entry) -> Vec<String> {
    let definition = entry.definition.trim_start();
    let mut rest = match entry.desc.as_str() {
        "POLICY" => {
            let head = definition.split('(').next().unwrap_or_default();
            statements::after(head, " TO ").map(|(first, _)| first)
        }
        "USER MAPPING" => {
            let rest = definition.strip_prefix("CREATE USER MAPPING FOR ");
            rest.filter(|rest| !rest.to_ascii_lowercase().starts_with("public ")) // everybody
        }
        _ => None,
    };
    let mut out = Vec::new();
    while let Some((role, more)) = rest.and_then(statements::name) {
        out.push(role);
        rest = more.strip_prefix(", ");
    }
    out
}
