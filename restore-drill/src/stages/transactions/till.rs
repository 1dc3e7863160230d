//! Point of sale: a session, an order paid in it, and its closing with a balanced entry.

use lifeboat::clock;
use lifeboat::names::random_hex;
use lifeboat::odoo::rpc::OdooCall;
use lifeboat::postgres::decimal::Decimal;
use serde_json::{Value, json};

use super::goods::{self, Goods, UNITS};
use super::invoice;
use super::tenant::Tenant;
use crate::odoo::desk::{Desk, Wrong, ensure};
use crate::odoo::record::{Record, short};

/// Its name in the report.
pub(super) const FLOW: &str = "point of sale";

const OPENING_CASH: i64 = 50;
/// How many products are looked at for one with a simple tax.
const PRODUCTS_MAX: u32 = 20;

/// What is sold, with amounts that are calculated here.
struct Sold {
    goods: Goods,
    taxes: Vec<i64>,
    net: Decimal,
    total: Decimal,
}

pub(super) async fn trade(desk: &mut Desk<'_>, tenant: &Tenant) -> Result<(), Wrong> {
    tenant.needs(&["point_of_sale", "account"])?;
    if tenant.is_locked {
        return Err(Wrong::NothingFor(format!("the books are locked; the first open day is {}", tenant.day)));
    }
    desk.begin("session");
    let fields = ["name", "current_session_id", "payment_method_ids", "pricelist_id", "cash_rounding"];
    let mut tills =
        desk.find("pos.config", json!([["company_id", "=", tenant.company]]), &fields, 100).await?;
    tills.reverse(); // the oldest first
    let free = tills.iter().find(|till| !till.is("current_session_id"));
    let Some(till) = free else {
        let company = &tenant.company_name;
        return Err(Wrong::NothingFor(format!(
            "every till of {company} has an open session, or it has none"
        )));
    };
    let session = open(desk, till).await?;
    desk.done(format!("{} opened on {}", session.text("name"), till.text("name")));
    let id = session.own_id()?;

    desk.begin("order");
    let sold = choose(desk, tenant, till.is("cash_rounding")).await?;
    let order = ring_up(desk, tenant, till, id, &sold).await?;
    let made = desk.read("pos.order", order, &["name", "state", "amount_total", "payment_ids"]).await?;
    let (state, total) = (made.text("state"), made.amount("amount_total")?);
    ensure(state == "paid" && total == sold.total && made.ids("payment_ids")?.len() == 1, || {
        format!("{} is {state} over {total}, and should be paid over {}", made.text("name"), sold.total)
    })?;
    desk.done(format!("{} over {total}, paid", made.text("name")));

    desk.begin("closing");
    let what = close(desk, id).await?;
    desk.done(what);
    Ok(())
}

async fn open(desk: &mut Desk<'_>, till: &Record) -> Result<Record, Wrong> {
    let values = json!({"config_id": till.own_id()?, "user_id": desk.odoo.entrance.uid});
    let id = desk.create("pos.session", values).await?;
    let method = if desk.major() >= 18 { "set_opening_control" } else { "set_cashbox_pos" };
    let call = OdooCall::of("pos.session", method).ids([id]);
    desk.call(call.arg("cashbox_value", OPENING_CASH).arg("notes", "Restore drill")).await?;
    let session = desk.read("pos.session", id, &["name", "state"]).await?;
    let (name, state) = (session.text("name"), session.text("state"));
    ensure(state == "opened", || format!("session {name} is {state}"))?;
    Ok(session)
}

/// A product with at most one tax in percent; where cash is rounded, a new one with a round price.
async fn choose(desk: &mut Desk<'_>, tenant: &Tenant, is_rounded: bool) -> Result<Sold, Wrong> {
    let company = desk.read("res.company", tenant.company, &["currency_id"]).await?;
    let currency = company.id("currency_id").unwrap_or_default();
    let step = desk.read("res.currency", currency, &["rounding"]).await?.amount("rounding")?;
    let found = match is_rounded {
        true => Vec::new(),
        false => goods::find(desk, tenant, &[json!(["available_in_pos", "=", true])], PRODUCTS_MAX).await?,
    };
    for goods in found {
        let domain = json!([["id", "in", goods.taxes], ["company_id", "=", tenant.company]]);
        let fields = ["amount", "amount_type", "price_include"];
        let taxes = desk.find("account.tax", domain, &fields, 10).await?;
        if taxes.iter().any(|tax| tax.text("amount_type") != "percent") || taxes.len() > 1 {
            continue;
        }
        let tax = match taxes.first() {
            Some(tax) => Some((tax.amount("amount")?, tax.is("price_include"))),
            None => None,
        };
        let (net, total) = amounts(goods.price, tax, step)
            .ok_or_else(|| Wrong::Failed(format!("the price of {} is too large", goods.name)))?;
        let taxes = taxes.iter().map(Record::own_id).collect::<Result<_, _>>()?;
        return Ok(Sold { goods, taxes, net, total });
    }
    let goods = goods::make(desk, tenant).await?;
    let (net, total) = amounts(goods.price, None, step).unwrap_or_default();
    Ok(Sold { goods, taxes: Vec::new(), net, total })
}

/// Net and total of the units of one line: taxes are rounded half up, in decimals.
fn amounts(price: Decimal, tax: Option<(Decimal, bool)>, step: Decimal) -> Option<(Decimal, Decimal)> {
    let gross = price.times(Decimal::whole(UNITS))?;
    let Some((percent, is_included)) = tax else { return Some((gross.rounded(step), gross.rounded(step))) };
    let hundred = Decimal::whole(100);
    if is_included {
        let net = gross.times(hundred)?.over(hundred.plus(percent)?)?;
        return Some((net.rounded(step), gross.rounded(step)));
    }
    let net = gross.rounded(step);
    let tax = net.times(percent)?.over(hundred)?.rounded(step);
    Some((net, net.plus(tax)?))
}

/// Sends the order as a till does, and returns its number.
async fn ring_up(
    desk: &mut Desk<'_>,
    tenant: &Tenant,
    till: &Record,
    session: i64,
    sold: &Sold,
) -> Result<i64, Wrong> {
    let methods = desk
        .read_all(
            "pos.payment.method",
            &till.ids("payment_method_ids")?,
            &["is_cash_count", "split_transactions"],
        )
        .await?;
    // One that asks for the customer cannot be used without one.
    let usable = methods.iter().filter(|method| !method.is("split_transactions"));
    let method = usable.max_by_key(|method| method.is("is_cash_count"));
    let method = method
        .ok_or_else(|| Wrong::NothingFor("the till has no way to pay without a customer".to_owned()))?;
    let (net, total) = (sold.net.about(), sold.total.about());
    let now = clock::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    let number = format!("{session:05}-900-0001");
    let line = json!([0, 0, {
        "id": 1, "uuid": uuid(), "product_id": sold.goods.id, "full_product_name": sold.goods.name, "qty": UNITS,
        "price_unit": sold.goods.price.about(), "discount": 0, "price_subtotal": net,
        "price_subtotal_incl": total, "tax_ids": [[6, false, sold.taxes]], "pack_lot_ids": [],
    }]);
    let payment = json!([0, 0, {"name": now, "payment_method_id": method.own_id()?, "amount": total}]);
    let tax = sold.total.plus(-sold.net).unwrap_or_default().about();
    let mut order = json!({
        "name": format!("Order {number}"), "sequence_number": 1, "user_id": desk.odoo.entrance.uid,
        "partner_id": false, "date_order": now, "fiscal_position_id": false,
        "pricelist_id": till.id("pricelist_id"), "amount_paid": total, "amount_total": total,
        "amount_tax": tax, "amount_return": 0, "lines": [line], "to_invoice": false,
        "last_order_preparation_change": "{}", "access_token": uuid(),
    });
    let more = match desk.major() {
        18.. => json!({
            "session_id": session, "company_id": tenant.company, "payment_ids": [payment], "uuid": uuid(),
            "state": "paid",
        }),
        _ => json!({
            "pos_session_id": session, "statement_ids": [payment], "uid": number, "creation_date": now,
            "server_id": false,
        }),
    };
    if let (Value::Object(order), Value::Object(more)) = (&mut order, more) {
        order.extend(more);
    }
    let answer = match desk.major() {
        18.. => {
            let call = OdooCall::of("pos.order", "sync_from_ui").arg("orders", json!([order]));
            desk.call(call).await?["pos.order"][0]["id"].clone()
        }
        _ => {
            let order = json!([{"id": number, "data": order, "to_invoice": false}]);
            desk.call(OdooCall::of("pos.order", "create_from_ui").arg("orders", order)).await?[0]["id"]
                .clone()
        }
    };
    answer.as_i64().ok_or_else(|| Wrong::Failed(format!("the order was not taken: {}", short(&answer))))
}

/// Counts the cash, closes, and looks at the entry.
async fn close(desk: &mut Desk<'_>, id: i64) -> Result<String, Wrong> {
    let fields = ["cash_control", "cash_register_balance_end"];
    let session = desk.read("pos.session", id, &fields).await?;
    if session.is("cash_control") {
        let cash = session.amount("cash_register_balance_end")?.about();
        let call = OdooCall::of("pos.session", "post_closing_cash_details").ids([id]);
        is_successful(&desk.call(call.arg("counted_cash", cash)).await?)?;
    }
    let call = OdooCall::of("pos.session", "update_closing_control_state_session").ids([id]);
    desk.call(call.arg("notes", "Restore drill")).await?;
    is_successful(&desk.act("pos.session", "close_session_from_ui", &[id]).await?)?;
    let closed = desk.read("pos.session", id, &["name", "state", "move_id"]).await?;
    let (name, state) = (closed.text("name"), closed.text("state"));
    ensure(state == "closed", || format!("session {name} is {state}"))?;
    let Some(entry) = closed.id("move_id") else {
        return Err(Wrong::Failed(format!("session {name} has no entry in the books")));
    };
    let entry = desk.read("account.move", entry, &["name", "state", "line_ids"]).await?;
    let (entry_name, state) = (entry.text("name"), entry.text("state"));
    ensure(state == "posted", || format!("{entry_name} is {state}"))?;
    invoice::is_balanced(desk, &entry).await?;
    Ok(format!("{name} closed, {entry_name} posted and balanced"))
}

/// The till's answers say themselves whether they are good.
fn is_successful(answer: &Value) -> Result<(), Wrong> {
    ensure(answer["successful"].as_bool() == Some(true), || match answer["message"].as_str() {
        Some(message) => message.to_owned(),
        None => format!("the session does not close: {}", short(answer)),
    })
}

/// A random one, version 4 of RFC 9562.
fn uuid() -> String {
    let hex = random_hex(16);
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taxes_are_rounded_as_odoo_rounds_them() {
        let of = |text: &str| text.parse::<Decimal>().unwrap();
        let cent = of("0.01");
        let tax = |percent: &str, included| Some((of(percent), included));
        assert_eq!(amounts(of("47.85"), tax("15", false), cent), Some((of("95.70"), of("110.06"))));
        assert_eq!(amounts(of("60.50"), tax("21", true), cent), Some((of("100"), of("121"))));
        assert_eq!(amounts(of("0.333"), None, cent), Some((of("0.67"), of("0.67"))));
        assert_eq!(amounts(of("1234.5"), tax("19", false), of("1")), Some((of("2469"), of("2938"))));
        let one = uuid();
        assert_eq!((one.len(), one.matches('-').count(), &one[14..15]), (36, 4, "4"));
    }
}
