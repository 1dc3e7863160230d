//! Runs every scheduled action of the copy once and shows that nothing left: the namespace in which Odoo
//! runs has no way out, and its counters tell what wanted one.
//!
//! Neutralizing switched nearly all of them off. Run by hand, an action that is off may try to call out: that
//! is named, and is no fault. One that is still on, or a transaction, must not even try.

use std::time::Duration;

use lifeboat::error::{Error, Kind, Result};
use lifeboat::odoo::rpc::{Failure, OdooCall};
use serde_json::json;
use tokio::time::timeout;

use crate::drill::stage::Stage;
use crate::odoo::boot::Running;
use crate::odoo::record::Record;
use crate::report::Report;
use crate::report::finding::{Finding, State};

/// The part of a drill that proves that the copy is silent.
pub const SILENCE: &str = "silence";

/// How long one scheduled action may take, and all together.
const ACTION_LIMIT: Duration = Duration::from_secs(60);
const ALL_LIMIT: Duration = Duration::from_secs(900);
const ACTIONS_MAX: u32 = 1000;

/// The proof.
pub struct Silence<'a> {
    /// The Odoo, if there is one.
    pub odoo: Option<&'a mut Running>,
}

/// A scheduled action.
struct Action {
    id: i64,
    name: String,
    is_on: bool,
}

impl Stage for Silence<'_> {
    const NAME: &'static str = SILENCE;
    const IN_RTO: bool = false;
    type Output = ();

    async fn run(self, report: &mut Report) -> Result<((), String)> {
        let mut found = |state, what: String| report.findings.push(Finding::new(SILENCE, state, what));
        let Some(odoo) = self.odoo else {
            found(State::NotRun, "Odoo did not run: no scheduled action was run".to_owned());
            return Ok(((), "not exercised".to_owned()));
        };
        let before = odoo.traffic()?.attempts;
        if before > 0 {
            let what = format!("starting Odoo and trading tried to connect {before} times");
            found(State::Failed, what);
        }
        let actions = actions(odoo).await?;
        let (mut calling_out, mut refused, mut last) = (Vec::new(), 0, before);
        let all = async {
            for action in &actions {
                refused += usize::from(!run(odoo, action).await?);
                let now = odoo.traffic()?.attempts;
                if now > last {
                    calling_out.push((action, now - last));
                }
                last = now;
            }
            Ok(())
        };
        let in_time = timeout(ALL_LIMIT, all).await;
        let is_complete = in_time.is_ok();
        in_time.unwrap_or(Ok::<(), Error>(()))?;
        let mut traffic = odoo.traffic()?;
        if !is_complete {
            found(
                State::Unknown,
                format!("scheduled actions did not end within {} min", ALL_LIMIT.as_secs() / 60),
            );
        }
        for (action, attempts) in &calling_out {
            if action.is_on {
                let what = format!(
                    "the scheduled action {:?} is on, and tried to connect {attempts} times",
                    action.name
                );
                found(State::Failed, what);
            }
        }
        if traffic.packets_out > 0 {
            found(State::Failed, format!("{} packets left the isolated network", traffic.packets_out));
        }
        let off: Vec<&str> = calling_out
            .iter()
            .filter(|(action, _)| !action.is_on)
            .map(|(action, _)| action.name.as_str())
            .collect();
        let mut what = format!(
            "{} scheduled actions run: {} packets out ({} attempts; interfaces: {})",
            actions.len(),
            traffic.packets_out,
            traffic.attempts,
            traffic.interfaces.join(", ")
        );
        if !off.is_empty() {
            what.push_str(&format!("; switched off, and would call out: {}", off.join(", ")));
        }
        if refused > 0 {
            what.push_str(&format!("; {refused} ended with an error of their own"));
        }
        if is_complete {
            found(State::Done, what.clone());
        }
        traffic.actions = actions.len();
        traffic.calling_out =
            calling_out.iter().map(|(action, count)| (action.name.clone(), *count)).collect();
        report.traffic = Some(traffic);
        Ok(((), what))
    }
}

/// All of them, also those that are off.
async fn actions(odoo: &mut Running) -> Result<Vec<Action>> {
    let call = OdooCall::of("ir.cron", "search_read")
        .arg("domain", json!([["active", "in", [true, false]]]))
        .named("fields", json!(["name", "active"]))
        .named("limit", ACTIONS_MAX)
        .named("order", "id")
        .context("active_test", false);
    let odd = |what: String| Error::new(Kind::Refused, "cannot list the scheduled actions").because(what);
    let answer = match odoo.api.send(call).await {
        Ok(answer) => answer,
        Err(Failure::Fault(fault)) => return Err(odd(fault.message)),
        Err(Failure::Unknown(error)) => return Err(error),
    };
    let one = |record: &Record| {
        Ok(Action {
            id: record.own_id().map_err(odd)?,
            name: record.text("name"),
            is_on: record.is("active"),
        })
    };
    Record::all(answer).map_err(odd)?.iter().map(one).collect()
}

/// Whether it ended well; its own errors say nothing about silence.
async fn run(odoo: &mut Running, action: &Action) -> Result<bool> {
    let call = OdooCall::of("ir.cron", "method_direct_trigger").ids([action.id]);
    match timeout(ACTION_LIMIT, odoo.api.send(call)).await {
        Ok(Ok(_)) => Ok(true),
        Ok(Err(Failure::Fault(_))) | Err(_) => Ok(false),
        Ok(Err(Failure::Unknown(error))) => Err(error),
    }
}
