//! The catalogue of neutralizing statements: `.sql` files that say for each statement what it needs
//! and why it exists.
//!
//! ```text
//! -- name: outgoing mail servers                its name in the report, unique
//! -- needs: ir_mail_server.active ir_cron.id    run only where all these columns exist
//! -- lacks: ir_mail_server.owner                and none of these exists
//! -- each: res_company key_a key_b              run once for each of these columns that exists
//! -- type: bool                                 of the `each` columns: bool or text; skips others
//! -- why: mail would leave                      for the person who reads the report
//! UPDATE ...                                    one statement, up to the next name
//! ```
//! In an `each` statement, `{column}` is the quoted column, and `{empty}` is NULL, or an empty text if
//! the column is NOT NULL.

/// One statement of the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// Its name in the report.
    pub name: String,
    /// What would happen without it.
    pub why: String,
    /// (table, column), all of which must exist.
    pub needs: Vec<(String, String)>,
    /// (table, column), none of which may exist.
    pub lacks: Vec<(String, String)>,
    /// (table, columns): run once for each of the columns that exists.
    pub each: Option<(String, Vec<String>)>,
    /// The type of `each` columns: `bool`, `text`, or empty for any.
    pub each_type: String,
    /// One statement with its semicolon.
    pub sql: String,
}

/// The statements in their order. The identity comes last, so that a copy is marked as neutralized only
/// after everything else is done.
pub fn statements() -> Vec<Statement> {
    let files = [
        include_str!("mail.sql"),
        include_str!("scheduled.sql"),
        include_str!("money.sql"),
        include_str!("authorities.sql"),
        include_str!("storage.sql"),
        include_str!("parameters.sql"),
        include_str!("identity.sql"),
    ];
    files.iter().flat_map(|text| parse(text)).collect()
}

/// The checks afterwards; they share nothing with the statements.
pub fn checks() -> Vec<Statement> {
    parse(include_str!("checks.sql"))
}

fn parse(text: &str) -> Vec<Statement> {
    let mut out: Vec<Statement> = Vec::new();
    for line in text.lines() {
        let directive = line.strip_prefix("-- ").and_then(|rest| rest.split_once(": "));
        if let Some(("name", name)) = directive {
            out.push(Statement { name: name.trim().into(), ..Statement::default() });
            continue;
        }
        let Some(current) = out.last_mut() else { continue }; // the file's own comment
        match directive {
            Some(("needs", list)) => current.needs = columns(list),
            Some(("lacks", list)) => current.lacks = columns(list),
            Some(("type", kind)) => current.each_type = kind.trim().into(),
            Some(("why", why)) => current.why = why.trim().into(),
            Some(("each", list)) => {
                let mut words = list.split_whitespace().map(str::to_owned);
                current.each = words.next().map(|table| (table, words.collect()));
            }
            _ if line.trim().is_empty() => {}
            _ => {
                current.sql.push_str(line);
                current.sql.push('\n');
            }
        }
    }
    out
}

fn columns(list: &str) -> Vec<(String, String)> {
    let split =
        |word: &str| word.split_once('.').map(|(table, column)| (table.to_owned(), column.to_owned()));
    list.split_whitespace().filter_map(split).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_is_complete_and_its_name_unique() {
        let (statements, checks) = (statements(), checks());
        assert!(statements.len() > 60 && checks.len() > 20);
        for list in [&statements, &checks] {
            let mut names = std::collections::HashSet::new();
            for statement in list {
                let name = &statement.name;
                assert!(names.insert(name), "{name} is there twice");
                assert!(!statement.why.is_empty(), "{name} has no reason");
                assert!(!statement.needs.is_empty() || statement.each.is_some(), "{name} needs nothing");
                assert_eq!(statement.sql.matches(';').count(), 1, "{name} is one statement");
                assert!(statement.sql.trim_end().ends_with(';'), "{name}");
                assert_eq!(statement.sql.contains("{column}"), statement.each.is_some(), "{name}");
                let sql = &statement.sql;
                let kind = match (
                    sql.contains("{column} LIKE") || sql.contains("{column} NOT LIKE"),
                    sql.contains("{column} = true") || sql.contains("{column} = false"),
                ) {
                    (true, _) => "text",
                    (_, true) => "bool",
                    _ => "",
                };
                assert_eq!(statement.each_type, kind, "{name}");
                for word in ["--", "DROP", "TRUNCATE", "ALTER"] {
                    assert!(!statement.sql.contains(word), "{name} has {word}");
                }
            }
        }
        assert!(checks.iter().all(|check| check.sql.starts_with("SELECT") && check.each.is_none()));
    }

    #[test]
    fn no_column_is_cleared_twice() {
        let mut seen = std::collections::HashSet::new();
        for (table, columns) in statements().into_iter().filter_map(|s| s.each) {
            for column in columns {
                assert!(seen.insert((table.clone(), column.clone())), "{table}.{column}");
            }
        }
    }
}
