//! The text of the plan.

use crate::names::{bytes_text, counted};
use crate::recovery::tenant::plan::TenantPlan;

impl std::fmt::Display for TenantPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let base = &self.scratch;
        writeln!(f, "restore {} from {}, at a point in time", self.tenant, base.source.repository)?;
        base.source.source_lines(f)?;
        if !self.filestore_only {
            let owner = self.owner.as_deref().unwrap_or("its owner at that moment");
            let place = self.as_of.as_ref().and_then(|as_of| as_of.tablespace.as_ref());
            let place =
                place.map_or(String::new(), |name| format!(", in tablespace {name} unless it was moved"));
            writeln!(
                f,
                "  creates     database {} at {}, owned by {owner}{place}",
                self.database, self.server
            )?;
            writeln!(f, "              (its name is {} until it is complete)", self.incomplete_database)?;
            writeln!(f, "  loads as    {}", self.loads)?;
        }
        if self.filestore_only {
            writeln!(f, "  no database as requested: only the files of a database {}", self.database)?;
        }
        if self.database_only {
            writeln!(f, "  no files    as requested")?;
        }
        if let Some(filestore) = &self.filestore {
            let size = bytes_text(filestore.bytes);
            writeln!(
                f,
                "  creates     {}: the files that its rows name (the nearest backup has {}, {size})",
                filestore.dir.display(),
                counted(filestore.files, "file")
            )?;
        }
        writeln!(f, "  scratch     {}, private and removed at the end", base.data_dir.display())?;
        let (own, shared, out) =
            (bytes_text(self.own_bytes), bytes_text(self.shared_bytes), bytes_text(self.left_out_bytes));
        writeln!(
            f,
            "  restores    {own} of its own and {shared} shared by all databases; {out} of other databases are left out"
        )?;
        writeln!(
            f,
            "              (a second round restores up to {out} more, if this database was renamed, or copied file by \
            file from another one, after the base backup)"
        )?;
        let (fetch, wal) = (bytes_text(base.fetch_bytes), bytes_text(base.source.wal_bytes));
        writeln!(f, "  fetches     {fetch} of the base backup, WAL of about {wal}, and the filestore")?;
        let (size, free) = (bytes_text(base.bytes + base.source.wal_bytes), bytes_text(base.free_bytes));
        writeln!(f, "  space       {size} of {free} free in {}", base.data_dir.display())?;
        let free = bytes_text(self.work_free_bytes);
        writeln!(f, "  space       up to {own} of {free} free in {}", self.work_dir.display())?;
        writeln!(f, "              the database server's own disk is not checked")?;
        if self.filestore_only {
            return self.end(f);
        }
        let neutralize = if self.neutralize { "yes, before anything else can connect" } else { "no" };
        writeln!(f, "  neutralize  {neutralize}")?;
        self.end(f)
    }
}

impl TenantPlan {
    fn end(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "  takes       {}", self.estimate)?;
        for warning in self.as_of.iter().flat_map(|as_of| &as_of.foreseen).chain(&self.warnings) {
            write!(f, "\n  WARNING     {warning}")?;
        }
        Ok(())
    }
}
