//! Starts Odoo on the restored copy and trades on it. Without an Odoo at hand this is not exercised.

use lifeboat::error::Result;

use crate::drill::stage::Stage;
use crate::report::Report;
use crate::report::finding::{Finding, State};

/// The part of a drill that trades on the copy.
pub const TRANSACTIONS: &str = "transactions";

/// Trading on the copy.
pub struct Odoo;

impl Stage for Odoo {
    const NAME: &'static str = "odoo";
    const IN_RTO: bool = false;
    type Output = ();

    async fn run(self, report: &mut Report) -> Result<((), String)> {
        let what = "Odoo was not started: no order, delivery, invoice or payment was made";
        report.findings.push(Finding::new(TRANSACTIONS, State::NotRun, what));
        Ok(((), "not exercised".to_owned()))
    }
}
