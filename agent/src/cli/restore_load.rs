//! What goes with loading a tenant's dump, where the server is not as the source was.

use crate::error::{Error, Kind, Result};
use crate::names::shell_path;
use crate::postgres::load::{Choices, NotMade};

/// Parts that were not made that are named one by one; `--json` and the file name all.
const NOT_MADE_TOLD_MAX: usize = 10;

/// How the dump is loaded.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "With --tenant, if the server differs from the source")]
pub struct LoadArgs {
    /// Restore everything that can be restored. The rest is named, and kept as SQL to run later (exit code 3)
    #[arg(long, conflicts_with = "instance_to", hide_short_help = true)]
    partial: bool,
    /// Put everything into the database's own tablespace
    #[arg(long, conflicts_with_all = ["instance_to", "tablespace_map"], hide_short_help = true)]
    no_tablespaces: bool,
    /// Leave out rights of roles that the server does not have; what such a role owned goes to the tenant's
    /// owner
    #[arg(long, conflicts_with = "instance_to", hide_short_help = true)]
    skip_grants_of_missing_roles: bool,
    /// Give objects of other roles back to them. Code of the tenant could change these objects during the
    /// load
    #[arg(long, conflicts_with_all = ["instance_to", "owner"], hide_short_help = true)]
    keep_owners: bool,
    /// Load the dump with all rights of the configured role, if the server accepts no other role. The dump's
    /// triggers, constraints and index expressions then run with these rights
    #[arg(long, conflicts_with = "instance_to", hide_short_help = true)]
    load_as_superuser: bool,
}

impl LoadArgs {
    /// The choices; `tablespaces` as `OLD=NEW`.
    ///
    /// # Errors
    /// `Usage` where one is not of that form.
    pub fn choices(self, tablespaces: &[String]) -> Result<Choices> {
        let pair = |text: &String| {
            let pair = text.split_once('=').filter(|(old, new)| !old.is_empty() && !new.is_empty());
            let pair = pair.filter(|(_, new)| !new.starts_with('/'));
            pair.map(|(old, new)| (old.to_owned(), new.to_owned())).ok_or_else(|| {
                Error::new(
                    Kind::Usage,
                    format!("{text:?} is not of the form OLD=NEW, two names of tablespaces"),
                )
            })
        };
        Ok(Choices {
            as_superuser: self.load_as_superuser,
            partial: self.partial,
            keep_owners: self.keep_owners,
            skip_missing_roles: self.skip_grants_of_missing_roles,
            no_tablespaces: self.no_tablespaces,
            tablespaces: tablespaces.iter().map(pair).collect::<Result<_>>()?,
        })
    }
}

/// What was not made, for a person.
pub fn not_made_text(not_made: &[NotMade], file: Option<&std::path::Path>) -> String {
    let failed: Vec<&NotMade> = not_made.iter().filter(|left| left.failed).collect();
    let mut out = String::new();
    for left in failed.iter().take(NOT_MADE_TOLD_MAX) {
        out += &format!("\nNOT MADE: {}: {}", left.what, left.why);
    }
    if failed.len() > NOT_MADE_TOLD_MAX {
        out += &format!("\nNOT MADE: and {} more", failed.len() - NOT_MADE_TOLD_MAX);
    }
    if let Some(file) = file {
        out += &format!("\nstatements that were not run, to check and run later: {}", shell_path(file));
    }
    out
}

/// Whether all that was to be made is there.
pub fn done(not_made: &[NotMade]) -> super::Done {
    match not_made.iter().any(|left| left.failed) {
        true => super::Done::Incomplete,
        false => super::Done::Complete,
    }
}
