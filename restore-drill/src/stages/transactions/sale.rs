//! Order, confirmation, reservation, delivery, invoice, payment.

use lifeboat::odoo::rpc::OdooCall;
use lifeboat::postgres::decimal::Decimal;
use serde_json::json;

use super::goods::{self, UNITS};
use super::tenant::Tenant;
use super::{invoice, transfer};
use crate::odoo::desk::{Desk, Wrong, ensure};

/// Its name in the report.
pub(super) const FLOW: &str = "order to payment";

pub(super) async fn trade(desk: &mut Desk<'_>, tenant: &mut Tenant) -> Result<(), Wrong> {
    tenant.needs(&["sale", "account"])?;
    desk.begin("goods");
    let goods = goods::find(desk, tenant, &[json!(["invoice_policy", "=", "order"])], 2).await?;
    desk.done(goods.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", "));

    desk.begin("order");
    let partner = desk.create("res.partner", json!({"name": "Restore drill"})).await?;
    let lines: Vec<_> =
        goods.iter().map(|one| json!([0, 0, {"product_id": one.id, "product_uom_qty": UNITS}])).collect();
    let mut values = json!({"partner_id": partner, "company_id": tenant.company, "order_line": lines});
    let moves_goods = tenant.has("sale_stock");
    if let (true, Some(warehouse)) = (moves_goods, tenant.warehouse) {
        values["warehouse_id"] = json!(warehouse);
    }
    let order = desk.create("sale.order", values).await?;
    let fields = ["name", "state", "amount_untaxed", "amount_tax", "amount_total", "order_line"];
    let made = desk.read("sale.order", order, &fields).await?;
    let total = made.amount("amount_total")?;
    let sum = made.amount("amount_untaxed")?.plus(made.amount("amount_tax")?);
    ensure(sum == Some(total), || format!("the total {total} is not the sum of net and tax"))?;
    desk.done(format!("{} over {total}", made.text("name")));

    desk.begin("confirmation");
    desk.act("sale.order", "action_confirm", &[order]).await?;
    let state = desk.read("sale.order", order, &["state"]).await?.text("state");
    ensure(["sale", "done"].contains(&state.as_str()), || format!("{} is {state}", made.text("name")))?;
    desk.done(format!("{} is {state}", made.text("name")));

    if moves_goods {
        desk.begin("reservation");
        let names = transfer::reserve(desk, "sale.order", order).await?;
        desk.done(names);
        desk.begin("delivery");
        let names = transfer::carry_out(desk, "sale.order", order).await?;
        for one in &goods {
            let (now, sold) = (goods::on_hand(desk, one).await?, Decimal::whole(UNITS));
            ensure(one.on_hand.plus(-sold) == Some(now), || {
                format!(
                    "{}: {} were on hand, {sold} were delivered, and {now} are left",
                    one.name, one.on_hand
                )
            })?;
        }
        desk.done(format!("{names}; {UNITS} of each less on hand"));
    }

    desk.begin("invoice");
    let context =
        [("active_model", json!("sale.order")), ("active_ids", json!([order])), ("active_id", json!(order))];
    let mut values = json!({"advance_payment_method": "delivered"});
    if desk.major() >= 16 {
        values["sale_order_ids"] = json!([[6, 0, [order]]]);
    }
    let wizard = desk.create_in("sale.advance.payment.inv", values, &context).await?;
    let mut call = OdooCall::of("sale.advance.payment.inv", "create_invoices").ids([wizard]);
    for (key, value) in context {
        call = call.context(key, value);
    }
    desk.call(call).await?;
    let invoices = desk.read("sale.order", order, &["invoice_ids"]).await?.ids("invoice_ids")?;
    ensure(invoices.len() == 1, || format!("{} invoices were made of one order", invoices.len()))?;
    let posted = invoice::post(desk, invoices[0], total, goods.len()).await?;
    tenant.invoice = Some((posted.id, posted.name.clone()));
    desk.done(format!("{} over {total}, posted and balanced", posted.name));

    desk.begin("payment");
    let what = invoice::pay(desk, tenant, &posted).await?;
    desk.done(what);
    Ok(())
}
