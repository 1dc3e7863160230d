//! Payments of customers and to vendors. They are entered by hand, so to speak: no provider is called.

use serde_json::Value;

use super::amount::decimal;
use super::exported::Exported;
use super::finished::{Finished, state};
use super::ground::{Ground, Named};
use super::kind::Kind;
use super::named::named;
use super::sale_orders::with_number;
use super::sheet::{Cells, Sheet, ids};
use super::stop::Stop;
use crate::release::salvage::found::Paid;

const MODEL: &str = "account.payment";
/// The table of its entry, which has some of its columns until Odoo 17.
const ENTRY: &str = "account_move";
const TEXTS: [&str; 3] = ["payment_type", "partner_type", "amount"];

fn state_of(document: &Exported) -> Option<String> {
    document.with(ENTRY, "state").and_then(|row| row.text("state"))
}

fn is_posted(document: &Exported) -> bool {
    matches!(state_of(document).as_deref(), Some("posted" | "in_process" | "paid"))
}

/// What a bookkeeper has to do: a payment that is entered again is not reconciled.
pub fn reconcile(document: &Exported) -> Option<String> {
    let Some(paid) = &document.paid else {
        return Some("reconcile it by hand: the export does not say which invoices it paid".to_owned());
    };
    if paid.is_empty() {
        return is_posted(document)
            .then(|| "it paid no invoice: nothing to reconcile unless a new one exists".to_owned());
    }
    let one = |one: &Paid| {
        let amount = one.amount.as_ref().map_or(String::new(), |amount| {
            let text = format!("{amount} {}", one.currency.as_deref().unwrap_or_default());
            format!(" ({})", text.trim_end())
        });
        let new = if one.at_point { "" } else { " (not in the tenant: make it first)" };
        format!("{} {:?}{amount}{new}", one.document.as_str(), one.name)
    };
    let all: Vec<String> = paid.iter().map(one).collect();
    Some(format!("reconcile it by hand: it paid {}", all.join("; ")))
}

/// The record.
pub async fn draft(document: &Exported, ground: &mut Ground) -> Result<Sheet, Stop> {
    let row = &document.row;
    if matches!(state_of(document).as_deref(), Some("cancel" | "canceled" | "rejected")) {
        return Stop::left_out("it was cancelled");
    }
    if row.has("pos_session_id") || row.has("pos_payment_method_id") {
        return Stop::left_out("Odoo makes it when the POS session is closed");
    }
    if row.flag("is_internal_transfer") || row.has("paired_internal_transfer_payment_id") {
        return Stop::refused("it is one side of an internal transfer: enter both by hand");
    }
    let memo = ground.target.field(MODEL, &["memo", "ref"]).await?;
    let has = ground.target.fields(MODEL).await?.clone();
    let mut head = Cells::default();
    head.text("id", Some(ground.marks.external_id(Kind::Payment.table(), row.id)));
    head.texts(row, &TEXTS, &has);
    for field in ["journal_id", "currency_id", "partner_id", "payment_method_line_id"] {
        let found = of_either(document, ground, field).await?;
        head.row(field, found);
    }
    let date = document.with(ENTRY, "date").and_then(|row| row.text("date"));
    head.text("date", date);
    let old = ["memo", "ref"].iter().find_map(|name| document.with(ENTRY, name)?.text(name));
    head.text(memo, Some(with_number(old, &document.name)));
    Ok(Sheet { model: MODEL, head, lines_in: "line_ids", lines: Vec::new() })
}

async fn of_either(document: &Exported, ground: &mut Ground, field: &str) -> Result<Option<Named>, Stop> {
    match document.with(ENTRY, field) {
        Some(row) => named(ground, row, field).await,
        None => Ok(None),
    }
}

/// Posts it if it was posted, and compares it.
pub async fn finish(document: &Exported, id: i64, ground: &mut Ground) -> Result<Finished, Stop> {
    let fields = ["name", "state", "amount", "currency_id", "date"];
    let mut row = ground.target.row(MODEL, id, &fields).await?;
    if is_posted(document) && state(&row) == "draft" {
        ground.target.call(MODEL, "action_post", ids(id)).await?;
        row = ground.target.row(MODEL, id, &fields).await?;
    }
    let mut done = Finished::of(&row);
    done.number("total", document.row.decimal("amount"), row.get("amount").and_then(decimal));
    let text = |name: &str| match row.get(name) {
        Some(Value::Array(pair)) => pair.get(1).and_then(Value::as_str).unwrap_or_default().to_owned(),
        Some(Value::String(text)) => text.clone(),
        _ => String::new(),
    };
    if let Some(total) = &document.total {
        done.text("currency", &total.currency, text("currency_id"));
    }
    if let Some(date) = document.with(ENTRY, "date").and_then(|row| row.text("date")) {
        done.text("date", date, text("date"));
    }
    let word = |is_posted: bool| if is_posted { "posted" } else { "draft" };
    let now = match state(&row) {
        "posted" | "in_process" | "paid" => "posted",
        other => other,
    };
    done.text("state", word(is_posted(document)), now);
    Ok(done)
}
