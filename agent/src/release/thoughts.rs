//! What is in no database, and goes back with none: a person has to think of it.

use crate::archive::evidence::predicate::Checkpoint;
use crate::names::counted;
use crate::odoo::business::Document;
use crate::release::tenant::{DocumentCount, TenantPlan};

/// One sentence each, those with numbers first.
pub fn to_think_of(checkpoint: &Checkpoint, plans: &[TenantPlan]) -> Vec<String> {
    let mut out = Vec::new();
    let after = |plan: &TenantPlan, document| match plan.written.get(&document) {
        Some(DocumentCount::Yes(written)) => written.after,
        _ => 0,
    };
    for plan in plans {
        let tenant = &plan.tenant;
        let payments = after(plan, Document::Payment);
        if payments > 0 {
            out.push(format!(
                "{} of {tenant}: what providers, card terminals and banks captured stays captured",
                counted(payments, "payment")
            ));
        }
        let pos = after(plan, Document::PosOrder);
        if pos > 0 {
            out.push(format!(
                "{} of {tenant}: goods and cash changed hands; close all POS screens first: they send again \
                 what they still hold",
                counted(pos, "POS order")
            ));
        }
        let posted = match plan.written.get(&Document::Invoice) {
            Some(DocumentCount::Yes(written)) => written.done.unwrap_or(0),
            _ => 0,
        };
        if posted > 0 {
            out.push(format!(
                "{} of {tenant}: customers and authorities may have them, and their numbers are given out again",
                counted(posted, "posted invoice")
            ));
        }
    }
    for state in checkpoint.tenants.iter().filter(|state| state.files.elsewhere > 0) {
        if plans.iter().any(|plan| plan.tenant == state.tenant) {
            out.push(format!(
                "{} of {} in another storage: they do not go back with the database",
                counted(state.files.elsewhere, "file"),
                state.tenant
            ));
        }
    }
    if let Some(configuration) = &checkpoint.configuration {
        let id = &configuration.snapshot.id;
        out.push(format!(
            "the configuration around Odoo does not go back: snapshot {id} has that of the point"
        ));
    }
    out.extend(ALWAYS.map(str::to_owned));
    out
}

const ALWAYS: [&str; 5] = [
    "mails, text messages and letters that were sent stay sent; those that were queued at the point are sent again",
    "integrations (web shops, marketplaces, carriers, EDI, banks) keep what they got after the point, and do not \
     send again what they delivered",
    "feature flags, environment variables and images of other services do not go back",
    "passwords, API keys and users are again as they were at the point",
    "scheduled jobs that ran after the point run again",
];
