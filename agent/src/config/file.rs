//! The configuration file: where it is searched, and its entries, each with its line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Inputs;
use super::given::{Given, Origin, Value, names_secret, secret_refused, wrong, wrong_so};
use super::keys::{self, KEYS, Key, SECTIONS};
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::shell_word;

/// A configuration is a few kilobytes; a larger file is not one.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The name of the file.
pub const FILE_NAME: &str = "lifeboat.toml";

/// The file of the system, searched last.
pub const SYSTEM_FILE: &str = "/etc/lifeboat/lifeboat.toml";

/// What is given, by the name of its key, such as `backup.workers` or `cohort.wave1.tenants`.
pub type GivenKeys = BTreeMap<String, Given>;

/// Finds and reads the file: `--config`, `$LIFEBOAT_CONFIG`, `./lifeboat.toml`,
/// `/etc/lifeboat/lifeboat.toml`. `None` if no file is named and neither of the last two exists. A working
/// directory that this user may not enter counts as one without a configuration.
pub fn load(inputs: &Inputs) -> Result<Option<(PathBuf, String)>> {
    let named = match (&inputs.config, inputs.variable("LIFEBOAT_CONFIG")?) {
        (Some(path), _) => Some(("--config", path.clone())),
        (None, Some(path)) => Some(("environment variable LIFEBOAT_CONFIG", PathBuf::from(path))),
        (None, None) => None,
    };
    if let Some((who, path)) = named {
        return read(&path).map(Some).map_err(|error| match error.kind() {
            Kind::NotFound => {
                let what = format!("{who} names {}, but there is no such file", path.display());
                let init = format!("lifeboat init --config {}", shell_word(&path.display().to_string()));
                let next = format!("correct the path; to write that file with new keys, run {init}");
                wrong_so(format!("{what}: lifeboat init writes it"), next).because(error)
            }
            Kind::Denied => not_ours(&path, error, inputs),
            _ => error.with_kind(Kind::Config).context(format!("read the configuration that {who} names")),
        });
    }
    for path in [Path::new(FILE_NAME), Path::new(SYSTEM_FILE)] {
        match read(path) {
            Ok(found) => return Ok(Some(found)),
            Err(error) if error.kind() == Kind::NotFound => {}
            // sudo -u lifeboat in /root: whoever may not enter the directory has no configuration there.
            Err(error)
                if error.kind() == Kind::Denied && disk::metadata(path).is_err() && path.is_relative() => {}
            Err(error) if error.kind() == Kind::Denied => return Err(not_ours(path, error, inputs)),
            Err(error) => return Err(error.with_kind(Kind::Config).context("read the configuration")),
        }
    }
    Ok(None)
}

/// The error that a user sees before anything is configured.
pub fn none(because: &str) -> Error {
    let what = format!(
        "there is no configuration: neither ./{FILE_NAME} nor {SYSTEM_FILE} exists; run lifeboat init"
    );
    let next = format!(
        "lifeboat init writes ./{FILE_NAME} with new keys (for the whole host: sudo lifeboat init --config {SYSTEM_FILE}); \
         then run lifeboat doctor"
    );
    wrong_so(what, next).because(because.to_owned())
}

/// The configuration belongs to the service's user: says how to run this command as that user.
fn not_ours(path: &Path, error: Error, inputs: &Inputs) -> Error {
    let words = inputs.arguments.iter().skip(1).map(|word| shell_word(&word.to_string_lossy()));
    let command = std::iter::once("lifeboat".to_owned()).chain(words).collect::<Vec<_>>().join(" ");
    let user = owner(path).unwrap_or_else(|| "lifeboat".to_owned());
    let what = format!("this user may not read the configuration {}: run it as {user}", path.display());
    wrong_so(what, format!("sudo -u {} {command}", shell_word(&user))).because(error)
}

/// The owner of the file, or of the directory that we may not enter; `None` if that is root or unknown.
fn owner(path: &Path) -> Option<String> {
    let meta = path.ancestors().find_map(|above| disk::metadata(above).ok().flatten())?;
    let uid = std::os::unix::fs::MetadataExt::uid(&meta);
    disk::user_name(uid).ok().flatten().filter(|_| uid != 0)
}

/// The absolute path of a file, and its text.
pub fn read(path: &Path) -> Result<(PathBuf, String)> {
    let path = std::path::absolute(path).map_err(|e| Error::file("find", path, e))?;
    let text = disk::read_text(&path, FILE_BYTES_MAX)?;
    Ok((path, text))
}

/// Parses the text of a file.
///
/// # Errors
/// TOML that does not parse, unknown keys and sections, and secrets; each with file and line.
pub fn parse(path: &Path, text: &str) -> Result<GivenKeys> {
    let line_of = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(span.start));
        wrong(format!("{}:{line}: this is not TOML: {}", path.display(), error.message().replace('\n', ", ")))
    })?;
    let mut given = GivenKeys::new();
    let mut take = |name: String, value: &Spanned<DeValue<'_>>, at: usize| -> Result<()> {
        let origin = Origin::File { path: path.to_owned(), line: line_of(at) };
        let written = text.get(value.span()).unwrap_or_default();
        let value = Value::from_toml(value.get_ref());
        if value.holds_secret() {
            return Err(secret_refused(&origin.of(&name), &name));
        }
        let Some(key) = keys::find(&general(&name)) else { return Err(unknown(&name, &origin)) };
        let read = Given::new(value, origin, written);
        let read = if key.section() == keys::Section::Named { read.called(&name) } else { read };
        given.insert(name, read);
        Ok(())
    };
    for (name, value) in in_order(table.get_ref()) {
        let section = SECTIONS.iter().any(|(section, _)| section == name.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) if is_named(name.get_ref()) => {
                for (own, value) in in_order(inner) {
                    let origin = Origin::File { path: path.to_owned(), line: line_of(own.span().start) };
                    let full = format!("{}.{}", name.get_ref(), own.get_ref());
                    if is_list_of_tables(value.get_ref()) {
                        return Err(doubled(&full, &origin));
                    }
                    let DeValue::Table(keys) = value.get_ref() else {
                        return Err(wrong(format!(
                            "{}: [{}] has no keys of its own; write [{}.NAME] with a name of yours",
                            origin.of(&full),
                            name.get_ref(),
                            name.get_ref()
                        )));
                    };
                    if !is_a_name(own.get_ref()) {
                        let why = "a name has 1 to 40 of a-z 0-9 _ -, and begins with a letter or digit";
                        return Err(wrong(format!("{}: {why}", origin.of(&format!("[{full}]")))));
                    }
                    if keys.is_empty() && has_required(name.get_ref()) {
                        let why = format!("has no keys; `{}`, say", example_of(name.get_ref()));
                        return Err(wrong(format!("{} {why}", origin.of(&format!("[{full}]")))));
                    }
                    for (key, value) in in_order(keys) {
                        take(format!("{full}.{}", key.get_ref()), value, key.span().start)?;
                    }
                }
            }
            DeValue::Table(inner) => {
                if !section {
                    let origin = Origin::File { path: path.to_owned(), line: line_of(name.span().start) };
                    return Err(unknown_section(name.get_ref(), &origin));
                }
                for (key, value) in in_order(inner) {
                    take(format!("{}.{}", name.get_ref(), key.get_ref()), value, key.span().start)?;
                }
            }
            list if is_list_of_tables(list) => {
                let origin = Origin::File { path: path.to_owned(), line: line_of(name.span().start) };
                return Err(doubled(name.get_ref(), &origin));
            }
            _ => take(name.get_ref().to_string(), value, name.span().start)?,
        }
    }
    Ok(given)
}

/// Whether it was written with two brackets: `[[class]]`.
fn is_list_of_tables(value: &DeValue<'_>) -> bool {
    let DeValue::Array(all) = value else { return false };
    all.iter().any(|one| matches!(one.get_ref(), DeValue::Table(_)))
}

/// What to write instead of `[[name]]`.
fn doubled(name: &str, origin: &Origin) -> Error {
    let at = origin.of(&format!("[[{name}]]"));
    let advice = match (name.contains('.'), SECTIONS.iter().any(|(section, _)| *section == name)) {
        _ if name == "cold" => "write [cold.PERIOD], such as [cold.yearly]".to_owned(),
        _ if is_named(name) => format!("write [{name}.NAME] with a name of yours, once for each"),
        (true, _) | (_, true) => format!("write [{name}], once"),
        _ => return unknown_section(name, origin),
    };
    wrong(format!("{at}: no section is a list; {advice}"))
}

/// Whether a person names the sections below this one: `[cohort.wave1]`.
fn is_named(section: &str) -> bool {
    SECTIONS.iter().any(|(known, _)| known.strip_suffix(".*") == Some(section))
}

/// Whether a section of this kind means nothing without keys: not all of them have a default.
fn has_required(section: &str) -> bool {
    keys_of(section).any(|key| key.default.is_none())
}

/// The first key of a section that a person names, with its example.
fn example_of(section: &str) -> String {
    let first = keys_of(section).next();
    first.map_or(String::new(), |key| {
        let short = key.name.rsplit('.').next().unwrap_or_default();
        format!("{short} = {}", key.default.unwrap_or(key.example))
    })
}

fn keys_of(section: &str) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.name.split_once(".*.").is_some_and(|(own, _)| own == section))
}

/// What a person may name a section.
fn is_a_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=40).contains(&name.len())
        && name.bytes().all(|b| fits(b) || b"_-".contains(&b))
        && name.as_bytes().first().copied().is_some_and(fits)
}

/// The name in the table of keys: `cohort.*.tenants` for `cohort.wave1.tenants`.
fn general(name: &str) -> String {
    match name.splitn(3, '.').collect::<Vec<_>>()[..] {
        [section, _, key] if is_named(section) => format!("{section}.*.{key}"),
        _ => name.to_owned(),
    }
}

/// The entries in the file's order, so that the first error reported is the one on the first line.
fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<Entry<'t, 'i>> {
    let mut entries: Vec<Entry<'t, 'i>> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

type Entry<'t, 'i> = (&'t Spanned<std::borrow::Cow<'i, str>>, &'t Spanned<DeValue<'i>>);

fn unknown(name: &str, origin: &Origin) -> Error {
    if names_secret(name) {
        return secret_refused(&origin.of(name), name);
    }
    if SECTIONS.iter().any(|(section, _)| *section == name) {
        return wrong(format!("{} is a section: write [{name}] and its keys below", origin.of(name)));
    }
    let general = general(name);
    let advice = match keys::nearest(&general, KEYS.iter().map(|key| key.name)) {
        Some(near) => format!("did you mean {}?", near.replace('*', "NAME")),
        None => format!("known keys of this section: {}", siblings(&general).join(", ")),
    };
    wrong(format!("{} is not a known key; {advice}", origin.of(name)))
}

fn unknown_section(name: &str, origin: &Origin) -> Error {
    let known: Vec<String> = SECTIONS.iter().map(|(section, _)| section.replace('*', "NAME")).collect();
    let advice = match keys::nearest(name, SECTIONS.iter().map(|(section, _)| section.trim_end_matches(".*")))
    {
        Some(near) if is_named(near) => format!("did you mean [{near}.NAME]?"),
        Some(near) => format!("did you mean [{near}]?"),
        None => format!("known sections: {}", known.join(", ")),
    };
    wrong(format!("{} is not a known section; {advice}", origin.of(&format!("[{name}]"))))
}

fn siblings(name: &str) -> Vec<&'static str> {
    let section = name.rsplit_once('.').map(|(section, _)| section);
    KEYS.iter()
        .filter(|key| key.name.rsplit_once('.').map(|(section, _)| section) == section)
        .map(|key| key.name.rsplit('.').next().unwrap_or_default())
        .collect()
}
