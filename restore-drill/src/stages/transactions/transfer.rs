//! Deliveries and receipts, over as many steps as the warehouse has.

use lifeboat::odoo::rpc::OdooCall;
use serde_json::json;

use crate::odoo::desk::{Desk, Wrong, ensure};

/// Pick, pack, ship, and one more: a warehouse has no more steps than that.
const ROUNDS_MAX: usize = 4;

/// Reserves what is to be moved for an order.
pub(super) async fn reserve(desk: &mut Desk<'_>, model: &str, order: i64) -> Result<String, Wrong> {
    let pickings = desk.read(model, order, &["picking_ids"]).await?.ids("picking_ids")?;
    ensure(!pickings.is_empty(), || "no transfer was created".to_owned())?;
    desk.act("stock.picking", "action_assign", &pickings).await?;
    let found = desk.read_all("stock.picking", &pickings, &["name", "state"]).await?;
    let is_ready = found.iter().any(|picking| picking.text("state") == "assigned");
    ensure(is_ready, || {
        let states: Vec<String> =
            found.iter().map(|one| format!("{} is {}", one.text("name"), one.text("state"))).collect();
        format!("goods are not reserved: {}", states.join(", "))
    })?;
    Ok(found.iter().map(|picking| picking.text("name")).collect::<Vec<_>>().join(", "))
}

/// Moves everything of an order; transfers may come one after the other.
pub(super) async fn carry_out(desk: &mut Desk<'_>, model: &str, order: i64) -> Result<String, Wrong> {
    for _ in 0..ROUNDS_MAX {
        let pickings = desk.read(model, order, &["picking_ids"]).await?.ids("picking_ids")?;
        let found = desk.read_all("stock.picking", &pickings, &["name", "state", "move_ids"]).await?;
        let mut open: Vec<_> =
            found.iter().filter(|one| !["done", "cancel"].contains(&one.text("state").as_str())).collect();
        if open.is_empty() {
            return Ok(found.iter().map(|one| one.text("name")).collect::<Vec<_>>().join(", "));
        }
        open.sort_by_key(|one| one.own_id().unwrap_or_default());
        for picking in open {
            let id = picking.own_id()?;
            if picking.text("state") != "assigned" {
                desk.act("stock.picking", "action_assign", &[id]).await?;
            }
            if desk.read("stock.picking", id, &["state"]).await?.text("state") == "assigned" {
                validate(desk, id, &picking.ids("move_ids")?).await?;
            }
        }
    }
    Err(Wrong::Failed(format!("after {ROUNDS_MAX} rounds there are still open transfers")))
}

async fn validate(desk: &mut Desk<'_>, picking: i64, moves: &[i64]) -> Result<(), Wrong> {
    for one in desk.read_all("stock.move", moves, &["product_uom_qty", "state"]).await? {
        if ["done", "cancel"].contains(&one.text("state").as_str()) {
            continue;
        }
        let units = one.amount("product_uom_qty")?.about();
        let values = match desk.major() {
            17.. => json!({"quantity": units, "picked": true}),
            _ => json!({"quantity_done": units}),
        };
        desk.write("stock.move", one.own_id()?, values).await?;
    }
    let call = OdooCall::of("stock.picking", "button_validate").ids([picking]);
    let asked = desk.call(call.context("skip_backorder", true).context("skip_sms", true)).await?;
    if let Some(model) = asked.get("res_model").and_then(serde_json::Value::as_str) {
        // A question before it is done: answer yes.
        let context =
            asked.get("context").and_then(serde_json::Value::as_object).cloned().unwrap_or_default();
        let keys: Vec<(&str, serde_json::Value)> =
            context.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        let wizard = desk.create_in(model, json!({}), &keys).await?;
        desk.call(OdooCall::of(model, "process").ids([wizard]).within(&context)).await?;
    }
    Ok(())
}
