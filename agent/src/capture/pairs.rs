//! Names and values in lines of text, without knowing the format.

/// A line that is a name and its value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pair<'a> {
    /// The name, without quotes.
    pub name: &'a str,
    /// Where the name begins in the line, with its quote: lines of its value are indented more.
    pub column: usize,
    /// Where the value begins in the line, after a quote if it has one.
    pub begin: usize,
    /// Where it ends, before that quote.
    pub end: usize,
}

impl Pair<'_> {
    /// The value.
    pub fn value<'l>(&self, line: &'l str) -> &'l str {
        &line[self.begin..self.end]
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || "_.-/".contains(c)
}

/// Reads `name = value`, `name: value`, `"name": "value"`, also in a list, exported or commented.
pub(super) fn pair(line: &str) -> Option<Pair<'_>> {
    let mut rest = line.trim_start_matches(|c: char| c.is_whitespace() || "#;".contains(c));
    loop {
        let next = rest.strip_prefix("- ").or_else(|| rest.strip_prefix("export "));
        match next {
            Some(next) => rest = next.trim_start(),
            None => break,
        }
    }
    let column = line.len() - rest.len();
    let quote = rest.chars().next().filter(|c| "\"'".contains(*c));
    let (name, after) = match quote {
        Some(quote) => rest[1..].split_once(quote)?,
        None => rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len())),
    };
    let after = after.trim_start();
    let value = after.strip_prefix(['=', ':'])?;
    // `host:port` and `https://` are no names with values.
    let is_far = value.is_empty() || value.starts_with(char::is_whitespace);
    if name.is_empty() || (after.starts_with(':') && quote.is_none() && !is_far) {
        return None;
    }
    let value = value.trim();
    let begin = line.trim_end().len() - value.len();
    let (begin, end) = match value.chars().next().filter(|c| "\"'".contains(*c)) {
        Some(quote) => (begin + 1, closing(line, begin + 1, quote)),
        None if quote.is_some() => (begin, begin + value.trim_end_matches(',').len()),
        None => (begin, begin + value.len()),
    };
    Some(Pair { name, column, begin, end })
}

/// Where the text ends that began with this quote at `from`.
fn closing(line: &str, from: usize, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in line[from..].char_indices() {
        if c == quote && !escaped {
            return from + at;
        }
        escaped = c == '\\' && !escaped;
    }
    line.trim_end().len().max(from)
}

/// All names with values anywhere in a line, in order: `name=value`, `"name": "value"`, `--name value`. Each
/// with the place of its value.
pub(super) fn pairs_within(line: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < line.len() {
        let Some(start) = line[at..].find(is_name).map(|skip| at + skip) else { break };
        let end = line[start..].find(|c| !is_name(c)).map_or(line.len(), |long| start + long);
        at = end;
        let name = line[start..end].trim_start_matches('-');
        if let Some(begin) = value_at(line, start, end) {
            let (begin, stop) = match line[begin..].chars().next().filter(|c| "\"'".contains(*c)) {
                Some(quote) => {
                    let (begin, stop) = (begin + 1, closing(line, begin + 1, quote));
                    // A shell joins what follows the quote: `"a"b`.
                    let ends = |c: char| c.is_whitespace() || ",;&}]):\"'\\".contains(c);
                    let after = line[stop..].strip_prefix(quote).unwrap_or_default();
                    match after.find(ends).unwrap_or(after.len()) {
                        0 => (begin, stop),
                        more => (begin, stop + quote.len_utf8() + more),
                    }
                }
                None => {
                    let ends = |c: char| c.is_whitespace() || ",;&}])\"'\\".contains(c);
                    (begin, line[begin..].find(ends).map_or(line.len(), |long| begin + long))
                }
            };
            if stop > begin {
                found.push((name.to_owned(), begin, stop));
                // Only a value that is taken is skipped: `a=b=c` may have a name in it.
                if super::words::is_secret(name) {
                    at = stop;
                }
            }
        }
    }
    found
}

/// Where the value of the name at this place begins, if it has one.
fn value_at(line: &str, start: usize, end: usize) -> Option<usize> {
    let rest = &line[end..];
    let quoted = rest.starts_with(['"', '\'']);
    let after = if quoted { &rest[1..] } else { rest };
    let sign = after.trim_start();
    let place = |text: &str| line.len() - text.len();
    if let Some(value) = sign.strip_prefix('=') {
        return Some(place(value.trim_start()));
    }
    if let Some(value) = sign.strip_prefix(':') {
        let far = value.starts_with(|c: char| c.is_whitespace() || "\"'".contains(c));
        return (quoted || far).then(|| place(value.trim_start()));
    }
    let is_flag = line[start..].starts_with('-');
    let value = rest.trim_start();
    (is_flag && value.len() < rest.len() && !value.starts_with('-')).then(|| place(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_in_every_format() {
        let read = |line: &'static str| pair(line).map(|pair| (pair.name, pair.value(line)));
        assert_eq!(read("db_password = a b "), Some(("db_password", "a b")));
        assert_eq!(read("  - \"a\": \"b\\\"c\","), Some(("a", "b\\\"c")));
        assert_eq!(read("\"n\": 12,"), Some(("n", "12")));
        assert_eq!(read("; old: 'x' # remark"), Some(("old", "x")));
        assert_eq!(read("export A=1"), Some(("A", "1")));
        assert_eq!(read("a:"), Some(("a", "")));
        assert_eq!(read("https://x:y@z"), None);
        assert_eq!(read("db:5432:shop"), None);
        assert_eq!(read("plain words"), None);
        assert_eq!(read("= x"), None);
    }

    #[test]
    fn pairs_are_found_inside_of_a_line() {
        let within = |line: &str| {
            pairs_within(line).into_iter().map(|(n, b, e)| format!("{n}={}", &line[b..e])).collect::<Vec<_>>()
        };
        assert_eq!(within("x --password=a&token=b \"k\":\"c\""), ["password=a", "token=b", "k=c"]);
        assert_eq!(within("--db_password s3 --workers 4"), ["db_password=s3", "workers=4"]);
        assert_eq!(within("{a: b, c: 'd e'}"), ["a=b", "c=d e"]);
        assert!(within("12:30:00 http://x").is_empty());
    }
}
