//! What `lifeboat list` shows: a group for each tenant and one for the whole instance, in 80 columns.

use std::collections::BTreeMap;

use super::configuration_text;
use super::screen::{Line, Text, Tone};
use crate::archive::elsewhere;
use crate::archive::manifest::{FilestoreLink, Manifest};
use crate::inventory::{Look, Snapshot};
use crate::names::{SnapshotId, TenantName, bytes_text};
use crate::repository::Repository;

/// One snapshot of the list.
pub struct Row<'a> {
    /// Which.
    pub id: &'a SnapshotId,
    /// What is known of it.
    pub look: &'a Look,
    /// Snapshots that it needs and that do not exist, or are not believed.
    pub lacks: Vec<SnapshotId>,
}

/// Files that a dump names and that no backup holds.
pub fn missing_files(manifest: &Manifest) -> u64 {
    let link = manifest.link();
    link.map_or(0, FilestoreLink::missing_count)
}

/// What a person should know of a snapshot, and how bad it is.
pub fn notes(one: &Snapshot, lacks: &[SnapshotId]) -> Vec<(Tone, String)> {
    let (manifest, mut notes) = (&one.manifest, Vec::new());
    let mut note = |tone: Tone, text: String| notes.push((tone, text));
    if let Some(clock) = one.clock_note() {
        note(Tone::Warning, clock);
    }
    match lacks {
        [] => {}
        [one] => note(Tone::Bad, format!("cannot be restored whole without {one}")),
        [first, rest @ ..] => {
            note(Tone::Bad, format!("cannot be restored whole without {first} and {} more", rest.len()));
        }
    }
    match missing_files(manifest) {
        0 => {}
        1 => note(Tone::Bad, "missing 1 file".to_owned()),
        n => note(Tone::Bad, format!("missing {n} files")),
    }
    if let Some(dump) = manifest.dump() {
        if let Some(told) = dump.filestore.as_ref().and_then(|link| elsewhere::told(&link.elsewhere)) {
            note(Tone::Plain, told);
        }
        if dump.filestore.is_none() {
            note(Tone::Plain, "without filestore".to_owned());
        }
        if !dump.read_back {
            note(Tone::Warning, "not read back".to_owned());
        }
    }
    if let Some(filestore) = manifest.filestore() {
        note(Tone::Plain, format!("{} files, {} new", filestore.files, filestore.new_files));
        if filestore.problem_files > 0 {
            note(Tone::Warning, format!("{} with problems", filestore.problem_files));
        }
    }
    if let Some(base) = manifest.base() {
        let kind = if base.is_full() { "full" } else { "incremental" };
        note(Tone::Plain, format!("{kind}, timeline {}, from {} on", base.timeline, base.stop_lsn));
        if base.bad_page_count > 0 {
            note(Tone::Bad, format!("{} bad pages", base.bad_page_count));
        }
        if let Some(what) = base.missing() {
            note(Tone::Bad, format!("missing: {what}"));
        }
    }
    if let Some(config) = manifest.config() {
        note(Tone::Plain, configuration_text::counts(config));
    }
    notes
}

/// How far the lines of a group are indented.
const INDENT: usize = 2;
/// The widths of the columns before the release.
const ID: usize = 35;
const TIME: usize = 16;
const SIZE: usize = 10;
/// Where the release begins.
const RELEASE: usize = INDENT + ID + 2 + TIME + 2 + SIZE + 2;

/// Groups of [`Group`], in each the newest first.
pub fn text(repository: &Repository, shown: &[Row<'_>], width: usize) -> Text {
    let (url, instance) = (repository.store().url(), repository.instance());
    let mut groups: BTreeMap<Group, Vec<&Row>> = BTreeMap::new();
    for row in shown.iter().rev() {
        let group = match row.look.believed().map(|one| &one.manifest.tenant) {
            Some(Some(tenant)) => Group::Tenant(tenant),
            Some(None) => Group::Instance,
            None => Group::Unknown,
        };
        groups.entry(group).or_default().push(row);
    }
    let releases = shown.iter().filter_map(|row| release(row)).map(|id| id.chars().count());
    let release_width = releases.filter(|long| RELEASE + long <= width).max().unwrap_or(0);
    let mut text = Text::from(format!("instance {instance} in {url}"));
    text.line(0);
    let head = format!("{:<ID$}  {:<TIME$}  {:>SIZE$}", "SNAPSHOT", "STATE OF (UTC)", "STORED");
    let release = if release_width > 0 { "  RELEASE" } else { "" };
    text.line(INDENT).plain(format!("{:INDENT$}{head}{release}", ""));
    for (group, rows) in groups {
        text.line(INDENT).plain(match group {
            Group::Tenant(tenant) => tenant.to_string(),
            Group::Instance => "whole instance (its WAL: lifeboat wal status)".to_owned(),
            Group::Unknown => "not known whose".to_owned(),
        });
        rows.into_iter().for_each(|row| lines(&mut text, row, width, release_width));
    }
    text
}

/// Whose a snapshot is, in the order of the list.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Group<'a> {
    Tenant(&'a TenantName),
    Instance,
    /// Its manifest is missing or not believed.
    Unknown,
}

fn release<'a>(row: &Row<'a>) -> Option<&'a str> {
    row.look.believed()?.manifest.release.as_ref().map(|id| id.as_str())
}

/// ID, time, size and release; then the notes, in lines of their own where they do not fit.
fn lines(text: &mut Text, row: &Row<'_>, width: usize, release_width: usize) {
    let mut line = Line::new(2 * INDENT);
    line.plain(format!("{:INDENT$}{:<ID$}", "", row.id.as_str()));
    let mut all = Vec::new();
    if let Some(one) = row.look.believed() {
        let time = one.manifest.point.strftime("%Y-%m-%d %H:%M").to_string();
        let release = release(row).unwrap_or_default();
        let fits = release.chars().count() <= release_width;
        let in_column = if fits { release } else { "" };
        line.plain(format!("  {time:<TIME$}  {:>SIZE$}", bytes_text(one.stored_bytes)));
        if release_width > 0 {
            line.plain(format!("  {in_column:<release_width$}"));
        }
        if !fits {
            all.push((Tone::Plain, format!("release {release}")));
        }
        all.extend(notes(one, &row.lacks));
    } else if let Some(e) = row.look.error() {
        all.push((Tone::Bad, format!("{}: {}", row.look.word(), e.what())));
    } else {
        let what = "unfinished, or its manifest is lost: run lifeboat verify".to_owned();
        all.push((Tone::Warning, what));
    }
    for (place, (tone, note)) in all.into_iter().enumerate() {
        let gap = if place == 0 { "  " } else { ", " };
        if line.width() + gap.len() + note.chars().count() <= width {
            line.plain(gap).push(tone, note);
            continue;
        }
        if place > 0 {
            line.plain(",");
        }
        text.extend([std::mem::replace(&mut line, Line::new(3 * INDENT))]);
        line.plain(" ".repeat(2 * INDENT)).push(tone, note);
    }
    text.extend([line]);
}
