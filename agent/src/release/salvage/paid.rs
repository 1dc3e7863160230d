//! Which invoices a new payment paid: by the reconciliations of the lines of its journal entry, and from
//! Odoo 18 also by the relation of payments to invoices, which a payment without an entry has.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::error::Result;
use crate::odoo::business::Currencies;
use crate::postgres::copy_out::Row;
use crate::postgres::decimal::Decimal;
use crate::postgres::table::{Table, Type};
use crate::release::salvage::found::{Found, Paid};
use crate::release::salvage::kept::{Budget, Kept, fetch};
use crate::release::salvage::links::known;
use crate::release::salvage::shape::Shape;
use crate::release::salvage::sides::{Sides, document_of, name};

const ENTRIES: &str = "account_move";
const LINES: &str = "account_move_line";
const RECONCILED: &str = "account_partial_reconcile";
const RELATION: &str = "account_move__account_payment";

/// By payment and invoice, in the currencies of the invoice: how much.
type Amounts = BTreeMap<(i64, i64), BTreeMap<i64, Option<Decimal>>>;

/// The invoices that new payments paid, by payment, sorted by `id`.
///
/// # Errors
/// As [`Table::find`] and [`Table::each`].
pub async fn paid_of(
    sides: Sides<'_>,
    payments: &Found,
    currencies: &Currencies,
) -> Result<HashMap<i64, Vec<Paid>>> {
    let mut out: HashMap<i64, Vec<Paid>> = HashMap::new();
    let amounts = amounts(sides, payments).await?;
    let invoices: HashSet<i64> = amounts.keys().map(|(_, invoice)| *invoice).collect();
    let shape = Shape::of(ENTRIES, sides.from, sides.against).await?;
    let Some(table) = shape.from.as_ref().filter(|_| !invoices.is_empty()) else { return Ok(out) };
    let wanted = ["id", "name", "move_type"];
    let places: Vec<usize> = wanted.iter().filter_map(|name| shape.at(name)).collect();
    let rows = fetch(sides.from, table, &shape, &places, &invoices, &mut Budget::as_many()).await?;
    let known = known(sides.against, &shape, &invoices).await?;
    for ((payment, invoice), sums) in amounts {
        let Some(row) = rows.get(&invoice) else { continue };
        let Some((document, _)) = document_of(&shape, row) else { continue };
        let one = Paid {
            document,
            id: invoice,
            name: name(&shape, row),
            at_point: known.contains(&invoice),
            amount: None,
            currency: None,
        };
        let of_payment = out.entry(payment).or_default();
        if sums.is_empty() {
            of_payment.push(one);
            continue;
        }
        for (currency, sum) in sums {
            let currency = currencies.of(Some(currency), None).map(str::to_owned);
            of_payment.push(Paid { amount: sum.map(|sum| sum.to_string()), currency, ..one.clone() });
        }
    }
    Ok(out)
}

async fn amounts(sides: Sides<'_>, payments: &Found) -> Result<Amounts> {
    let mut amounts = Amounts::new();
    let of_line = lines_of(sides, payments).await?;
    let partial = partials(sides, &of_line).await?;
    let others: HashSet<i64> = partial.iter().map(|one| one.other).collect();
    let mut entry_of: HashMap<i64, (i64, i64)> = HashMap::new();
    each(sides, LINES, ["id", "move_id", "currency_id"], |[line, entry, currency]| {
        if let (Some(line), Some(entry)) = (line.filter(|line| others.contains(line)), entry) {
            entry_of.insert(line, (entry, currency.unwrap_or(0)));
        }
    })
    .await?;
    for one in partial {
        let Some((invoice, currency)) = entry_of.get(&one.other) else { continue };
        let sums = amounts.entry((one.payment, *invoice)).or_default();
        let sum = sums.entry(*currency).or_insert(Some(Decimal::ZERO));
        *sum = sum.zip(one.amount).and_then(|(sum, amount)| sum.plus(amount));
    }
    let new: HashSet<i64> = payments.new.iter().map(|one| one.row.id).collect();
    each(sides, RELATION, ["payment_id", "invoice_id"], |[payment, invoice]| {
        if let (Some(payment), Some(invoice)) = (payment.filter(|payment| new.contains(payment)), invoice) {
            amounts.entry((payment, invoice)).or_default();
        }
    })
    .await?;
    Ok(amounts)
}

/// The payment of each line of its entry.
async fn lines_of(sides: Sides<'_>, payments: &Found) -> Result<HashMap<i64, i64>> {
    let at = payments.shapes[1..].iter().position(|shape| shape.table == ENTRIES);
    let mut of_entry: HashMap<i64, i64> = HashMap::new();
    for one in &payments.new {
        let entries: &[Kept] = at.and_then(|at| one.lines.get(at)).map_or(&[], Vec::as_slice);
        of_entry.extend(entries.iter().map(|entry| (entry.id, one.row.id)));
        if entries.is_empty() {
            of_entry.extend(one.row.int(payments.shapes[0].at("move_id")).map(|entry| (entry, one.row.id)));
        }
    }
    let mut of_line = HashMap::new();
    if of_entry.is_empty() {
        return Ok(of_line);
    }
    each(sides, LINES, ["id", "move_id"], |[line, entry]| {
        let payment = entry.and_then(|entry| of_entry.get(&entry));
        of_line.extend(line.zip(payment.copied()));
    })
    .await?;
    Ok(of_line)
}

/// A part of a payment that is reconciled with another line.
struct Partial {
    payment: i64,
    other: i64,
    /// In the currency of the other line.
    amount: Option<Decimal>,
}

async fn partials(sides: Sides<'_>, of_line: &HashMap<i64, i64>) -> Result<Vec<Partial>> {
    let mut out = Vec::new();
    if of_line.is_empty() {
        return Ok(out);
    }
    let columns = [
        ("debit_move_id", Type::Int),
        ("credit_move_id", Type::Int),
        ("debit_amount_currency", Type::Numeric),
        ("credit_amount_currency", Type::Numeric),
    ];
    let each = |row: &Row<'_>| {
        let (Some(debit), Some(credit)) = (row.int(0), row.int(1)) else { return Ok(()) };
        // the other line, and where its amount is
        let (payment, other, at) = match (of_line.get(&debit), of_line.get(&credit)) {
            (Some(payment), None) => (*payment, credit, 3),
            (None, Some(payment)) => (*payment, debit, 2),
            _ => return Ok(()),
        };
        let amount = row.numeric(at).and_then(std::result::Result::ok);
        out.push(Partial { payment, other, amount });
        Ok(())
    };
    sides
        .from
        .part(async |session| match Table::find(session, RECONCILED).await? {
            Some(table) => table.each(session, &columns, each).await,
            None => Ok(()),
        })
        .await?;
    Ok(out)
}

/// Whole numbers of each row, if there is such a table.
async fn each<const N: usize>(
    sides: Sides<'_>,
    table: &'static str,
    columns: [&str; N],
    mut found: impl FnMut([Option<i64>; N]),
) -> Result<()> {
    let columns = columns.map(|name| (name, Type::Int));
    let each = |row: &Row<'_>| {
        found(std::array::from_fn(|at| row.int(at)));
        Ok(())
    };
    sides
        .from
        .part(async |session| match Table::find(session, table).await? {
            Some(table) => table.each(session, &columns, each).await,
            None => Ok(()),
        })
        .await
}
