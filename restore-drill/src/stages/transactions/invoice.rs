//! Invoices and bills: posted, balanced, and of the order's amount.

use lifeboat::odoo::rpc::OdooCall;
use lifeboat::postgres::decimal::Decimal;
use serde_json::json;

use super::tenant::Tenant;
use crate::odoo::desk::{Desk, Wrong, ensure};
use crate::odoo::record::Record;

/// A posted one.
pub(super) struct Posted {
    pub id: i64,
    pub name: String,
    pub residual: Decimal,
}

/// Posts it, and compares it with its order's total: at most a unit of the currency per line may differ, as
/// where taxes are rounded by line in one and in total in the other.
pub(super) async fn post(
    desk: &mut Desk<'_>,
    id: i64,
    total: Decimal,
    lines: usize,
) -> Result<Posted, Wrong> {
    desk.act("account.move", "action_post", &[id]).await?;
    let fields = ["name", "state", "amount_total", "amount_residual", "line_ids"];
    let posted = desk.read("account.move", id, &fields).await?;
    let (name, state) = (posted.text("name"), posted.text("state"));
    ensure(state == "posted", || format!("{name} is {state}"))?;
    let amount = posted.amount("amount_total")?;
    let differs = amount.plus(-total).map(Decimal::size).unwrap_or(amount);
    let cent = Decimal::whole(1).over(Decimal::whole(100)).unwrap_or_default();
    let tolerated = cent.times(Decimal::whole(i64::try_from(lines).unwrap_or(1))).unwrap_or_default();
    ensure(differs <= tolerated, || {
        format!("the total of {name} is {amount}, but that of its order is {total}")
    })?;
    is_balanced(desk, &posted).await?;
    Ok(Posted { id, name, residual: posted.amount("amount_residual")? })
}

/// # Errors
/// [`Wrong::Failed`] if debit and credit of an entry differ.
pub(super) async fn is_balanced(desk: &mut Desk<'_>, entry: &Record) -> Result<(), Wrong> {
    let mut sum = Decimal::ZERO;
    for line in desk.read_all("account.move.line", &entry.ids("line_ids")?, &["balance"]).await? {
        let balance = line.amount("balance")?;
        sum = sum.plus(balance).ok_or_else(|| Wrong::Failed("the balance is too large".to_owned()))?;
    }
    ensure(sum == Decimal::ZERO, || format!("{} does not balance: {sum}", entry.text("name")))
}

/// Registers the payment of a posted invoice.
pub(super) async fn pay(desk: &mut Desk<'_>, tenant: &Tenant, invoice: &Posted) -> Result<String, Wrong> {
    if invoice.residual != Decimal::ZERO {
        let context = [("active_model", json!("account.move")), ("active_ids", json!([invoice.id]))];
        let values = json!({"payment_date": tenant.day});
        let wizard = desk.create_in("account.payment.register", values, &context).await?;
        let mut call = OdooCall::of("account.payment.register", "action_create_payments").ids([wizard]);
        for (key, value) in context {
            call = call.context(key, value);
        }
        desk.call(call).await?;
    }
    let paid = desk.read("account.move", invoice.id, &["payment_state", "amount_residual"]).await?;
    let (state, left) = (paid.text("payment_state"), paid.amount("amount_residual")?);
    ensure(["paid", "in_payment"].contains(&state.as_str()) && left == Decimal::ZERO, || {
        format!("{} is {state}, and {left} is open", invoice.name)
    })?;
    Ok(format!("{} is {state}", invoice.name))
}
