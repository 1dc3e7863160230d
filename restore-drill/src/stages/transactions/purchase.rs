//! Purchase, receipt, bill.

use lifeboat::postgres::decimal::Decimal;
use serde_json::json;

use super::goods::{self, UNITS};
use super::tenant::Tenant;
use super::{invoice, transfer};
use crate::odoo::desk::{Desk, Wrong, ensure};

/// Its name in the report.
pub(super) const FLOW: &str = "purchase to bill";

pub(super) async fn trade(desk: &mut Desk<'_>, tenant: &Tenant) -> Result<(), Wrong> {
    tenant.needs(&["purchase", "account"])?;
    desk.begin("purchase");
    let goods = goods::find(desk, tenant, &[json!(["purchase_ok", "=", true])], 1).await?;
    let one = &goods[0];
    let supplier = desk.create("res.partner", json!({"name": "Restore drill, supplier"})).await?;
    let line = json!([0, 0, {
        "product_id": one.id, "name": one.name, "product_qty": UNITS, "price_unit": 7.35,
        "date_planned": format!("{} 12:00:00", tenant.day),
    }]);
    let values = json!({"partner_id": supplier, "company_id": tenant.company, "order_line": [line]});
    let order = desk.create("purchase.order", values).await?;
    let before = match tenant.has("purchase_stock") {
        true => Some(goods::on_hand(desk, one).await?),
        false => None,
    };
    desk.act("purchase.order", "button_confirm", &[order]).await?;
    let fields = ["name", "state", "amount_total"];
    let mut made = desk.read("purchase.order", order, &fields).await?;
    if made.text("state") == "to approve" {
        desk.act("purchase.order", "button_approve", &[order]).await?;
        made = desk.read("purchase.order", order, &fields).await?;
    }
    let (name, state, total) = (made.text("name"), made.text("state"), made.amount("amount_total")?);
    ensure(["purchase", "done"].contains(&state.as_str()), || format!("{name} is {state}"))?;
    desk.done(format!("{name} over {total}: {UNITS} of {}", one.name));

    if let Some(before) = before {
        desk.begin("receipt");
        let names = transfer::carry_out(desk, "purchase.order", order).await?;
        let (now, got) = (goods::on_hand(desk, one).await?, Decimal::whole(UNITS));
        ensure(before.plus(got) == Some(now), || {
            format!("{}: {before} were on hand, {got} were received, and there are {now}", one.name)
        })?;
        desk.done(format!("{names}; {UNITS} more on hand"));
    }

    desk.begin("bill");
    desk.act("purchase.order", "action_create_invoice", &[order]).await?;
    let bills = desk.read("purchase.order", order, &["invoice_ids"]).await?.ids("invoice_ids")?;
    ensure(bills.len() == 1, || format!("{} bills were made of one purchase", bills.len()))?;
    let values = json!({"invoice_date": tenant.day, "ref": format!("Restore drill {name}")});
    desk.write("account.move", bills[0], values).await?;
    let posted = invoice::post(desk, bills[0], total, 1).await?;
    desk.done(format!("{} over {total}, posted and balanced", posted.name));
    Ok(())
}
