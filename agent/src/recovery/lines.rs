//! What the plan of a restore from a dump says to a person.

use std::time::Duration;

use crate::clock::{self, span_text};
use crate::names::bytes_text;
use crate::recovery::plan::RestorePlan;

impl std::fmt::Display for RestorePlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let release = self.release.as_ref().map_or(String::new(), |r| format!(", release {r}"));
        let loss = span_text(Duration::from_secs(self.loss_seconds.max(0) as u64));
        writeln!(f, "restore {} from {}", self.tenant, self.repository)?;
        writeln!(
            f,
            "  source      {}{release}, Odoo {}",
            self.snapshot,
            self.odoo_version.as_deref().unwrap_or("unknown")
        )?;
        writeln!(
            f,
            "  state of    {}; the changes of the {loss} since then will be missing",
            clock::text(self.point)
        )?;
        writeln!(f, "  creates     database {} at {}, owned by {}", self.database, self.server, self.owner)?;
        writeln!(f, "              (until it is complete its name is {})", self.incomplete_database)?;
        writeln!(f, "  loads as    {}", self.loads)?;
        if let Some(filestore) = &self.filestore {
            let size = bytes_text(filestore.bytes);
            writeln!(f, "  creates     {} ({} files, {size})", filestore.dir.display(), filestore.files)?;
        }
        writeln!(
            f,
            "  fetches     at most {}; the dump has {}",
            bytes_text(self.fetch_bytes),
            bytes_text(self.dump_bytes)
        )?;
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
        write!(f, "  takes       about {}", span_text(Duration::from_secs(self.estimate_seconds)))?;
        for warning in &self.warnings {
            write!(f, "\n  WARNING     {warning}")?;
        }
        Ok(())
    }
}
