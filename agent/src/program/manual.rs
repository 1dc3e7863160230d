//! Manual pages, one for a program and one for each of its commands, from the definition of their arguments.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Command, Id};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::program::version::VERSION;

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The name of its file, as `lifeboat-restore.1`.
    pub file: String,
    /// What `man` reads.
    pub roff: Vec<u8>,
}

/// The pages of a program; its own is the last one.
///
/// # Errors
/// `Internal`, which a test rules out.
pub fn pages(command: Command) -> Result<Vec<Page>> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let of_all: Vec<Id> =
        command.get_arguments().filter(|arg| arg.is_global_set()).map(|arg| arg.get_id().clone()).collect();
    let mut pages = Vec::new();
    collect(&command, None, &of_all, &mut pages)
        .map_err(|e| Error::new(Kind::Internal, "cannot make the manual pages").because(e))?;
    Ok(pages)
}

/// Writes pages into a directory that exists, in place of older ones, readable by everybody; the paths.
///
/// # Errors
/// `NotFound` where the directory does not exist, `Io` where it cannot be written.
pub fn write(pages: &[Page], dir: &Path) -> Result<Vec<PathBuf>> {
    if !disk::is_dir(dir) {
        let what = format!("the directory {} does not exist", dir.display());
        return Err(Error::new(Kind::NotFound, what).next("create it, or name another directory"));
    }
    pages
        .iter()
        .map(|page| {
            let path = dir.join(&page.file);
            disk::remove_file(&path)?;
            let mut file = disk::create_new(&path, 0o644)?;
            file.write_all(&page.roff).map_err(|e| Error::file("write", &path, e))?;
            disk::give(&file, &path, 0o644, None)?;
            Ok(path)
        })
        .collect()
}

fn collect(
    command: &Command,
    program: Option<&str>,
    of_all: &[Id],
    into: &mut Vec<Page>,
) -> std::io::Result<()> {
    let name = program.unwrap_or(command.get_name()).to_owned();
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        collect(below, Some(&name), of_all, into)?;
    }
    into.push(page(command.clone(), program, of_all)?);
    Ok(())
}

/// One page. Options of every command stand in the program's own page.
fn page(command: Command, program: Option<&str>, of_all: &[Id]) -> std::io::Result<Page> {
    let after = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
    let command = command.subcommand_help_heading("COMMANDS").mut_args(|arg| {
        let is_elsewhere = program.is_some() && of_all.contains(arg.get_id());
        let arg = arg.hide_short_help(false); // or it would have no text here
        match arg.get_id().as_str() {
            "help" => arg.help("Print the help; -h prints a short list").long_help(None::<&str>),
            "version" => arg.help("Print the version"),
            _ if is_elsewhere => arg.hide(true),
            _ => arg,
        }
    });
    let has_commands = command.get_subcommands().any(|below| !below.is_hide_set());
    let mut command = command;
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let man = Man::new(command.override_usage(usage));
    let name = man.get_filename().trim_end_matches(".1").to_uppercase();
    // The empty date is quoted: without that the version would stand in its place.
    let mut roff =
        format!(".TH \"{name}\" \"1\" \"\" \"Lifeboat {VERSION}\" \"Lifeboat Manual\"\n").into_bytes();
    man.render_name_section(&mut roff)?;
    man.render_synopsis_section(&mut roff)?;
    man.render_description_section(&mut roff)?;
    man.render_options_section(&mut roff)?;
    if has_commands {
        man.render_subcommands_section(&mut roff)?;
    }
    let mut rest = Roff::new();
    after.iter().flat_map(|after| after.split("\n\n")).for_each(|part| section(part, &mut rest));
    if let Some(program) = program {
        rest.control("SH", ["SEE ALSO"]);
        let more = if of_all.is_empty() { "" } else { ": options that every command takes" };
        rest.text([bold(format!("{program}(1)")), roman(more)]);
    }
    rest.to_writer(&mut roff)?;
    Ok(Page { file: man.get_filename(), roff })
}

/// A part of the text after the options: lines as they stand below a heading (`Examples:`), or a paragraph.
fn section(part: &str, roff: &mut Roff) {
    let (first, rest) = part.split_once('\n').unwrap_or((part, ""));
    let Some(heading) = first.strip_suffix(':').filter(|_| !rest.is_empty()) else {
        roff.control("SH", ["NOTES"]);
        roff.text([roman(part.replace('\n', " "))]);
        return;
    };
    roff.control("SH", [heading.to_uppercase().as_str()]);
    roff.control("nf", []);
    for line in rest.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    #[test]
    fn each_command_has_a_page_with_its_examples_as_they_stand() {
        let below = Command::new("restore").about("Restore a boat");
        let below = below.after_long_help("Examples:\n  boat restore \\\n      --json\n  .hidden");
        let below = below.arg(Arg::new("rare").long("rare").help("Seldom used").hide_short_help(true));
        let json = Arg::new("json").long("json").help("As JSON").global(true).num_args(0);
        let command = Command::new("boat").about("Boats").arg(json).subcommand(below);
        let pages = pages(command).unwrap();
        let names: Vec<&str> = pages.iter().map(|page| page.file.as_str()).collect();
        assert_eq!(names, ["boat-restore.1", "boat.1"]);
        let text = |at: usize| String::from_utf8(pages[at].roff.clone()).unwrap();
        assert!(text(0).contains(".SH EXAMPLES\n.nf\n"), "{}", text(0));
        assert!(!text(0).contains("As JSON") && text(1).contains("As JSON"), "{}", text(0));
        assert!(text(0).contains("Seldom used") && text(0).contains("[OPTIONS]"), "{}", text(0));
        assert!(text(1).contains("boat\\-restore(1)"), "{}", text(1));
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let paths = write(&pages, dir.path()).unwrap();
            assert_eq!(disk::mode(&paths[0]).unwrap().map(|mode| mode & 0o777), Some(0o644));
        }
        let error = write(&pages, &dir.path().join("nowhere")).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
    }
}
