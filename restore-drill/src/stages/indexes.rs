//! Checks tables and indexes below SQL.

use lifeboat::error::Result;

use crate::drill::stage::Stage;
use crate::place::Room;
use crate::report::Report;
use crate::report::finding::{Finding, State};
use crate::stages::amcheck;

/// The part of a drill that checks tables and indexes.
pub const INDEXES: &str = "indexes";

/// Tables and indexes of the restored database, by amcheck.
pub struct Indexes<'a> {
    /// Where the tenant is.
    pub room: &'a Room,
}

impl Stage for Indexes<'_> {
    const NAME: &'static str = "indexes";
    type Output = ();

    async fn run(self, report: &mut Report) -> Result<((), String)> {
        let mut found = report.integrity.take().unwrap_or_default();
        let already = found.examples.len();
        let looked = amcheck::look(self.room, &self.room.database, &mut found).await;
        let (finding, note) = match (&found.amcheck_skipped, found.index_problems) {
            (Some(why), _) => (Finding::new(INDEXES, State::NotRun, why), format!("not checked: {why}")),
            (None, 0) => {
                let what =
                    format!("{} tables and {} indexes (the system's too)", found.tables, found.indexes);
                (
                    Finding::new(INDEXES, State::Done, format!("{what} are sound")),
                    format!("{what}, 0 problems"),
                )
            }
            (None, problems) => {
                let first = found
                    .examples
                    .get(already)
                    .map_or_else(String::new, |first| format!("; the first: {first}"));
                let what = format!("{problems} problems in tables and indexes (amcheck){first}");
                (Finding::new(INDEXES, State::Failed, &what), what)
            }
        };
        report.integrity = Some(found);
        looked?;
        report.findings.push(finding);
        Ok(((), note))
    }
}
