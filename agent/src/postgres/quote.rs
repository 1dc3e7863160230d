//! Names and values inside SQL and connection strings, quoted so that nothing in them is syntax.

/// `name` as a quoted SQL identifier (PostgreSQL manual, 4.1.1). Zero bytes, which PostgreSQL
/// has in no name, are left out so that they cannot end the statement early.
pub fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('\0', "").replace('"', "\"\""))
}

/// `schema.name`, both quoted.
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", ident(schema), ident(name))
}

/// `value` as an SQL string literal that means the same whatever `standard_conforming_strings`
/// says.
pub fn literal(value: &str) -> String {
    let value = value.replace('\0', "").replace('\'', "''");
    match value.contains('\\') {
        true => format!("E'{}'", value.replace('\\', "\\\\")),
        false => format!("'{value}'"),
    }
}

/// `dbname='...'` for the `--dbname` of a client program: a bare name with `=` in it, or one
/// that starts like a URI, would be read as a whole connection string.
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
