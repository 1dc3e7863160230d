//! Tables that are gone, empty or much smaller, and how much the others grew.

use std::collections::BTreeMap;

use super::updated::Updated;
use super::{About, Change, Weight};
use crate::names::counted;
use crate::odoo::baseline::decisive::Decisive;
use crate::odoo::baseline::schema::TableSchema;
use crate::odoo::baseline::values::RECORDS_MAX;
use crate::odoo::baseline::{Baseline, TableFacts};
use crate::odoo::lasting::{Lasting, is_share};

/// A table that had so many rows is not emptied by normal work.
const EMPTIED_MIN: u64 = 10;
/// A table is much smaller if so many rows are gone, and half of them.
pub(super) const SMALLER_MIN: u64 = 20;
pub(super) const SMALLER_PER_100: u64 = 50;

/// What Odoo, or a queue, deletes by itself: notifications, logs of the server, sessions, jobs, mail that was
/// sent, visitors of websites. Names begin with one of these. Messages, what they track, and audit logs stay.
const TRANSIENT: [&str; 33] = [
    "auth_totp_",
    "base_import_",
    "base_module_",
    "bus_",
    "change_password_",
    "digest_tip",
    "discuss_channel_rtc_session",
    "ir_cron_progress",
    "ir_cron_trigger",
    "ir_demo",
    "ir_logging",
    "ir_profile",
    "link_tracker_click",
    "mail_activity",
    "mail_guest",
    "mail_mail",
    "mail_message_schedule",
    "mail_message_translation",
    "mail_notification",
    "mail_partner_device",
    "mail_presence",
    "mail_push",
    "mail_scheduled_message",
    "mail_tracking_email", // of OCA
    "mail_tracking_event",
    "onboarding_",
    "privacy_log",
    "queue_job",
    "res_device_log",
    "res_users_",
    "sms_sms",
    "website_track",
    "website_visitor",
];

/// Tables of which half may go: what is sold out, empty chats of a website, what is computed again or taken
/// over, history that Odoo shortens. Names begin with one of these.
const SHRINKING: [&str; 7] = [
    "discuss_channel",
    "hr_work_entry",
    "mail_channel",
    "mail_followers",
    "spreadsheet_revision",
    "stock_package_level",
    "stock_quant",
];

pub(super) fn changes(before: &Baseline, after: &Baseline, updated: &Updated) -> Vec<Change> {
    let by_name = |baseline: &'_ Baseline| -> BTreeMap<String, TableFacts> {
        let name = |table: &TableFacts| format!("{}.{}", table.schema, table.name);
        baseline.tables.iter().map(|table| (name(table), table.clone())).collect()
    };
    let (was, is) = (by_name(before), by_name(after));
    let schema = |name: &str| before.schema.as_ref().and_then(|schema| schema.tables.get(name));
    let mut all = Vec::new();
    let (mut more, mut grown) = (0, Vec::new());
    for (name, was) in &was {
        let shown = name.strip_prefix("public.").unwrap_or(name);
        let Some(is) = is.get(name) else {
            all.push(gone(shown, was.rows, schema(name), updated));
            continue;
        };
        if is.rows > was.rows {
            more += is.rows - was.rows;
            grown.push((is.rows - was.rows, shown.to_owned()));
        }
        all.extend(fewer(shown, (was.rows, is.rows), schema(name), updated));
    }
    let new: Vec<String> = is.keys().filter(|name| !was.contains_key(*name)).cloned().collect();
    if !new.is_empty() {
        let weight = if updated.any { Weight::Grown } else { Weight::Changed };
        let says = format!("{} new", counted(new.len() as u64, "table"));
        all.push(Change::new(weight, About::Rows, "tables", says).with(new));
    }
    if more > 0 {
        grown.sort_by(|a, b| b.cmp(a));
        let says = format!("{more} more in {}", counted(grown.len() as u64, "table"));
        let examples = grown.into_iter().map(|(more, table)| format!("{table} {more}"));
        all.push(Change::new(Weight::Grown, About::Rows, "rows", says).with(examples));
    }
    all
}

fn gone(shown: &str, rows: u64, schema: Option<&TableSchema>, updated: &Updated) -> Change {
    let explained = updated.explains(schema.iter().flat_map(|schema| &schema.modules));
    let weight = if explained || rows == 0 { Weight::Changed } else { Weight::Lost };
    Change::new(weight, About::Rows, shown, format!("the table is gone; it had {}", counted(rows, "row")))
}

/// A table with fewer rows. The rows of documents by day and of decisive tables are compared better
/// elsewhere, as long as there are some.
fn fewer(
    shown: &str,
    (was, is): (u64, u64),
    schema: Option<&TableSchema>,
    updated: &Updated,
) -> Option<Change> {
    let is_one_of = |names: &[&str]| names.iter().any(|prefix| shown.starts_with(prefix));
    let is_transient =
        is_one_of(&TRANSIENT) || shown.ends_with("_wizard") || schema.is_some_and(|schema| schema.transient);
    let change = |weight, says| Some(Change::new(weight, About::Rows, shown, says));
    // Those that are recorded row by row are compared so.
    if is_transient || Decisive::of(shown).is_some() && was <= RECORDS_MAX as u64 {
        return None;
    }
    // A relation has no rows of its own: they go with those of a transient table, too.
    let has_id = schema.is_none_or(|schema| schema.columns.contains_key("id"));
    if was >= EMPTIED_MIN && is == 0 {
        let was_removed = schema.is_some_and(|schema| updated.removed(&schema.modules));
        let weight = if has_id && !was_removed { Weight::Lost } else { Weight::Changed };
        return change(weight, format!("the table is empty; it had {was} rows"));
    }
    let gone = was.saturating_sub(is);
    let is_smaller = gone >= SMALLER_MIN && is_share(gone, was, SMALLER_PER_100);
    if !is_smaller || Lasting::of("public", shown).is_some() {
        return None;
    }
    let explained =
        !has_id || is_one_of(&SHRINKING) || schema.is_some_and(|schema| updated.explains(&schema.modules));
    let weight = if explained { Weight::Changed } else { Weight::Lost };
    change(weight, format!("{gone} of {was} rows are gone"))
}
