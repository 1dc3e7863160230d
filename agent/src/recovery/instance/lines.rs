//! The text of a plan.

use std::fmt::{Display, Formatter, Result};

use crate::names::bytes_text;
use crate::recovery::instance::plan::InstancePlan;

impl InstancePlan {
    /// The configuration of a server on it, and what it becomes in the end.
    fn copy_lines(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "\n  runs on     a configuration that Lifeboat writes: a private socket, no network, no")?;
        write!(f, "\n              subscriptions, no background workers, no archiving unless requested")?;
        for off in &self.switched_off {
            write!(f, "\n  not obeyed  {} = '{}'", off.name, off.value)?;
        }
        if let Some(takeover) = &self.takeover {
            write!(f, "\n  THEN        it becomes production, with production's own configuration")?;
            write!(f, "{takeover}")?;
        }
        Ok(())
    }
}

impl Display for InstancePlan {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "restore instance {} from {}", self.source.instance, self.source.repository)?;
        self.source.source_lines(f)?;
        let size = bytes_text(self.bytes);
        match &self.replaced {
            None => {
                let goes_on = if self.goes_on { "continues" } else { "creates" };
                writeln!(f, "  {goes_on:<11} {} ({} files, {size})", self.data_dir.display(), self.files)?;
            }
            Some(replaced) => {
                let (dir, old) = (self.data_dir.display(), replaced.old_state.display());
                writeln!(f, "  REPLACES    {dir} ({} files, {size})", self.files)?;
                writeln!(f, "  keeps       its current state in {old}")?;
                let goes_on = if self.goes_on { "continues" } else { "begins" };
                writeln!(
                    f,
                    "              ({goes_on}: the new one is built there; at the end the two directories are exchanged)"
                )?;
            }
        }
        for tablespace in &self.tablespaces {
            writeln!(
                f,
                "  tablespace  {} in {} (was {})",
                tablespace.name,
                tablespace.location.display(),
                tablespace.was
            )?;
        }
        let (fetch, wal) = (bytes_text(self.fetch_bytes), bytes_text(self.source.wal_bytes));
        match self.replaced {
            None => writeln!(f, "  fetches     {fetch}, and WAL of about {wal}")?,
            Some(_) => writeln!(
                f,
                "  fetches     at most {fetch} (unchanged files are copied from there), and WAL of about {wal}"
            )?,
        }
        let free = bytes_text(self.free_bytes);
        let both = if self.replaced.is_some() { ", in addition to the old state" } else { "" };
        writeln!(f, "  space       {size} of {free} free in {}{both}", self.data_dir.display())?;
        writeln!(f, "  takes       {}", self.estimate)?;
        match self.is_fed {
            true => write!(f, "  fetches by  this process; its configuration says {}", self.restore_command)?,
            false => write!(f, "  fetches by  {}", self.restore_command)?,
        }
        self.copy_lines(f)?;
        for warning in self.sorts_otherwise.iter().chain(&self.source.warnings) {
            write!(f, "\n  WARNING     {warning}")?;
        }
        Ok(())
    }
}
