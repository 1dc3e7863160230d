//! Splits SQL that pg_dump wrote, so that each statement we run is one statement, whatever names it contains.

/// The statements in a text, without the semicolons between them. It understands quoted names and plain
/// strings; text with anything else (a dollar sign, a comment, a backslash) is not split.
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

/// The name at the beginning of a text, quoted or not, and the text after it.
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

/// The text after the first `word` outside names and strings, and the text after the last one.
pub(super) fn after<'a>(text: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let (mut quote, mut first, mut last) = (None, None, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, _) if text[at..].starts_with(word) => {
                let rest = &text[at + word.len()..];
                first = first.or(Some(rest));
                last = Some(rest);
            }
            (None, _) => {}
        }
    }
    first.zip(last)
}

/// The roles that a statement about privileges names: who acts, whose defaults, who gets or loses a
/// privilege.
pub(super) fn roles(statement: &str) -> Vec<String> {
    let named =
        |rest: &str| name(rest).filter(|_| rest.split(' ').next() != Some("PUBLIC")).map(|(role, _)| role);
    if let Some(rest) = statement.strip_prefix("SET SESSION AUTHORIZATION ") {
        return named(rest).into_iter().collect();
    }
    let defaults = statement.strip_prefix("ALTER DEFAULT PRIVILEGES FOR ROLE ").and_then(named);
    let to = after(statement, " TO ").map(|(_, last)| last);
    let from = after(statement, " FROM ").map(|(_, last)| last);
    // The later of the two belongs to the privilege itself.
    let grantee = match (to, from) {
        (Some(to), Some(from)) => Some(if to.len() < from.len() { to } else { from }),
        (to, from) => to.or(from),
    };
    defaults.into_iter().chain(grantee.and_then(named)).collect()
}

/// The library of a C function, from pg_dump's definition.
pub(super) fn library(definition: &str) -> Option<String> {
    let (language, rest) = name(definition.split_once("\n    LANGUAGE ")?.1)?;
    let rest = Some(rest).filter(|_| language == "c")?;
    let text = rest.split_once("\n    AS '")?.1;
    let mut parts = text.split('\'');
    // A quote inside is doubled: the part between the two is empty.
    let mut library = parts.next()?.to_owned();
    while let Some("") = parts.next() {
        library = library + "'" + parts.next()?;
    }
    Some(library)
}

/// Parses `name = value, name = 'value'`, pg_dump's form of an object's options; `None` for anything else.
pub(super) fn options(text: &str) -> Option<Vec<(String, String)>> {
    let mut out = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, after) = name(rest)?;
        rest = after.trim_start().strip_prefix('=')?.trim_start();
        let value;
        if let Some(text) = rest.strip_prefix('\'') {
            let (mut read, mut end, mut chars) = (String::new(), None, text.char_indices().peekable());
            while let Some((at, c)) = chars.next() {
                match c {
                    '\'' if chars.peek().is_some_and(|(_, next)| *next == '\'') => {
                        chars.next();
                        read.push('\'');
                    }
                    '\'' => {
                        end = Some(at + 1);
                        break;
                    }
                    '\\' => return None,
                    c => read.push(c),
                }
            }
            (value, rest) = (read, &text[end?..]);
        } else {
            let end = rest.find([',', '\n', ' ']).unwrap_or(rest.len());
            (value, rest) = (rest[..end].to_owned(), &rest[end..]);
        }
        out.push((key.to_lowercase(), value));
        rest = rest.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(more) => more.trim_start(),
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    Some(out)
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
    fn the_roles_of_a_right_are_found_whatever_is_in_names() {
        for (text, named) in [
            ("GRANT SELECT ON TABLE public.\"a TO b\" TO \"c;d\" WITH GRANT OPTION", vec!["c;d"]),
            ("GRANT ALL ON SCHEMA x TO PUBLIC", vec![]),
            ("REVOKE ALL ON TABLE public.t FROM odoo", vec!["odoo"]),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE odoo IN SCHEMA public GRANT SELECT ON TABLES TO bi",
                vec!["odoo", "bi"],
            ),
            ("SET SESSION AUTHORIZATION \"re;ader\"", vec!["re;ader"]),
            ("RESET SESSION AUTHORIZATION", vec![]),
        ] {
            assert_eq!(roles(text), named, "{text}");
        }
    }

    #[test]
    fn options_are_read_or_not_at_all() {
        let read = options("provider = icu, deterministic = false, locale = 'de-u-co-phone''bk'").unwrap();
        assert_eq!(read[2], ("locale".into(), "de-u-co-phone'bk".into()));
        assert_eq!(read.len(), 3);
        for odd in ["a = 'x", "a", "a = 'x' b = 'y'", "a = 'x\\', b = '"] {
            assert_eq!(options(odd), None, "{odd}");
        }
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
