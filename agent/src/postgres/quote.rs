//! Quotes names and values for SQL and connection strings, so that nothing in them acts as syntax.

/// `name` as a quoted SQL identifier (PostgreSQL manual, 4.1.1). Zero bytes, which no name in PostgreSQL
/// contains, are left out, so that they cannot end the statement early.
pub fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('\0', "").replace('"', "\"\""))
}

/// `schema.name`, both quoted.
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", ident(schema), ident(name))
}

/// `value` as an SQL string literal that is independent of `standard_conforming_strings`.
pub fn literal(value: &str) -> String {
    let value = value.replace('\0', "").replace('\'', "''");
    match value.contains('\\') {
        true => format!("E'{}'", value.replace('\\', "\\\\")),
        false => format!("'{value}'"),
    }
}

/// `dbname='...'` for the `--dbname` of a client program: a plain name that contains `=`, or starts like a
/// URI, would be read as a connection string.
pub fn conninfo_database(name: &str) -> String {
    format!("dbname='{}'", name.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_or_a_value_is_syntax() {
        assert_eq!(ident("shop"), "\"shop\"");
        assert_eq!(ident("a\"; DROP DATABASE b; --"), "\"a\"\"; DROP DATABASE b; --\"");
        assert_eq!(ident("a\0b"), "\"ab\"");
        assert_eq!(qualified("public", "x.y"), "\"public\".\"x.y\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\'b"), "E'a\\\\''b'");
        assert_eq!(conninfo_database("a' host=evil \\"), "dbname='a\\' host=evil \\\\'");
    }
}
