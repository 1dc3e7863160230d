//! The text of the plan of a restore from a dump.

use crate::archive::manifest::MissingFile;
use crate::names::{bytes_text, counted};
use crate::recovery::place::FilestorePlan;
use crate::recovery::plan::RestorePlan;

impl std::fmt::Display for RestorePlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.source.source_lines(f)?;
        let place = self.tablespace.as_ref().map_or(String::new(), |name| format!(", in tablespace {name}"));
        writeln!(
            f,
            "  creates     database {} at {}, owned by {}{place}",
            self.database, self.server, self.owner
        )?;
        writeln!(f, "              (its name is {} until it is complete)", self.incomplete_database)?;
        writeln!(f, "  loads as    {}", self.loads)?;
        if let Some(filestore) = &self.filestore {
            let size = bytes_text(filestore.bytes);
            writeln!(
                f,
                "  creates     {} ({}, {size})",
                filestore.dir.display(),
                counted(filestore.files, "file")
            )?;
            files_lines(f, filestore, &self.missing)?;
        }
        if self.database_only {
            writeln!(f, "  no files    as requested: --filestore-only --as {} restores them", self.database)?;
        }
        writeln!(f, "  fetches     {}", self.source.reads())?;
        for space in &self.space {
            let (needed, free) = (bytes_text(space.needed), bytes_text(space.free));
            writeln!(f, "  space       {needed} of {free} free in {}", space.path.display())?;
        }
        writeln!(f, "              the database server's own disk is not checked")?;
        writeln!(
            f,
            "  neutralize  {}",
            if self.neutralize { "yes, before anything else can connect" } else { "no" }
        )?;
        write!(f, "  takes       {}", self.estimate)?;
        for warning in self.foreseen.iter().chain(&self.source.warnings) {
            write!(f, "\n  WARNING     {warning}")?;
        }
        Ok(())
    }
}

/// How many missing files a plan names.
const NAMED_MAX: usize = 5;

/// The files that are known before they are fetched.
pub(super) fn files_lines(
    f: &mut std::fmt::Formatter<'_>,
    plan: &FilestorePlan,
    missing: &[MissingFile],
) -> std::fmt::Result {
    if plan.from_elsewhere > 0 {
        let count = plan.from_elsewhere;
        let files = counted(count, "file");
        writeln!(f, "              of these, from other backups, because this one lacks them: {files}")?;
    }
    if plan.missing_files > 0 {
        writeln!(f, "  MISSING     {}", missing_text(plan.missing_files, missing.iter().take(NAMED_MAX)))?;
    }
    Ok(())
}

/// The number of files that are in no backup, and the first of them.
pub fn missing_text<'a>(count: u64, named: impl Iterator<Item = &'a MissingFile>) -> String {
    let mut out = match count {
        1 => "1 file that the database names is in no backup of this tenant that could be read".to_owned(),
        n => format!("{n} files that the database names are in no backup of this tenant that could be read"),
    };
    let mut told = 0;
    for file in named {
        out += &format!("\n              {file}");
        told += 1;
    }
    if count > told {
        out += &format!("\n              and {} more", count - told);
    }
    out
}
