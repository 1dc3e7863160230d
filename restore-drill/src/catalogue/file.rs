//! Parses a check from its file: header and statement. Every error names the line.

use std::collections::BTreeMap;

use lifeboat::error::{Error, Kind, Result};

use super::check::{Check, Requirement, Severity};
use super::series::Versions;

const KEYS: [&str; 7] = ["id", "area", "severity", "title", "versions", "requires", "reason"];

/// Parses one check from its file's text. The last two parts of `path` are its area and its ID.
///
/// # Errors
/// [`Kind::Config`] with path and line.
pub fn parse(path: &str, text: &str) -> Result<Check> {
    let bad = |line: usize, what: String| {
        Error::new(Kind::Config, format!("{path}, line {line}: {what}"))
            .effect("no check was run")
            .next("correct the file; the format is described in restore-drill/checks/README.md")
    };
    let (mut header, sql, sql_line) = header(text).map_err(|(line, what)| bad(line, what))?;
    let mut take =
        |key: &str| header.remove(key).ok_or_else(|| bad(1, format!("the header has no key {key:?}")));
    let (id, area, severity, title) = (take("id")?, take("area")?, take("severity")?, take("title")?);
    let (versions, requires, reason) = (take("versions")?, take("requires")?, take("reason")?);

    let mut parts = path.rsplit('/');
    let file = parts.next().unwrap_or_default().trim_end_matches(".sql");
    let folder = parts.next().unwrap_or_default();
    if !name_is_fine(&id.1, |c| c.is_ascii_uppercase()) {
        return Err(bad(id.0, format!("id {:?} is not 2-32 of A-Z 0-9 _ -, starting with a letter", id.1)));
    }
    if !name_is_fine(&area.1, |c| c.is_ascii_lowercase()) {
        return Err(bad(
            area.0,
            format!("area {:?} is not 2-32 of a-z 0-9 _ -, starting with a letter", area.1),
        ));
    }
    if id.1 != file {
        return Err(bad(id.0, format!("id {:?} differs from the file's name {file:?}", id.1)));
    }
    if area.1 != folder {
        return Err(bad(area.0, format!("area {:?} differs from the folder's name {folder:?}", area.1)));
    }
    let severity = match severity.1.as_str() {
        "hard" => Severity::Hard,
        "base" => Severity::Base,
        "info" => Severity::Info,
        other => return Err(bad(severity.0, format!("severity {other:?} is not hard, base or info"))),
    };
    let versions = versions.1.parse::<Versions>().map_err(|e| bad(versions.0, e.what().to_owned()))?;
    let requires = requirements(&requires.1).map_err(|what| bad(requires.0, what))?;
    let sql = statement(&sql).map_err(|what| bad(sql_line, what))?;
    Ok(Check { id: id.1, area: area.1, severity, title: title.1, versions, requires, reason: reason.1, sql })
}

type Header = BTreeMap<String, (usize, String)>;

/// The keys with their lines and values; and the text after the header, with its first line.
fn header(text: &str) -> Result<(Header, String, usize), (usize, String)> {
    let mut keys = Header::new();
    let mut last: Option<String> = None;
    let mut lines = text.lines().enumerate();
    for (at, line) in lines.by_ref() {
        let number = at + 1;
        let Some(comment) = line.strip_prefix("--") else {
            let body: Vec<&str> = std::iter::once(line).chain(lines.map(|(_, line)| line)).collect();
            return Ok((keys, body.join("\n"), number));
        };
        if let (true, Some(key)) = (comment.starts_with("   "), &last) {
            if let Some((_, value)) = keys.get_mut(key) {
                value.push(' ');
                value.push_str(comment.trim());
            }
            continue;
        }
        let Some((key, value)) = comment.trim().split_once(':') else {
            return Err((number, format!("{line:?} does not have the form `-- key: value`")));
        };
        let (key, value) = (key.trim(), value.trim());
        if !KEYS.contains(&key) {
            return Err((number, format!("unknown key {key:?}; known keys: {}", KEYS.join(", "))));
        }
        if value.is_empty() {
            return Err((number, format!("key {key:?} has no value")));
        }
        if keys.insert(key.to_owned(), (number, value.to_owned())).is_some() {
            return Err((number, format!("key {key:?} is given twice")));
        }
        last = Some(key.to_owned());
    }
    Err((text.lines().count().max(1), "there is no statement after the header".to_owned()))
}

fn name_is_fine(name: &str, letter: impl Fn(char) -> bool) -> bool {
    let rest = |c: char| letter(c) || c.is_ascii_digit() || c == '_' || c == '-';
    (2..=32).contains(&name.len()) && name.starts_with(&letter) && name.chars().all(rest)
}

fn requirements(text: &str) -> Result<Vec<Requirement>, String> {
    let mut found = Vec::new();
    for word in text.split_whitespace() {
        let (table, column) = match word.split_once('.') {
            Some((table, column)) => (table, Some(column)),
            None => (word, None),
        };
        let plain = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !plain(table) || !column.is_none_or(plain) {
            return Err(format!("requirement {word:?} is not `table` or `table.column`"));
        }
        found.push(Requirement { table: table.to_owned(), column: column.map(str::to_owned) });
    }
    Ok(found)
}

fn statement(text: &str) -> Result<String, String> {
    let sql = text.trim().trim_end_matches(';').trim_end();
    let first = sql.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("--"));
    let word = first.and_then(|line| line.split_whitespace().next()).unwrap_or_default().to_uppercase();
    match word.as_str() {
        "SELECT" | "WITH" => Ok(sql.to_owned()),
        "" => Err("there is no statement after the header".to_owned()),
        other => Err(format!("the statement begins with {other}, not with SELECT or WITH")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "-- id: ABC01\n-- area: own\n-- severity: hard\n-- title: t\n-- versions: >=17\n\
        -- requires: a.b\n--   c\n-- reason: because\n--   of that\n-- a note\nSELECT 'x';\n";

    #[test]
    fn a_header_goes_on_in_the_next_line() {
        let good = GOOD.replace("-- a note\n", "");
        let check = parse("x/own/ABC01.sql", &good).unwrap();
        assert_eq!(check.reason, "because of that");
        assert_eq!(check.requires.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a.b", "c"]);
        assert_eq!(check.sql, "SELECT 'x'");
    }

    #[test]
    fn a_bad_file_is_named_with_its_line() {
        let good = GOOD.replace("-- a note\n", "");
        for (from, to, path, said) in [
            ("hard", "harsh", "x/own/ABC01.sql", "x/own/ABC01.sql, line 3: severity \"harsh\""),
            ("", "", "x/own/ABC02.sql", "line 1: id \"ABC01\" differs from the file's name \"ABC02\""),
            ("", "", "x/pos/ABC01.sql", "line 2: area \"own\" differs from the folder's name \"pos\""),
            ("title: t", "titel: t", "x/own/ABC01.sql", "line 4: unknown key \"titel\""),
            ("title: t", "title:", "x/own/ABC01.sql", "line 4: key \"title\" has no value"),
            (">=17", "17+", "x/own/ABC01.sql", "line 5: \"17+\""),
            ("a.b", "a.b;x", "x/own/ABC01.sql", "line 6: requirement \"a.b;x\""),
            ("-- reason: because\n--   of that\n", "", "x/own/ABC01.sql", "has no key \"reason\""),
            ("SELECT 'x';", "DELETE FROM x;", "x/own/ABC01.sql", "begins with DELETE"),
            ("SELECT 'x';", "-- nothing", "x/own/ABC01.sql", "does not have the form"),
            ("SELECT 'x';\n", "", "x/own/ABC01.sql", "no statement"),
        ] {
            let text = if from.is_empty() { good.clone() } else { good.replace(from, to) };
            let error = parse(path, &text).unwrap_err();
            assert!(error.what().contains(said), "{:?} should say {said:?}", error.what());
        }
    }
}
