//! The text of the plan of a promotion.

use std::fmt::{Display, Formatter, Result};

use crate::recovery::promote::plan::PromotePlan;

impl Display for PromotePlan {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let PromotePlan { copy, tenant, .. } = self;
        writeln!(f, "promote {copy} as {tenant} at {}", self.server)?;
        if self.goes_on {
            writeln!(f, "  continues   a promotion that was interrupted")?;
        }
        let kept = |what: &str| match &self.replaced {
            Some(replaced) => format!("{what} {tenant} becomes {replaced}"),
            None => String::new(),
        };
        if self.database_is_replaced {
            writeln!(f, "  keeps       {}, closed for connections", kept("database"))?;
        }
        writeln!(f, "  renames     database {copy} to {tenant}")?;
        if let Some(dir) = &self.filestores {
            let dir = dir.display();
            if self.filestore_is_replaced {
                writeln!(f, "  keeps       {} in {dir}", kept("filestore"))?;
            }
            if self.filestore_is_promoted {
                writeln!(f, "  renames     filestore {copy} to {tenant} in {dir}")?;
            }
        }
        if self.database_is_replaced {
            writeln!(
                f,
                "  takes over  privileges, settings, connection limit and comment of database {tenant}"
            )?;
        }
        writeln!(f, "  closes      both databases until the end: nobody can connect during this")?;
        for sort in &self.connected {
            writeln!(f, "  connected   {sort}")?;
        }
        match (self.connected.is_empty(), self.disconnect) {
            (true, _) => writeln!(f, "  connected   nobody")?,
            (false, true) => writeln!(f, "  disconnects all of these, after both databases are closed")?,
            (false, false) => {}
        }
        let silent = match self.neutralized {
            Some(true) => "yes: it has no mail, no scheduled jobs and no providers",
            Some(false) => "no: it is live as soon as it is the tenant",
            None => "unknown",
        };
        write!(f, "  neutralized {silent}")?;
        for refusal in &self.refused {
            write!(f, "\n  REFUSED     {}", refusal.what)?;
        }
        for warning in &self.warnings {
            write!(f, "\n  WARNING     {warning}")?;
        }
        Ok(())
    }
}
