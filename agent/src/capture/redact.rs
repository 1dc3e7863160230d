//! Replaces secrets in text by keyed digests, so that a change shows and nothing can be guessed.
//!
//! Text is looked at line by line, whatever its format: `name = value` (odoo.conf, ini, env files),
//! `name: value` with the lines that belong to it (YAML), `"name": "value"` (JSON), `--name value`,
//! passwords in URLs, private keys in PEM. What counts as a secret name is in [`words`](super::words).
//! Commented lines are treated alike: old passwords stay in them.

use super::pairs::{Pair, pair, pairs_within};
use super::words::{is_none, is_secret};
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
    /// Whether the document is a Secret of Kubernetes: all of its data are secrets.
    is_secret: bool,
}

impl Before {
    /// The name to make the digest with, where this pair is a secret.
    fn secret_name(&self, found: &Pair<'_>) -> Option<String> {
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
            _ => self.within(body) + end,
        }
    }

    /// A line that belongs to a secret: its value, or all of it.
    fn belongs(&self, body: &str, name: &str) -> String {
        let inner = body.trim().trim_start_matches("- ").trim_end_matches(',');
        if inner.chars().all(|c| "{}[]".contains(c)) {
            return body.to_owned();
        }
        match pair(body) {
            Some(found) if found.value(body).is_empty() || goes_on(found.value(body)) => body.to_owned(),
            Some(found) => self.replaced(body, &found, &format!("{name}.{}", found.name)),
            None => {
                let bare = inner.trim_matches(['"', '\'']);
                body.replacen(bare, &self.value(name, bare), 1)
            }
        }
    }

    fn replaced(&self, body: &str, found: &Pair<'_>, name: &str) -> String {
        let value = self.value(name, found.value(body));
        format!("{}{value}{}", &body[..found.begin], &body[found.end..])
    }

    /// Secrets anywhere in a line.
    fn within(&self, body: &str) -> String {
        let out = self.urls(&self.one_line_keys(body));
        let pairs = pairs_within(&out);
        let mut named: Option<String> = None;
        let mut secrets = Vec::new();
        for (name, begin, end) in pairs {
            match named.take().filter(|_| name == "value") {
                Some(name) => secrets.push((name, begin, end)),
                None if is_secret(&name) => secrets.push((name, begin, end)),
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
mod tests {
    use super::*;
    use crate::archive::signature::SigningKey;

    fn redacted(text: &str) -> String {
        let key = DigestKey::of(&SigningKey::generate("test").unwrap()).unwrap();
        let once = Redactor::new(&key, "files/x").text(text);
        assert_eq!(Redactor::new(&key, "files/x").text(&once), once, "a second time changes nothing");
        once
    }

    #[test]
    fn no_secret_is_left_whatever_the_format() {
        let text = "[options]\nadmin_passwd = s3cr3t with blanks\r\n; db_password = s3cr3t\ndb_password=s3cr3t\n\
            smtp_password: 's3cr3t'\nexport API_TOKEN=\"s3cr3t\"\n\
            {\"user\": \"odoo\", \"password\": \"s3cr3t\", \"clientSecret\":\"s3cr3t\"}\n  \"api_key\": \"s3cr3t\",\n\
            url = postgresql://odoo:s3cr3t@db:5432/shop?x=1\n\
            exec odoo --db_password s3cr3t --smtp-password=s3cr3t --workers 4\n\
            tokens:\n  - s3cr3t\n  - name: s3cr3t\nsecret: |\n  s3cr3t\n  s3cr3t\n\n  s3cr3t\nworkers: 4\n\
            passwords:\n- s3cr3t\nadmin_passwd = s3cr3t\n    s3cr3t\nsmtp_pass: \"s3cr3t\n  s3cr3t\"\nenv:\n- name: DB_PASSWORD\n  value: s3cr3t\n- {name: API_TOKEN, value: s3cr3t}\n\
            ---\napiVersion: v1\ndata:\n  a: s3cr3t\n  b: |\n    s3cr3t\nkind: Secret\n---\nkind: ConfigMap\ndata:\n  a: kept\n\
            -----BEGIN RSA PRIVATE KEY-----\ns3cr3t\ns3cr3t\n-----END RSA PRIVATE KEY-----\n\
            \"pem\": \"-----BEGIN PRIVATE KEY-----\\ns3cr3t\\n-----END PRIVATE KEY-----\\n\"\n\
            -----BEGIN PRIVATE KEY-----\ns3cr3t";
        let out = redacted(text);
        assert!(!out.contains("s3cr3t"), "{out}");
        for kept in [
            "[options]\n",
            "\r\n",
            "workers: 4\n",
            "\"user\": \"odoo\"",
            "@db:5432/shop?x=1",
            "--workers 4",
            "  a: kept\n",
        ] {
            assert!(out.contains(kept), "{kept:?} is missing in {out}");
        }
        assert!(
            serde_json::from_str::<serde_json::Value>(out.lines().find(|l| l.starts_with('{')).unwrap())
                .is_ok()
        );
    }

    #[test]
    fn what_is_no_secret_stays_as_it_is() {
        for text in [
            "",
            "db_host = db1\ndb_name = shop\nworkers = 4\n",
            "db_password = False\nadmin_passwd =\n",
            "passwordSecretRef: odoo-db\nkeyfile=/etc/x\npublic_key: ssh-ed25519 AAAA\n",
            "url: https://example.com:8069/web?db=shop\nimage: odoo:17\ntime: 12:30:00\n",
            "no line end, no pair",
            "- token: false\n  user: odoo\n- name: x\n",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            assert_eq!(redacted(text), text);
        }
    }

    /// Texts that nobody would write: none is a panic, and none has a secret left that it had as a value.
    #[test]
    fn made_up_texts_are_read_to_their_end() {
        let words = [
            "password",
            "name",
            "value",
            "kind: Secret",
            "data:",
            "s3cr3t",
            "\"",
            "'",
            "\\",
            "=",
            ": ",
            " ",
            "\n",
            "  ",
            "- ",
            "é",
            "---\n",
            "{",
            "}",
            "[",
            "]",
            ",",
            "#",
            "://",
            "@",
            "|",
            "-----BEGIN PRIVATE KEY-----",
            "-----END PRIVATE KEY-----",
            "--token",
            "\u{2028}",
            "\t",
            "\r\n",
            ":",
            "x",
        ];
        let key = DigestKey::of(&SigningKey::generate("test").unwrap()).unwrap();
        let mut state = 7_u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..12 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push_str(words[(state >> 33) as usize % words.len()]);
            }
            Redactor::new(&key, "files/x").text(&text);
            let with = format!("{text}\ndb_password = s3cr3t-last\n");
            let out = Redactor::new(&key, "files/x").text(&with);
            assert!(!out.contains("s3cr3t-last"), "{with:?} gave {out:?}");
        }
    }

    #[test]
    fn a_changed_secret_shows_and_its_line_alone() {
        let key = DigestKey::of(&SigningKey::generate("test").unwrap()).unwrap();
        let redactor = Redactor::new(&key, "files/odoo.conf");
        let (a, b) = (redactor.text("x = 1\ndb_password = a\n"), redactor.text("x = 1\ndb_password = b\n"));
        assert_ne!(a, b);
        assert_eq!(a.lines().next(), b.lines().next());
        assert_eq!(a, redactor.text("x = 1\ndb_password = a\n"));
    }
}
