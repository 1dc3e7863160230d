//! Starts Odoo on the restored copy. Without an Odoo at hand this is not exercised.

use lifeboat::clock;
use lifeboat::error::Result;
use tokio_util::sync::CancellationToken;

use crate::drill::stage::Stage;
use crate::odoo::boot::{self, Booted, Running};
use crate::place::Room;
use crate::plan::odoo::OdooPlan;
use crate::report::Report;
use crate::report::finding::{Finding, State};

/// The part of a drill that starts Odoo.
pub const ODOO: &str = "odoo";

/// The start of Odoo.
pub struct Odoo<'a> {
    /// Where the tenant is.
    pub room: &'a Room,
    /// Which Odoo.
    pub plan: Option<&'a OdooPlan>,
    /// Ends it early.
    pub cancel: &'a CancellationToken,
}

impl Stage for Odoo<'_> {
    const NAME: &'static str = ODOO;
    const IN_RTO: bool = false;
    type Output = Option<Box<Running>>;

    async fn run(self, report: &mut Report) -> Result<(Self::Output, String)> {
        let mut found = |state, what: &str| report.findings.push(Finding::new(ODOO, state, what));
        let Some(plan) = self.plan else {
            found(State::NotRun, "the plan has no [odoo]: Odoo was not started on the copy");
            return Ok((None, "not exercised".to_owned()));
        };
        let begun = clock::instant();
        match boot::boot(self.room, plan, self.cancel).await? {
            Booted::Down(why) => {
                found(State::Failed, &why);
                Ok((None, why))
            }
            Booted::NotIsolated(why) => {
                let what =
                    format!("not isolated ({why}): Odoo was not started, because it could reach others");
                found(State::NotRun, &what);
                Ok((None, what))
            }
            Booted::Up(running) => {
                let took = clock::span_text(begun.elapsed());
                let version = &running.entrance.version;
                let what = format!("Odoo {version} answered after {took}, in a network without a way out");
                found(State::Done, &what);
                Ok((Some(running), what))
            }
        }
    }
}
