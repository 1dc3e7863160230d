//! What a plan says to a person, with and without a host.

use std::fmt::{Display, Formatter, Result};
use std::time::Duration;

use crate::clock::{self, span_text};
use crate::inventory::plan::{DumpPlan, Plan, PointPlan};
use crate::names::{bytes_text, counted};

impl PointPlan {
    /// From what, and what is lost.
    pub fn source_lines(&self, f: &mut Formatter<'_>) -> Result {
        let links = self.chain.len();
        writeln!(
            f,
            "  source      {}, PostgreSQL {}, {} in its chain",
            self.snapshot,
            self.server_version,
            counted(links as u64, "base backup")
        )?;
        writeln!(f, "              consistent at {}, {}", self.base_lsn, clock::text(self.base_point))?;
        writeln!(f, "  target      {}", self.target)?;
        if let Some(mark) = &self.restore_point {
            writeln!(f, "              at {}, made at {}", mark.lsn, clock::text(mark.time))?;
        }
        match (self.wal_end, self.wal_stored_at, self.timeline) {
            (Some(end), Some(at), Some(timeline)) => writeln!(
                f,
                "  WAL         stored without gap up to {end} on timeline {timeline}\n              (the last of it at {})",
                clock::text(at)
            )?,
            _ => writeln!(f, "  WAL         from your own restore_command: it is not known how far it goes")?,
        }
        if let Some(seconds) = self.loss_seconds {
            let loss = span_text(Duration::from_secs(seconds.max(0) as u64));
            writeln!(f, "  loss        the changes of the last {loss} will be missing")?;
        }
        Ok(())
    }

    /// How much is read from the repository, at most.
    pub fn reads(&self) -> String {
        let (stored, wal) = (bytes_text(self.stored_bytes), bytes_text(self.wal_bytes));
        format!("at most {stored}, and WAL of about {wal}")
    }
}

impl DumpPlan {
    /// From what, and what is lost.
    pub fn source_lines(&self, f: &mut Formatter<'_>) -> Result {
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
            "  state of    {}\n  loss        the changes of the {loss} since then will be missing",
            clock::text(self.point)
        )
    }

    /// How much is read from the repository, at most.
    pub fn reads(&self) -> String {
        format!("at most {}; the dump has {}", bytes_text(self.fetch_bytes), bytes_text(self.dump_bytes))
    }
}

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let (reads, warnings) = match self {
            Plan::Dump(plan) => {
                plan.source_lines(f)?;
                if let Some(files) = &plan.files {
                    let size = bytes_text(files.bytes);
                    writeln!(f, "  files       {} ({size}) of {}", files.files, files.snapshot)?;
                }
                (plan.reads(), &plan.warnings)
            }
            Plan::Point(plan) => {
                let what = plan.tenant.as_ref().map_or_else(
                    || format!("instance {}", plan.instance),
                    |tenant| format!("{tenant} at a point in time"),
                );
                writeln!(f, "restore {what} from {}", plan.repository)?;
                plan.source_lines(f)?;
                (plan.reads(), &plan.warnings)
            }
        };
        writeln!(f, "  fetches     {reads}")?;
        write!(f, "  not checked identity, server and directories (without --stored-only they are)")?;
        for warning in warnings {
            write!(f, "\n  WARNING     {warning}")?;
        }
        Ok(())
    }
}
