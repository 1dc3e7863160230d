//! Restores the recorded settings of a database.

use crate::postgres::database::Setting;
use crate::postgres::quote::{ident, literal};
use crate::postgres::session::Session;

/// Settings whose stored value is an already quoted list (pg_dump's `variable_is_guc_list_quote`).
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// Applies the recorded settings one by one. If the cluster refuses one (unknown role or parameter, missing
/// privilege), the report gets a sentence about it.
pub async fn apply_settings(session: &mut Session, database: &str, settings: &[Setting]) -> Vec<String> {
    let mut refused = Vec::new();
    for setting in settings {
        let sql = setting_statement(database, setting);
        if let Err(e) = session.execute("apply a setting", sql).await {
            let role = setting.role.as_deref().map(|r| format!(" of role {r:?}")).unwrap_or_default();
            refused.push(format!(
                "setting {}{role} was not applied: {}",
                setting.name,
                e.causes().join("; ")
            ));
        }
    }
    refused
}

/// The statements that turn the settings `have` of a database into `want`; none if they are the same.
pub(super) fn settings_statements(database: &str, have: &[Setting], want: &[Setting]) -> Vec<String> {
    if have == want {
        return Vec::new();
    }
    let roles: std::collections::BTreeSet<_> = have.iter().map(|setting| setting.role.as_deref()).collect();
    let reset = roles.into_iter().map(|role| match role {
        None => format!("ALTER DATABASE {} RESET ALL", ident(database)),
        Some(role) => format!("ALTER ROLE {} IN DATABASE {} RESET ALL", ident(role), ident(database)),
    });
    reset.chain(want.iter().map(|setting| setting_statement(database, setting))).collect()
}

fn setting_statement(database: &str, setting: &Setting) -> String {
    let value = match LISTS.contains(&setting.name.to_ascii_lowercase().as_str()) {
        // Each element is quoted again: the stored text comes from a manifest.
        true => split_list(&setting.value).iter().map(|e| literal(e)).collect::<Vec<_>>().join(", "),
        false => literal(&setting.value),
    };
    let value = if value.is_empty() { "''".into() } else { value };
    // A name such as pg_trgm.similarity_threshold is two identifiers.
    let name: Vec<String> = setting.name.split('.').map(ident).collect();
    let name = name.join(".");
    let database = ident(database);
    match &setting.role {
        None => format!("ALTER DATABASE {database} SET {name} TO {value}"),
        Some(role) => format!("ALTER ROLE {} IN DATABASE {database} SET {name} TO {value}", ident(role)),
    }
}

/// The elements of a stored list such as `"$user", public`.
fn split_list(value: &str) -> Vec<String> {
    let (mut out, mut element, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                element.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => out.push(std::mem::take(&mut element)),
            c if c.is_whitespace() && !quoted => {}
            c => element.push(c),
        }
    }
    if !element.is_empty() || !out.is_empty() {
        out.push(element);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_quoted_whatever_they_hold() {
        let setting =
            |name: &str, value: &str| Setting { role: None, name: name.into(), value: value.into() };
        let sql = setting_statement("x", &setting("search_path", "\"$user\", public, \"a,\"\"b\""));
        assert_eq!(sql, "ALTER DATABASE \"x\" SET \"search_path\" TO '$user', 'public', 'a,\"b'");
        let sql = setting_statement("x", &setting("pg_trgm.limit", "1'; DROP"));
        assert_eq!(sql, "ALTER DATABASE \"x\" SET \"pg_trgm\".\"limit\" TO '1''; DROP'");
        let role = Setting { role: Some("bi".into()), ..setting("work_mem", "64MB") };
        assert_eq!(
            setting_statement("x", &role),
            "ALTER ROLE \"bi\" IN DATABASE \"x\" SET \"work_mem\" TO '64MB'"
        );
    }
}
