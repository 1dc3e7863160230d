//! Sale orders and quotations.

use serde_json::{Value, json};

use super::amount::decimal;
use super::exported::{Exported, Row};
use super::finished::{Finished, state, sum_of};
use super::ground::Ground;
use super::kind::Kind;
use super::named::{named, needed, of_link};
use super::sheet::{Cells, Sheet, ids};
use super::stop::Stop;
use crate::postgres::decimal::Decimal;

const MODEL: &str = "sale.order";
const LINE: &str = "sale.order.line";
const LINES: &str = "sale_order_line";
/// Most lines of an order that are compared.
const LINES_MAX: u32 = 100_000;
const TEXTS: [&str; 4] = ["client_order_ref", "note", "validity_date", "picking_policy"];
const NAMED: [&str; 7] = [
    "partner_invoice_id",
    "partner_shipping_id",
    "pricelist_id",
    "payment_term_id",
    "fiscal_position_id",
    "company_id",
    "warehouse_id",
];
const LINE_TEXTS: [&str; 7] =
    ["name", "product_uom_qty", "price_unit", "discount", "sequence", "display_type", "customer_lead"];

fn is_confirmed(row: &Row) -> bool {
    matches!(row.text("state").as_deref(), Some("sale" | "done"))
}

/// The record with its lines.
pub async fn draft(document: &Exported, ground: &mut Ground) -> Result<Sheet, Stop> {
    let row = &document.row;
    if row.text("state").as_deref() == Some("cancel") {
        return Stop::left_out("it was cancelled");
    }
    ground.target.field(MODEL, &["order_line"]).await?;
    let has = ground.target.fields(MODEL).await?.clone();
    let mut head = Cells::default();
    head.text("id", Some(ground.marks.external_id(Kind::SaleOrder.table(), row.id)));
    let partner = needed(ground, row, "partner_id").await?;
    head.row("partner_id", Some(partner));
    head.named(ground, row, &NAMED, &has).await?;
    match named(ground, row, "user_id").await {
        Err(Stop::Refused(_)) => {} // a salesperson who is gone keeps no order away
        seller => head.row("user_id", seller?),
    }
    head.texts(row, &TEXTS, &has);
    head.text("date_order", row.time("date_order"));
    head.text("commitment_date", row.time("commitment_date"));
    head.text("origin", Some(with_number(row.text("origin"), &document.name)));
    let mut lines = Vec::new();
    for line in document.lines(LINES) {
        lines.push(line_cells(line, ground).await?);
    }
    Ok(Sheet { model: MODEL, head, lines_in: "order_line", lines })
}

async fn line_cells(line: &Row, ground: &mut Ground) -> Result<Cells, Stop> {
    if line.flag("is_downpayment") {
        return Stop::refused("it has a down payment, which belongs to an invoice: enter it by hand");
    }
    let unit = ground.target.field(LINE, &["product_uom", "product_uom_id"]).await?;
    let tax = ground.target.field(LINE, &["tax_id", "tax_ids"]).await?;
    let has = ground.target.fields(LINE).await?.clone();
    let mut cells = Cells::default();
    cells.text("id", Some(ground.marks.external_id(LINES, line.id)));
    cells.named(ground, line, &["product_id"], &has).await?;
    let old_unit = if line.has("product_uom") { "product_uom" } else { "product_uom_id" };
    let of_unit = named(ground, line, old_unit).await?;
    cells.row(unit, of_unit);
    cells.texts(line, &LINE_TEXTS, &has);
    let mut taxes = Vec::new();
    for link in &line.taxes {
        taxes.push(of_link(ground, link).await?);
    }
    cells.rows(tax, taxes);
    Ok(cells)
}

/// The source of a new document: the old one's, and its number.
pub fn with_number(origin: Option<String>, number: &str) -> String {
    match origin {
        Some(origin) if origin != number => format!("{origin}, {number}"),
        _ => number.to_owned(),
    }
}

/// Confirms it if it was confirmed, and compares it.
pub async fn finish(document: &Exported, id: i64, ground: &mut Ground) -> Result<Finished, Stop> {
    let fields = ["name", "state", "amount_untaxed", "amount_total", "currency_id", "order_line"];
    let mut row = ground.target.row(MODEL, id, &fields).await?;
    if is_confirmed(&document.row) && matches!(state(&row), "draft" | "sent") {
        ground.target.call(MODEL, "action_confirm", ids(id)).await?;
        if let Some(date) = document.row.time("date_order") {
            // Odoo sets the time of the confirmation
            ground.target.call(MODEL, "write", json!([[id], { "date_order": date }])).await?;
        }
        row = ground.target.row(MODEL, id, &fields).await?;
    }
    let mut done = Finished::of(&row);
    let number = |name: &str| row.get(name).and_then(decimal);
    done.number("untaxed", document.row.decimal("amount_untaxed"), number("amount_untaxed"));
    done.number("total", document.row.decimal("amount_total"), number("amount_total"));
    if let Some(total) = &document.total {
        let currency = row.get("currency_id").and_then(|pair| pair.get(1)).and_then(Value::as_str);
        done.text("currency", &total.currency, currency.unwrap_or_default());
    }
    let lines =
        ground.target.find(LINE, json!([["order_id", "=", id]]), &["product_uom_qty"], LINES_MAX).await?;
    let old = document.lines(LINES);
    done.text("lines", old.len(), lines.len());
    done.number("quantity", sum(old, "product_uom_qty"), sum_of(&lines, "product_uom_qty"));
    let word = |confirmed: bool| if confirmed { "confirmed" } else { "quotation" };
    let is_now = matches!(state(&row), "sale" | "done");
    done.text(
        "state",
        word(is_confirmed(&document.row)),
        if is_now { word(true) } else { state_word(state(&row)) },
    );
    Ok(done)
}

fn state_word(state: &str) -> &str {
    if matches!(state, "draft" | "sent") { "quotation" } else { state }
}

/// The sum of a column; a NULL counts as 0.
pub fn sum(rows: &[Row], column: &str) -> Option<Decimal> {
    let mut all =
        rows.iter().map(|row| if row.has(column) { row.decimal(column) } else { Some(Decimal::ZERO) });
    all.try_fold(Decimal::ZERO, |sum, one| sum.plus(one?))
}
