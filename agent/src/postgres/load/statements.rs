//! SQL that pg_dump wrote, taken apart: a statement of ours is one statement, whatever names are in it.

/// The statements in a text, without the semicolons between them. Quotes are those of names and of
/// plain strings; text with anything else in it (a dollar sign, a comment, a backslash) is not
/// taken apart.
pub(super) fn split(text: &str) -> Option<Vec<&str>> {
    let (mut out, mut begin, mut quote) = (Vec::new(), 0, None);
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), '\\') if quote == Some('\'') => return None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '$' | '\\') => return None,
            (None, '-') if before == '-' => return None,
            (None, '*') if before == '/' => return None,
            (None, ';') => {
                out.push(text[begin..at].trim());
                begin = at + 1;
            }
            (None, _) => {}
        }
        before = if quote.is_some() { ' ' } else { c };
    }
    out.push(text[begin..].trim());
    out.retain(|statement| !statement.is_empty());
    quote.is_none().then_some(out)
}

/// The name at the beginning of a text, quoted or not, and what comes after it.
pub(super) fn name(text: &str) -> Option<(String, &str)> {
    if let Some(rest) = text.strip_prefix('"') {
        let (mut out, mut chars) = (String::new(), rest.char_indices().peekable());
        while let Some((at, c)) = chars.next() {
            match c {
                '"' if chars.peek().is_some_and(|(_, next)| *next == '"') => {
                    chars.next();
                    out.push('"');
                }
                '"' => return Some((out, &rest[at + 1..])),
                c => out.push(c),
            }
        }
        return None;
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(text.len());
    (end > 0).then(|| (text[..end].to_owned(), &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_in_names_end_no_statement() {
        let text =
            "GRANT SELECT ON TABLE public.\"a;b\"\"; DROP\" TO bi;\nREVOKE ALL ON SCHEMA x FROM PUBLIC;\n";
        assert_eq!(
            split(text).unwrap(),
            ["GRANT SELECT ON TABLE public.\"a;b\"\"; DROP\" TO bi", "REVOKE ALL ON SCHEMA x FROM PUBLIC"]
        );
        for odd in ["GRANT x TO \"open", "a $x$;$x$", "a -- b", "a /* b */", "E'\\'; b'"] {
            assert_eq!(split(odd), None, "{odd}");
        }
        assert_eq!(split(" ;; ").unwrap(), Vec::<&str>::new());
    }

    #[test]
    fn names_are_read_as_pg_dump_quotes_them() {
        assert_eq!(name("unaccent WITH").unwrap(), ("unaccent".into(), " WITH"));
        assert_eq!(name("\"uuid-ossp\" x").unwrap(), ("uuid-ossp".into(), " x"));
        assert_eq!(name("\"a\"\"b\";").unwrap(), ("a\"b".into(), ";"));
        assert_eq!(name("\"open"), None);
        assert_eq!(name(""), None);
    }
}
