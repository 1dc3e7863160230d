//! Orders of a point of sale. They are entered as its screen sends them, into a session that is open, and
//! Odoo recognizes one that it has by its reference.

use serde_json::{Map, Value, json};

use super::amount::{self, decimal};
use super::exported::{Exported, Row};
use super::finished::{Finished, state, sum_of};
use super::ground::{Ground, Named};
use super::kind::Kind;
use super::named::{named, needed, of_link};
use super::sale_orders::sum;
use super::stop::Stop;
use super::target::internal;
use crate::postgres::decimal::Decimal;

const MODEL: &str = "pos.order";
const LINES: &str = "pos_order_line";
const PAYMENTS: &str = "pos_payment";
const ROWS_MAX: u32 = 100_000;
/// The first version that has `sync_from_ui`.
const SYNC_SINCE: u32 = 18;

/// An order, but for its session and its partner.
#[derive(Clone, Debug)]
pub struct PosDraft {
    data: Value,
    config: Named,
    partner: Option<Named>,
}

/// The field by which Odoo recognizes the order, and its value.
fn reference(document: &Exported, ground: &Ground) -> (&'static str, String) {
    let id = document.row.id;
    match ground.target.major() >= SYNC_SINCE {
        // the old one: a screen that still has the order sends it with this one
        true => (
            "uuid",
            document.row.text("uuid").unwrap_or_else(|| ground.marks.uuid(Kind::PosOrder.table(), id)),
        ),
        false => ("pos_reference", ground.marks.receipt(id)),
    }
}

/// The order in the tenant.
pub async fn found(document: &Exported, ground: &mut Ground) -> Result<Option<i64>, Stop> {
    ground.target.field(MODEL, &["pos_reference"]).await?;
    let (field, reference) = reference(document, ground);
    let domain = json!([[field, "=", reference], ["state", "!=", "draft"]]);
    let rows = ground.target.find(MODEL, domain, &["id"], 1).await?;
    Ok(rows.first().and_then(|row| row.get("id")?.as_i64()))
}

/// The order.
pub async fn draft(document: &Exported, ground: &mut Ground) -> Result<PosDraft, Stop> {
    let row = &document.row;
    match row.text("state").as_deref() {
        Some("paid" | "done" | "invoiced") => {}
        Some("cancel") => return Stop::left_out("it was cancelled"),
        _ => return Stop::refused("it was not paid"),
    }
    let config = needed(ground, row, "config_id").await?;
    session(ground, config).await?;
    let partner = named(ground, row, "partner_id").await?;
    let user = match named(ground, row, "user_id").await {
        Err(Stop::Refused(_)) => None, // a cashier who is gone keeps no order away
        user => user?,
    };
    let user = user.map_or(Ok(ground.target.uid()), |user| ground.id(user))?;
    let mut lines = Vec::new();
    for line in document.lines(LINES) {
        lines.push(json!([0, 0, line_json(line, ground).await?]));
    }
    let (mut payments, mut change) = (Vec::new(), Decimal::ZERO);
    for payment in document.lines(PAYMENTS) {
        if payment.flag("is_change") {
            let amount = payment.decimal("amount").unwrap_or_default();
            change = change.plus(-amount).unwrap_or(change);
        } else {
            payments.push(json!([0, 0, payment_json(payment, ground).await?]));
        }
    }
    let date = row.time("date_order");
    let mut data = json!({
        "name": ground.marks.receipt(row.id),
        "sequence_number": row.int("sequence_number").unwrap_or(1),
        "user_id": user,
        "date_order": date,
        "fiscal_position_id": id_of(ground, row, "fiscal_position_id").await?,
        "pricelist_id": id_of(ground, row, "pricelist_id").await?,
        "amount_paid": number(row, "amount_paid")?,
        "amount_total": number(row, "amount_total")?,
        "amount_tax": number(row, "amount_tax")?,
        "amount_return": amount::json(change),
        "lines": lines,
        "to_invoice": false,
        "last_order_preparation_change": "{}",
    });
    if ground.target.major() >= SYNC_SINCE {
        data["company_id"] = id_of(ground, row, "company_id").await?;
        data["payment_ids"] = payments.into();
        data["uuid"] = reference(document, ground).1.into();
        data["state"] = "paid".into();
    } else {
        data["statement_ids"] = payments.into();
        data["uid"] = ground.marks.receipt(row.id).trim_start_matches("Order ").into();
        data["creation_date"] = date.into();
        data["server_id"] = false.into();
    }
    Ok(PosDraft { data, config, partner })
}

/// The open session of a point of sale.
async fn session(ground: &mut Ground, config: Named) -> Result<i64, Stop> {
    let config = ground.id(config)?;
    let has_rescue = ground.target.fields("pos.session").await?.contains("rescue");
    let mut domain = vec![json!(["config_id", "=", config]), json!(["state", "=", "opened"])];
    domain.extend(has_rescue.then(|| json!(["rescue", "=", false])));
    let rows = ground.target.find("pos.session", Value::Array(domain), &["id"], 1).await?;
    match rows.first().and_then(|row| row.get("id")?.as_i64()) {
        Some(id) => Ok(id),
        None => {
            let row = ground.target.row("pos.config", config, &["name"]).await?;
            let name = row.get("name").and_then(Value::as_str).unwrap_or_default();
            Stop::refused(format!("no session is open at point of sale {name:?}: open one"))
        }
    }
}

async fn id_of(ground: &mut Ground, row: &Row, column: &str) -> Result<Value, Stop> {
    Ok(match named(ground, row, column).await? {
        Some(named) => ground.id(named)?.into(),
        None => false.into(),
    })
}

fn number(row: &Row, column: &str) -> Result<Value, Stop> {
    if !row.has(column) {
        return Ok(0.into());
    }
    match row.decimal(column).and_then(amount::json) {
        Some(number) => Ok(number),
        None => Stop::refused(format!("{column} is not a number")),
    }
}

async fn line_json(line: &Row, ground: &mut Ground) -> Result<Value, Stop> {
    let product = needed(ground, line, "product_id").await?;
    let product = ground.id(product)?;
    let mut taxes = Vec::new();
    for link in &line.taxes {
        let tax = of_link(ground, link).await?;
        taxes.push(ground.id(tax)?);
    }
    let mut out = json!({
        "id": line.id,
        "uuid": ground.marks.uuid(LINES, line.id),
        "product_id": product,
        "tax_ids": [[6, false, taxes]],
        "pack_lot_ids": [],
        "full_product_name": line.text("full_product_name"),
    });
    for column in ["qty", "price_unit", "discount", "price_subtotal", "price_subtotal_incl", "price_extra"] {
        out[column] = number(line, column)?;
    }
    if let Some(note) = line.text("customer_note") {
        out["customer_note"] = note.into();
    }
    Ok(out)
}

async fn payment_json(payment: &Row, ground: &mut Ground) -> Result<Value, Stop> {
    let method = needed(ground, payment, "payment_method_id").await?;
    let date = payment.time("payment_date");
    let mut out = Map::new();
    out.insert("payment_method_id".to_owned(), ground.id(method)?.into());
    out.insert("amount".to_owned(), number(payment, "amount")?);
    match ground.target.major() >= SYNC_SINCE {
        true => out.insert("payment_date".to_owned(), date.into()),
        false => out.insert("name".to_owned(), date.into()),
    };
    for column in ["card_type", "cardholder_name", "transaction_id", "payment_status", "ticket"] {
        out.extend(payment.text(column).map(|text| (column.to_owned(), text.into())));
    }
    Ok(out.into())
}

/// Enters it.
pub async fn create(draft: &PosDraft, document: &Exported, ground: &mut Ground) -> Result<i64, Stop> {
    let mut data = draft.data.clone();
    let session = session(ground, draft.config).await?;
    data["partner_id"] = match draft.partner {
        Some(partner) => ground.id(partner)?.into(),
        None => false.into(),
    };
    if ground.target.major() >= SYNC_SINCE {
        data["session_id"] = session.into();
        ground.target.call(MODEL, "sync_from_ui", json!([[data]])).await?;
    } else {
        data["pos_session_id"] = session.into();
        let whole = json!({ "id": data["uid"], "data": data, "to_invoice": false });
        ground.target.call(MODEL, "create_from_ui", json!([[whole]])).await?;
    }
    match found(document, ground).await? {
        Some(id) => Ok(id),
        None => Err(Stop::Broken(internal("the order that it was sent"))),
    }
}

/// Compares it.
pub async fn finish(document: &Exported, id: i64, ground: &mut Ground) -> Result<Finished, Stop> {
    let fields = ["name", "state", "amount_total", "amount_tax", "amount_paid"];
    let row = ground.target.row(MODEL, id, &fields).await?;
    let mut done = Finished::of(&row);
    let now = |name: &str| row.get(name).and_then(decimal);
    done.number("total", document.row.decimal("amount_total"), now("amount_total"));
    done.number("tax", document.row.decimal("amount_tax"), now("amount_tax"));
    done.number("paid", document.row.decimal("amount_paid"), now("amount_paid"));
    let lines =
        ground.target.find("pos.order.line", json!([["order_id", "=", id]]), &["qty"], ROWS_MAX).await?;
    let old = document.lines(LINES);
    done.text("lines", old.len(), lines.len());
    done.number("quantity", sum(old, "qty"), sum_of(&lines, "qty"));
    let now = match state(&row) {
        "paid" | "done" | "invoiced" => "paid",
        other => other,
    };
    done.text("state", "paid", now);
    if document.row.has("account_move") {
        done.note("it was invoiced: invoice it again");
    }
    if old.iter().any(|line| line.has("refunded_orderline_id")) {
        done.note("it is a refund, and is not linked to the order that was refunded");
    }
    Ok(done)
}
