//! Trades on the restored copy as a person would: order to payment, purchase to bill, point of sale, and a
//! document. Each step is asserted and timed; a flow ends with its first step that fails, and the others go
//! on.
//!
//! A tenant that lacks a module, or whose books are locked, cannot do everything: that flow is named as not
//! exercised, and is no fault.

use std::time::Duration;

use lifeboat::error::{Error, Kind, Result};
use tokio::time::timeout;

use crate::drill::stage::Stage;
use crate::odoo::boot::Running;
use crate::odoo::desk::Desk;
use crate::report::Report;
use crate::report::finding::{Finding, State};
use crate::report::traded::Step;

mod document;
mod goods;
mod invoice;
mod purchase;
mod sale;
mod tenant;
mod till;
mod transfer;

/// The part of a drill that trades on the copy.
pub const TRANSACTIONS: &str = "transactions";

/// All flows together.
const LIMIT: Duration = Duration::from_secs(1800);
/// The flow in which the technical user gets the rights that it needs.
const SET_UP: &str = "set-up";

/// Trading on the copy.
pub struct Transactions<'a> {
    /// The Odoo, if there is one.
    pub odoo: Option<&'a mut Running>,
    /// Whether the plan wants it.
    pub wanted: bool,
}

impl Stage for Transactions<'_> {
    const NAME: &'static str = TRANSACTIONS;
    const IN_RTO: bool = false;
    type Output = ();

    async fn run(self, report: &mut Report) -> Result<((), String)> {
        let (Some(odoo), true) = (self.odoo, self.wanted) else {
            let why = if self.wanted { "Odoo did not run" } else { "the plan says transactions = false" };
            let what = format!("{why}: no order, delivery, invoice or payment was made");
            report.findings.push(Finding::new(TRANSACTIONS, State::NotRun, what));
            return Ok(((), "not exercised".to_owned()));
        };
        let mut desk = Desk::at(odoo);
        let in_time = timeout(LIMIT, trade(&mut desk)).await;
        report.transactions = desk.steps;
        in_time.unwrap_or_else(|_| {
            let what = format!("the transactions did not end within {} min", LIMIT.as_secs() / 60);
            Err(Error::new(Kind::Unreachable, what))
        })?;
        let (findings, note) = judge(&report.transactions);
        report.findings.extend(findings);
        Ok(((), note))
    }
}

/// All flows; the error is that the drill was stopped.
async fn trade(desk: &mut Desk<'_>) -> Result<()> {
    desk.flow(SET_UP);
    let mut tenant = match tenant::enter(desk).await {
        Ok(tenant) => tenant,
        Err(wrong) => return desk.end(wrong),
    };
    desk.flow(sale::FLOW);
    if let Err(wrong) = sale::trade(desk, &mut tenant).await {
        desk.end(wrong)?;
    }
    desk.flow(purchase::FLOW);
    if let Err(wrong) = purchase::trade(desk, &tenant).await {
        desk.end(wrong)?;
    }
    desk.flow(till::FLOW);
    if let Err(wrong) = till::trade(desk, &tenant).await {
        desk.end(wrong)?;
    }
    desk.flow(document::FLOW);
    if let Err(wrong) = document::render(desk, &tenant).await {
        desk.end(wrong)?;
    }
    Ok(())
}

/// What the steps say of the copy, and a line for people.
fn judge(steps: &[Step]) -> (Vec<Finding>, String) {
    let failed = steps.iter().filter(|step| step.state == State::Failed);
    let mut findings: Vec<Finding> = failed
        .map(|step| {
            let what = format!("{}, step {}: {}", step.flow, step.name, step.what);
            Finding::new(TRANSACTIONS, State::Failed, what)
        })
        .collect();
    let done = steps.iter().filter(|step| step.state == State::Done).count();
    let mut flows: Vec<&str> = Vec::new();
    for step in steps.iter().filter(|step| step.state == State::Done && step.flow != SET_UP) {
        if !flows.contains(&step.flow.as_str()) {
            flows.push(&step.flow);
        }
    }
    let not: Vec<String> = steps
        .iter()
        .filter(|step| step.state == State::NotRun)
        .map(|step| format!("{} ({})", step.flow, step.what))
        .collect();
    let mut what = match (flows.is_empty(), findings.len()) {
        (true, 0) => "nothing was traded".to_owned(),
        (true, failed) => format!("nothing was traded, {failed} failed"),
        (false, 0) => format!("{}: {done} steps right", flows.join(", ")),
        (false, failed) => format!("{}: {done} steps right, {failed} failed", flows.join(", ")),
    };
    if !not.is_empty() {
        what.push_str(&format!("; not exercised: {}", not.join(", ")));
    }
    if findings.is_empty() {
        let state = if flows.is_empty() { State::NotRun } else { State::Done };
        findings.push(Finding::new(TRANSACTIONS, state, what.clone()));
    }
    (findings, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(flow: &str, name: &str, state: State, what: &str) -> Step {
        Step { flow: flow.into(), name: name.into(), state, ms: 1, what: what.into() }
    }

    #[test]
    fn a_failed_step_is_named_and_what_a_tenant_lacks_is_no_fault() {
        let up = step(SET_UP, "user", State::Done, "");
        let sold = step(sale::FLOW, "order", State::Done, "S1");
        let no_till = step(till::FLOW, "till", State::NotRun, "point_of_sale is not installed");
        let (findings, note) = judge(&[up.clone(), sold.clone(), no_till.clone()]);
        assert_eq!(
            note,
            "order to payment: 2 steps right; not exercised: point of sale (point_of_sale is not installed)"
        );
        assert_eq!((findings.len(), findings[0].state), (1, State::Done));
        let (findings, _) = judge(&[up.clone(), no_till]);
        assert_eq!(findings[0].state, State::NotRun, "nothing was traded");
        let (findings, note) = judge(&[up, sold, step(sale::FLOW, "invoice", State::Failed, "no journal")]);
        assert_eq!(findings[0].reason(), "transactions: order to payment, step invoice: no journal");
        assert_eq!((findings.len(), note.as_str()), (1, "order to payment: 2 steps right, 1 failed"));
    }
}
