//! The commented `lifeboat.toml` that `lifeboat init` writes: every key with its default and a
//! line of explanation. It comes from the table of keys, so it is never out of date.

use super::keys::{KEYS, Key, SECTIONS, Takes};

/// A key to write into the template, and its value as TOML.
#[derive(Clone, Debug)]
pub struct Setting {
    /// `backup.workers`.
    pub name: String,
    /// `4`, `"text"`, `["a", "b"]`.
    pub value: String,
}

impl Setting {
    /// A setting whose value is a text.
    pub fn text(name: &str, text: &str) -> Setting {
        Setting { name: name.to_owned(), value: quoted(text) }
    }

    /// A setting whose value is a list of texts.
    pub fn list<'a>(name: &str, items: impl IntoIterator<Item = &'a str>) -> Setting {
        let lines: Vec<String> = items.into_iter().map(|item| format!("  {},\n", quoted(item))).collect();
        Setting { name: name.to_owned(), value: format!("[\n{}]", lines.concat()) }
    }
}

/// A TOML basic string; Rust's escapes differ from TOML's, so these are TOML's.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The whole file, with these settings in force and every other key commented out.
pub fn template(settings: &[Setting]) -> String {
    let mut out = String::from(
        "# Lifeboat's configuration. A commented-out key shows its default or an example.\n\
         # Precedence: flags, then the environment (LIFEBOAT_<SECTION>_<KEY>), then this file.\n\
         # Relative paths are relative to this file's directory. No secrets here: name their files.\n",
    );
    for key in KEYS.iter().filter(|key| !key.name.contains('.')) {
        write_key(&mut out, key, settings);
    }
    for (section, help) in SECTIONS {
        // Sections that a person names are shown, never in force.
        let (comment, name, settings) = match section.contains('*') {
            true => ("# ", section.replace('*', "NAME"), &[][..]),
            false => ("", (*section).to_owned(), settings),
        };
        out.push_str(&format!("\n# {help}\n{comment}[{name}]\n"));
        for key in KEYS.iter().filter(|key| key.name.rsplit_once('.').is_some_and(|(s, _)| s == *section)) {
            write_key(&mut out, key, settings);
        }
        if *section == "class.*" {
            let examples = super::classes::EXAMPLES.lines().map(|line| format!("# {line}"));
            out.push_str("\n# Three examples:\n");
            examples.for_each(|line| out.push_str(&format!("{}\n", line.trim_end())));
        }
    }
    out
}

fn write_key(out: &mut String, key: &Key, settings: &[Setting]) {
    let short = key.name.rsplit('.').next().unwrap_or_default();
    out.push_str(&format!("\n# {}{}\n", key.help, rule(key)));
    match (settings.iter().find(|setting| setting.name == key.name), key.default) {
        (Some(setting), _) => out.push_str(&format!("{short} = {}\n", setting.value)),
        (None, Some(default)) => out.push_str(&format!("# {short} = {default}\n")),
        (None, None) => out.push_str(&format!("# {short} = {} # an example\n", key.example)),
    }
}

/// The rule of a key, if the shown value alone does not make it clear.
fn rule(key: &Key) -> String {
    match key.takes {
        Takes::Text | Takes::Path | Takes::Paths | Takes::Url | Takes::Flag | Takes::List(_) => String::new(),
        takes => format!(" Takes {takes}."),
    }
}
