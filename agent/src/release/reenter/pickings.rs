//! Pickings: those that Odoo made with a sale order that was entered are filled in and validated; others are
//! entered as a whole.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::amount::{self, decimal};
use super::draft::Draft;
use super::exported::{Exported, Row};
use super::finished::{Finished, state, sum_of};
use super::ground::{Ground, Named};
use super::kind::Kind;
use super::named::needed;
use super::order_pickings::domain;
use super::sale_orders::{sum, with_number};
use super::sheet::{Cells, Sheet, ids};
use super::stop::Stop;
use super::target::internal;
use crate::postgres::decimal::Decimal;

const MODEL: &str = "stock.picking";
const MOVE: &str = "stock.move";
const MOVES: &str = "stock_move";
const DETAILS: &str = "stock_move_line";
const ROWS_MAX: u32 = 100_000;
/// Columns of moves whose other end is not in an export, each with what it is.
const ELSEWHERE: [(&str, &str); 4] = [
    ("purchase_line_id", "a purchase order"),
    ("raw_material_production_id", "a manufacturing order"),
    ("production_id", "a manufacturing order"),
    ("repair_id", "a repair"),
];

fn is_done(document: &Exported) -> bool {
    document.row.text("state").as_deref() == Some("done")
}

/// The picking in the tenant: the one with the mark, or that of its order if it is as far as the old one.
pub async fn found(document: &Exported, ground: &mut Ground) -> Result<Option<i64>, Stop> {
    let mark = ground.marks.name(Kind::Picking.table(), document.row.id);
    if let Some(id) = ground.target.marked(MODEL, &mark).await? {
        return Ok(Some(id));
    }
    let Some(order) = document.row.int("sale_id") else { return Ok(None) };
    if ground.entered(Kind::SaleOrder, order).is_none() {
        return Ok(None);
    }
    let Some(row) = of_order(document, ground).await? else { return Ok(None) };
    let id = row.get("id").and_then(Value::as_i64);
    Ok(id.filter(|_| !is_done(document) || state(&row) == "done"))
}

async fn of_order(document: &Exported, ground: &mut Ground) -> Result<Option<Map<String, Value>>, Stop> {
    let order = needed(ground, &document.row, "sale_id").await?;
    let sort = needed(ground, &document.row, "picking_type_id").await?;
    let (order, sort) = (ground.id(order)?, ground.id(sort)?);
    let nth = ground.relations.nth(document.row.id);
    let rows = ground.target.find(MODEL, domain(order, sort), &["id", "state"], ROWS_MAX).await?;
    Ok(rows.into_iter().nth(nth))
}

/// How it is entered.
pub async fn draft(document: &Exported, ground: &mut Ground) -> Result<Draft, Stop> {
    let row = &document.row;
    if row.text("state").as_deref() == Some("cancel") {
        return Stop::left_out("it was cancelled");
    }
    if row.has("pos_session_id") || row.has("pos_order_id") {
        return Stop::left_out("Odoo makes it with its POS order, or when the session is closed");
    }
    for line in document.lines(DETAILS) {
        if line.has("lot_id") || line.has("lot_name") {
            return Stop::refused("it has lots or serial numbers: enter it by hand");
        }
        if line.has("package_id") || line.has("result_package_id") {
            return Stop::refused("it has packages: enter it by hand");
        }
    }
    if row.has("return_id") || document.lines(MOVES).iter().any(|one| one.has("origin_returned_move_id")) {
        return Stop::refused("it is a return: make it from the delivery");
    }
    if let Some(order) = row.int("sale_id") {
        if ground.is_entered(Kind::SaleOrder, order) {
            return Ok(Draft::OfOrder);
        }
        let link = row.links.get("sale_id");
        let name = link.and_then(|link| link.key.get("name")).map_or("", String::as_str);
        return match link.and_then(|link| link.at_point) {
            Some(true) => Stop::refused(format!(
                "its sale order {name} exists in the tenant as it was at the point: deliver that one"
            )),
            _ => Stop::refused(format!("its sale order {name} is not entered")),
        };
    }
    if row.has("backorder_id") {
        return Stop::refused("it is the rest of another picking: process that one");
    }
    for line in document.lines(MOVES) {
        if let Some((_, what)) = ELSEWHERE.iter().find(|(column, _)| line.has(column)) {
            return Stop::refused(format!("it belongs to {what}, which is not exported"));
        }
    }
    Ok(Draft::Sheet(sheet(document, ground).await?))
}

async fn sheet(document: &Exported, ground: &mut Ground) -> Result<Sheet, Stop> {
    let row = &document.row;
    let lines_in = ground.target.field(MODEL, &["move_ids", "move_lines"]).await?;
    let has = ground.target.fields(MODEL).await?.clone();
    let of_move = ground.target.fields(MOVE).await?.clone();
    let mut head = Cells::default();
    head.text("id", Some(ground.marks.external_id(Kind::Picking.table(), row.id)));
    let sort = needed(ground, row, "picking_type_id").await?;
    head.row("picking_type_id", Some(sort));
    head.named(ground, row, &["location_id", "location_dest_id", "partner_id", "owner_id"], &has).await?;
    head.text("origin", Some(with_number(row.text("origin"), &document.name)));
    head.text("scheduled_date", row.time("scheduled_date"));
    head.texts(row, &["note", "move_type"], &has);
    let mut lines = Vec::new();
    for line in document.lines(MOVES).iter().filter(|line| line.text("state").as_deref() != Some("cancel")) {
        let mut cells = Cells::default();
        cells.text("id", Some(ground.marks.external_id(MOVES, line.id)));
        cells.texts(line, &["name", "product_uom_qty"], &of_move);
        let named = ["product_id", "product_uom", "location_id", "location_dest_id"];
        cells.named(ground, line, &named, &of_move).await?;
        lines.push(cells);
    }
    Ok(Sheet { model: MODEL, head, lines_in, lines })
}

/// The picking that Odoo made with the new order.
pub async fn made_by_odoo(document: &Exported, ground: &mut Ground) -> Result<i64, Stop> {
    match of_order(document, ground).await? {
        Some(row) => row.get("id").and_then(Value::as_i64).ok_or_else(|| Stop::Broken(internal("an id"))),
        None => Stop::refused("the new sale order has no such picking"),
    }
}

/// Validates it with the old quantities if it was done, and compares it.
pub async fn finish(document: &Exported, id: i64, ground: &mut Ground) -> Result<Finished, Stop> {
    let fields = ["name", "state"];
    let mut row = ground.target.row(MODEL, id, &fields).await?;
    if state(&row) == "draft" && document.row.text("state").as_deref() != Some("draft") {
        ground.target.call(MODEL, "action_confirm", ids(id)).await?;
        row = ground.target.row(MODEL, id, &fields).await?;
    }
    if is_done(document) && !matches!(state(&row), "done" | "cancel") {
        validate(document, id, ground).await?;
        row = ground.target.row(MODEL, id, &fields).await?;
    }
    let mut done = Finished::of(&row);
    let column = match is_done(document) {
        true => ground.target.field(MOVE, &["quantity", "quantity_done"]).await?,
        false => "product_uom_qty",
    };
    let domain = json!([["picking_id", "=", id], ["state", "!=", "cancel"]]);
    let moves = ground.target.find(MOVE, domain, &[column], ROWS_MAX).await?;
    let old = old_moves(document);
    let old: Option<Decimal> = match is_done(document) {
        true => old.iter().try_fold(Decimal::ZERO, |sum, line| sum.plus(done_of(line)?)),
        false => sum(&old.iter().map(|line| (*line).clone()).collect::<Vec<_>>(), column),
    };
    done.number("quantity", old, sum_of(&moves, column));
    if is_done(document) {
        done.text("state", "done", state(&row));
    }
    Ok(done)
}

fn old_moves(document: &Exported) -> Vec<&Row> {
    let all = document.lines(MOVES).iter();
    all.filter(|line| line.text("state").as_deref() != Some("cancel")).collect()
}

/// What was done of a move: until Odoo 16 its demand is set to that.
fn done_of(line: &Row) -> Option<Decimal> {
    let column = if line.values.contains_key("quantity") { "quantity" } else { "product_uom_qty" };
    if line.has(column) { line.decimal(column) } else { Some(Decimal::ZERO) }
}

/// Sets the quantities, and validates. Both say what shall be, so that doing it again changes nothing.
async fn validate(document: &Exported, id: i64, ground: &mut Ground) -> Result<(), Stop> {
    let mut wanted: BTreeMap<i64, Decimal> = BTreeMap::new();
    for line in old_moves(document) {
        let product = needed(ground, line, "product_id").await?;
        let product = match product {
            Named::At(id) => id,
            other => ground.id(other)?,
        };
        let Some(quantity) = done_of(line) else { return Stop::refused("a quantity is not a number") };
        let sum = wanted.entry(product).or_default();
        *sum = sum.plus(quantity).unwrap_or(*sum);
    }
    let column = ground.target.field(MOVE, &["quantity", "quantity_done"]).await?;
    let has_picked = ground.target.fields(MOVE).await?.contains("picked");
    let domain = json!([["picking_id", "=", id], ["state", "not in", ["done", "cancel"]]]);
    let moves = ground.target.find(MOVE, domain, &["product_id", "product_uom_qty"], ROWS_MAX).await?;
    let product_of = |row: &Map<String, Value>| row.get("product_id").and_then(|pair| pair.get(0)?.as_i64());
    for (at, row) in moves.iter().enumerate() {
        let Some(product) = product_of(row) else { continue };
        let left = wanted.get(&product).copied().unwrap_or_default();
        let is_last = !moves[at + 1..].iter().any(|other| product_of(other) == Some(product));
        let demand = row.get("product_uom_qty").and_then(decimal).unwrap_or_default();
        let here = if is_last { left } else { left.min(demand) };
        wanted.insert(product, left.plus(-here).unwrap_or_default());
        let mut values = json!({ column: amount::json(here) });
        if has_picked {
            values["picked"] = (here > Decimal::ZERO).into();
        }
        let number = row.get("id").and_then(Value::as_i64);
        ground.target.call(MOVE, "write", json!([[number], values])).await?;
    }
    if wanted.values().any(|left| *left != Decimal::ZERO) {
        return Stop::refused("it moved a product that the new picking does not have");
    }
    let mut more = json!({ "skip_backorder": true, "skip_sms": true, "skip_immediate": true });
    if !ground.relations.has_backorder(document.row.id) {
        more["picking_ids_not_to_backorder"] = json!([id]);
    }
    let answer = ground.target.call_with(MODEL, "button_validate", ids(id), json!({}), more).await?;
    let row = ground.target.row(MODEL, id, &["state"]).await?;
    match (state(&row), answer["res_model"].as_str()) {
        ("done", _) => {}
        (_, Some(wizard)) => {
            return Stop::refused(format!("Odoo asks a question ({wizard}): validate it by hand"));
        }
        _ => return Stop::refused("it was not validated"),
    }
    if let Some(date) = document.row.time("date_done") {
        ground.target.call(MODEL, "write", json!([[id], { "date_done": date }])).await?;
    }
    Ok(())
}
