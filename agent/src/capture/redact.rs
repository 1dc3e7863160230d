//! Replaces secrets in text by keyed digests, so that a change shows and nothing can be guessed.
//!
//! Text is looked at line by line, whatever its format: `name = value` (odoo.conf, ini, env files),
//! `name: value` with the lines that belong to it (YAML), `"name": "value"` (JSON), `--name value`,
//! passwords in URLs, private keys in PEM. What counts as a secret name is in [`words`](super::words).
//! Commented lines are treated alike: old passwords stay in them.

use super::pairs::{Pair, pair, pairs_within};
use super::words::{is_none, is_reference, is_secret};
use crate::archive::keyed::{DigestKey, PLACEHOLDER};

const PEM_BEGIN: &str = "-----BEGIN ";
const PEM_PRIVATE: &str = "PRIVATE KEY-----";
const PEM_END: &str = "-----END ";

/// Makes the digests of one file.
#[derive(Clone, Copy, Debug)]
pub struct Redactor<'a> {
    key: &'a DigestKey,
    /// Its path in the snapshot: part of every digest.
    path: &'a str,
}

/// Lines that belong to a secret name before them.
struct Below {
    indent: usize,
    /// Whether items of a list may stand at that indent: nothing was in its own line.
    items: bool,
    name: String,
}

/// What the lines before say of the next one.
#[derive(Default)]
struct Before {
    below: Option<Below>,
    /// `name: DB_PASSWORD`, whose `value:` may follow.
    named: Option<String>,
    /// `secretKeyRef:` at this column: the `key:` below it is a name.
    reference: Option<usize>,
    /// Whether the document is a Secret of Kubernetes: all of its data are secrets.
    is_secret: bool,
}

impl Before {
    /// Whether this pair is below a reference to a secret.
    fn refers(&self, found: &Pair<'_>) -> bool {
        self.reference.is_some_and(|column| found.column > column)
    }

    /// The name to make the digest with, where this pair is a secret.
    fn secret_name(&self, found: &Pair<'_>) -> Option<String> {
        if found.name == "key" && self.refers(found) {
            return None;
        }
        let data = self.is_secret && ["data", "stringData"].contains(&found.name);
        match &self.named {
            Some(name) if found.name == "value" => Some(name.clone()),
            _ => (data || is_secret(found.name)).then(|| found.name.to_owned()),
        }
    }
}

impl<'a> Redactor<'a> {
    /// For the file at this path of the snapshot.
    pub fn new(key: &'a DigestKey, path: &'a str) -> Redactor<'a> {
        Redactor { key, path }
    }

    /// What stands in place of this value of `name`, whatever the name says. An absent value stays.
    pub fn value(&self, name: &str, value: &str) -> String {
        match is_none(value) || value.starts_with(PLACEHOLDER) {
            true => value.to_owned(),
            false => self.key.of_secret(self.path, name, value.as_bytes()).placeholder(),
        }
    }

    /// The text with digests in place of secrets; everything else stays byte for byte.
    pub fn text(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut before = Before { is_secret: is_secret_object(text), ..Before::default() };
        let mut pem: Option<String> = None;
        let mut rest = text;
        for line in text.split_inclusive('\n') {
            if line.starts_with("---") && pem.is_none() && !line.contains(PEM_BEGIN) {
                before = Before { is_secret: is_secret_object(&rest[line.len()..]), ..Before::default() };
            }
            rest = &rest[line.len()..];
            if let Some(block) = &mut pem {
                block.push_str(line);
                if line.contains(PEM_END) {
                    out.push_str(&self.pem(block));
                    pem = None;
                }
                continue;
            }
            if begins_private_key(line) && !line.contains(PEM_END) {
                pem = Some(line.to_owned());
                continue;
            }
            out.push_str(&self.line(line, &mut before));
        }
        out + &pem.map_or(String::new(), |block| self.pem(&block))
    }

    /// A block of PEM as one line, with the indent and the line end that it had.
    fn pem(&self, block: &str) -> String {
        let begin = block.find(PEM_BEGIN).unwrap_or(0);
        let end = if block.ends_with('\n') { "\n" } else { "" };
        let lines: Vec<&str> = block.lines().map(str::trim).collect();
        format!("{}{}{end}", &block[..begin], self.value("private key", &lines.join("\n")))
    }

    fn line(&self, line: &str, before: &mut Before) -> String {
        let body = line.trim_end_matches(['\n', '\r']);
        let end = &line[body.len()..];
        if body.trim().is_empty() {
            return line.to_owned();
        }
        let indent = body.len() - body.trim_start().len();
        if let Some(block) = &before.below {
            let is_item = block.items && indent == block.indent && body.trim_start().starts_with("- ");
            if indent > block.indent || is_item {
                return self.belongs(body, &block.name) + end;
            }
        }
        before.below = None;
        let found = pair(body);
        if let Some(found) = &found {
            let below = before.reference.filter(|column| found.column > *column);
            let begins = is_reference(found.name) && goes_on(found.value(body));
            before.reference = if begins { Some(found.column) } else { below };
        }
        let name = found.as_ref().and_then(|found| before.secret_name(found));
        before.named =
            found.as_ref().filter(|found| found.name == "name").map(|found| found.value(body).to_owned());
        before.named = before.named.take().filter(|name| is_secret(name));
        match (found, name) {
            (Some(found), Some(name)) => {
                let items = goes_on(found.value(body));
                let replaced = if items { line.to_owned() } else { self.replaced(body, &found, &name) + end };
                // A value may go on in the next lines, also where it began in this one.
                before.below = Some(Below { indent: found.column, items, name });
                replaced
            }
            (found, _) => {
                let refers = found.is_some_and(|found| before.refers(&found));
                self.within(body, refers) + end
            }
        }
    }

    /// A line that belongs to a secret: its value, or all of it.
    fn belongs(&self, body: &str, name: &str) -> String {
        let inner = body.trim().trim_start_matches("- ").trim_end_matches(',');
        if inner.chars().all(|c| "{}[]".contains(c)) {
            return body.to_owned();
        }
        match pair(body) {
            Some(found) if goes_on(found.value(body)) || is_reference(found.name) => body.to_owned(),
            Some(found) => self.replaced(body, &found, &format!("{name}.{}", found.name)),
            None => {
                let bare = inner.trim_matches(['"', '\'']);
                body.replacen(bare, &self.value(name, bare), 1)
            }
        }
    }

    fn replaced(&self, body: &str, found: &Pair<'_>, name: &str) -> String {
        let (begin, after) = (&body[..found.begin], &body[found.end..]);
        let rest = after.strip_prefix(['"', '\'']).unwrap_or_default();
        // What follows a quoted value belongs to it, unless it is the next one of a list: `"a" # was b`.
        if rest.trim().is_empty() || rest.trim_start().starts_with([',', '}', ']']) {
            let value = self.value(name, found.value(body));
            let quote = &after[..after.len() - rest.len()];
            return format!("{begin}{value}{quote}{}", self.within(rest, false));
        }
        format!("{begin}{}{}", self.value(name, body[found.begin..].trim_end()), &after[..1])
    }

    /// Secrets anywhere in a line. Where it refers to a secret, a bare `key` is its name.
    fn within(&self, body: &str, mut refers: bool) -> String {
        let out = self.urls(&self.one_line_keys(body));
        let pairs = pairs_within(&out);
        let mut named: Option<String> = None;
        let mut secrets = Vec::new();
        for (name, begin, end) in pairs {
            refers |= is_reference(&name);
            match named.take().filter(|_| name == "value") {
                Some(name) => secrets.push((name, begin, end)),
                None if is_secret(&name) && !(refers && name == "key") => secrets.push((name, begin, end)),
                None if name == "name" => {
                    named = Some(out[begin..end].to_owned()).filter(|name| is_secret(name))
                }
                None => {}
            }
        }
        let (mut replaced, mut from) = (String::with_capacity(out.len()), 0);
        for (name, begin, end) in secrets {
            replaced.push_str(&out[from..begin]);
            replaced.push_str(&self.value(&name, &out[begin..end]));
            from = end;
        }
        replaced + &out[from..]
    }

    /// A private key with its line ends escaped, as JSON has it.
    fn one_line_keys(&self, body: &str) -> String {
        let begin = body.find(PEM_BEGIN).filter(|_| begins_private_key(body));
        let end = begin.and_then(|at| Some(at + body[at..].find(PEM_END)?));
        let (Some(begin), Some(end)) = (begin, end) else { return body.to_owned() };
        let after = end + body[end..].find(PEM_PRIVATE).map_or(body.len() - end, |at| at + PEM_PRIVATE.len());
        format!("{}{}{}", &body[..begin], self.value("private key", &body[begin..after]), &body[after..])
    }

    /// Passwords of URLs: `postgresql://odoo:PASSWORD@host/`.
    fn urls(&self, body: &str) -> String {
        let (mut out, mut rest) = (String::new(), body);
        while let Some(at) = rest.find("://") {
            let (before, after) = rest.split_at(at + 3);
            let end =
                after.find(|c: char| c.is_whitespace() || "/?#\"'<>`".contains(c)).unwrap_or(after.len());
            out.push_str(before);
            rest = after;
            if let Some((user, _)) = after[..end].rsplit_once('@')
                && let Some((name, password)) = user.split_once(':')
            {
                out.push_str(&format!("{name}:{}", self.value(&format!("{name}@"), password)));
                rest = &after[user.len()..];
            }
        }
        out + rest
    }
}

/// Whether the document at the beginning of this text is a Secret of Kubernetes.
fn is_secret_object(text: &str) -> bool {
    let document = text.lines().take_while(|line| !line.starts_with("---"));
    let mut kinds = document
        .filter_map(|line| pair(line).filter(|found| found.name == "kind").map(|found| found.value(line)));
    kinds.any(|kind| kind == "Secret")
}

/// Whether the value of a name is in the lines that follow.
fn goes_on(value: &str) -> bool {
    let block = value.strip_prefix(['|', '>']);
    value.is_empty()
        || value == "{"
        || value == "["
        || block.is_some_and(|rest| rest.len() <= 2 && rest.chars().all(|c| "+-0123456789".contains(c)))
}

fn begins_private_key(line: &str) -> bool {
    line.find(PEM_BEGIN).is_some_and(|at| line[at..].contains(PEM_PRIVATE))
}

#[cfg(test)]
mod tests;
