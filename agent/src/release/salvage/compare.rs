//! Compares the two databases: every kind, then what the new documents name.

use std::collections::{BTreeMap, HashSet};

use crate::clock::Timestamp;
use crate::error::{Error, Kind as Cause, Result};
use crate::names::{ReleaseId, TenantName, counted};
use crate::odoo::business::{Currencies, Source};
use crate::postgres::PostgresOptions;
use crate::postgres::decimal::Decimal;
use crate::release::salvage::found::{Change, Found, MasterFound, NewDocument, Salvage};
use crate::release::salvage::kept::{Budget, Kept};
use crate::release::salvage::keys::Keys;
use crate::release::salvage::kind::{self, Compared};
use crate::release::salvage::kinds::{KINDS, Kind, PARTNERS, PAYMENTS};
use crate::release::salvage::links::{self, TEMPLATES};
use crate::release::salvage::masters::{self, MASTERS};
use crate::release::salvage::paid::paid_of;
use crate::release::salvage::partners::{self, new_partners};
use crate::release::salvage::shape::Shape;
use crate::release::salvage::side::Side;
use crate::release::salvage::sides::{Sides, document_of, name};
use crate::release::salvage::summary::{Differing, FORMAT, Head, KindSummary, NotExported, Summary};
use crate::release::salvage::taxes::taxes_of;

/// Most documents that are named one by one as not exported.
const NAMED_MAX: usize = 1000;

/// What is compared.
#[derive(Clone, Debug)]
pub struct SalvageRequest {
    /// The release whose point it is.
    pub release: ReleaseId,
    /// The tenant.
    pub tenant: TenantName,
    /// The database with what was written after the point.
    pub from: TenantName,
    /// The copy at the point.
    pub against: TenantName,
    /// The time of the point.
    pub point: Timestamp,
}

/// Compares them. Only reads; memory is bounded (some 700 MiB at most), time grows with the tables.
///
/// # Errors
/// `Usage` if both are the same database; `NotFound` if one does not exist; `Interrupted`; those of the
/// server. A kind that cannot be compared is no error, but named in [`Summary::not_exported`].
pub async fn compare(options: &PostgresOptions, request: &SalvageRequest) -> Result<Salvage> {
    let SalvageRequest { release, tenant, from, against, point } = request.clone();
    if from == against {
        let what = format!("--from and --against are both {from}");
        return Err(Error::new(Cause::Usage, what)
            .next("name the copy that was restored to the point beside it: --against"));
    }
    let summary = Summary {
        head: Head { format: FORMAT, release, tenant, from: from.clone(), against: against.clone(), point },
        kinds: BTreeMap::new(),
        masters: BTreeMap::new(),
        partners: 0,
        files: 0,
        not_installed: Vec::new(),
        not_exported: Vec::new(),
        notes: Vec::new(),
    };
    let from = Side::begin(options, &from).await?;
    let against = Side::begin(options, &against).await?;
    let mut work = Work { summary, budget: Budget::of_new() };
    let salvage = work.all(Sides { from: &from, against: &against, point }).await;
    let (found, masters, keys) = salvage?;
    from.end().await?;
    against.end().await?;
    Ok(Salvage { summary: work.summary, found, masters, keys, files: None })
}

struct Work {
    summary: Summary,
    budget: Budget,
}

impl Work {
    fn not_exported(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.summary.not_exported.push(NotExported { what: what.into(), why: why.into() });
    }

    async fn all(&mut self, sides: Sides<'_>) -> Result<(Vec<Found>, Vec<MasterFound>, Keys)> {
        let currencies = sides.from.part(async |session| Currencies::read(session).await).await;
        let currencies = known(currencies)?;
        let (mut found, mut late) = (Vec::new(), 0);
        for kind in &KINDS {
            let has_amount = Source::of(kind.head.table).is_some_and(|source| source.amount().is_some());
            if let (Err(why), true) = (&currencies, has_amount) {
                self.not_exported(kind.name, format!("the currencies cannot be read: {why}"));
                continue;
            }
            let budget = self.budget.clone();
            match known(kind::compare(kind, sides, &mut self.budget).await)? {
                Err(why) => {
                    self.budget = budget; // what it kept is gone
                    self.not_exported(kind.name, why);
                }
                Ok(None) => self.summary.not_installed.push(kind.name),
                Ok(Some(compared)) => {
                    late += compared.late;
                    let mut one = self.found(kind, compared, currencies.as_ref().ok());
                    match known(taxes_of(sides.from, kind, &one.new).await)? {
                        Ok(taxes) => one.taxes = kind.taxes.as_ref().map(|of| (of.lines, taxes)),
                        Err(why) => self.not_exported(format!("taxes of {}", kind.name), why),
                    }
                    if let (PAYMENTS, Ok(currencies)) = (kind.name, &currencies) {
                        match known(paid_of(sides, &one, currencies).await)? {
                            Ok(paid) => one.paid = Some(paid),
                            Err(why) => self.not_exported("the invoices that payments paid", why),
                        }
                    }
                    found.push(one);
                }
            }
        }
        if late > 0 {
            let what = counted(late, "document");
            let against = &self.summary.head.against;
            self.summary.notes.push(format!(
                "{what} of {against} was created after the point: check that it is the copy of the point, and that \
                 nobody worked in it"
            ));
        }
        self.partners(sides, &mut found).await?;
        let masters = self.masters(sides, &found).await?;
        let needed = links::needed(&found);
        let (keys, problems) = links::read(sides, needed, &mut self.budget).await?;
        for (table, why) in problems {
            self.not_exported(format!("names and codes of {table}"), why);
        }
        for (table, count) in
            keys.missing().into_iter().filter(|(table, _)| ![partners::TABLE, TEMPLATES].contains(table))
        {
            self.summary.notes.push(format!(
                "{} of {table} that new documents name do not exist at the point: at_point is false at each",
                counted(count, "row")
            ));
        }
        Ok((found, masters, keys))
    }

    /// New partners, as a kind of its own at the front: they are entered first.
    async fn partners(&mut self, sides: Sides<'_>, found: &mut Vec<Found>) -> Result<()> {
        let wanted = links::needed(found).remove(partners::TABLE).unwrap_or_default();
        match known(new_partners(sides, &wanted, &mut self.budget).await)? {
            Err(why) => self.not_exported(PARTNERS, why),
            Ok((shape, rows)) => {
                self.skipped(&shape);
                self.summary.partners = rows.len() as u64;
                let new = |row: Kept| NewDocument {
                    document: None,
                    name: name(&shape, &row),
                    row,
                    amount: None,
                    lines: Vec::new(),
                };
                let new = rows.into_iter().map(new).collect();
                let one = Found {
                    name: PARTNERS,
                    shapes: vec![shape],
                    new,
                    taxes: None,
                    paid: None,
                    changed: Vec::new(),
                    unlisted: 0,
                };
                found.insert(0, one);
            }
        }
        Ok(())
    }

    /// Master data, without the new partners, who are exported.
    async fn masters(&mut self, sides: Sides<'_>, found: &[Found]) -> Result<Vec<MasterFound>> {
        let (mut out, mut by_itself) = (Vec::new(), 0);
        for master in &MASTERS {
            let exported = found.iter().filter(|one| one.shapes[0].table == master.table);
            let exported: HashSet<i64> =
                exported.flat_map(|one| one.new.iter().map(|new| new.row.id)).collect();
            match known(masters::compare(master, sides, &exported).await)? {
                Err(why) => self.not_exported(format!("changes of {}", master.name), why),
                Ok(None) => {}
                Ok(Some((shape, one))) => {
                    if exported.is_empty() {
                        self.skipped(&shape); // else its columns are named with the new rows
                    }
                    by_itself += one.by_itself;
                    let count = |change| one.rows.iter().filter(|row| row.change == change).count() as u64;
                    let differing = Differing {
                        new: count(Change::New),
                        changed: count(Change::Changed),
                        deleted: count(Change::Deleted),
                        not_listed: one.unlisted,
                    };
                    if differing != Differing::default() {
                        self.summary.masters.insert(master.name, differing);
                    }
                    out.push(one);
                }
            }
        }
        if by_itself > 0 {
            self.summary.notes.push(format!(
                "{} of master data differ only in what Odoo writes by itself (such as write_date)",
                counted(by_itself, "row")
            ));
        }
        Ok(out)
    }

    fn skipped(&mut self, shape: &Shape) {
        for column in &shape.skipped {
            self.not_exported(
                format!("column {column}"),
                "it is generated, or of a type that Odoo does not use",
            );
        }
    }

    /// Numbers, and the documents that can be exported.
    fn found(&mut self, kind: &Kind, compared: Compared, currencies: Option<&Currencies>) -> Found {
        let Compared { shapes, new, changed, unlisted, others, .. } = compared;
        shapes.iter().for_each(|shape| self.skipped(shape));
        for (what, count) in others {
            let from = &self.summary.head.from;
            self.summary.notes.push(format!("not among these documents: {count} new {what} in {from}"));
        }
        let mut numbers = KindSummary { changed_not_listed: unlisted, ..KindSummary::default() };
        for one in &changed {
            let Some(document) = one.document else { continue };
            let counts = numbers.documents.entry(document).or_default();
            match one.change {
                Change::New => {}
                Change::Changed => counts.changed += 1,
                Change::Deleted => counts.deleted += 1,
            }
        }
        let (mut documents, mut refused) = (Vec::new(), 0);
        for (row, lines) in new {
            let Some((document, goes_out)) = document_of(&shapes[0], &row) else { continue };
            // the name of a payment is that of its entry until Odoo 17
            let entry = shapes.iter().skip(1).zip(&lines).find(|(shape, _)| shape.table == "account_move");
            let entry = entry.and_then(|(shape, rows)| Some(name(shape, rows.first()?)));
            let own = name(&shapes[0], &row);
            let called = if own.is_empty() { entry.unwrap_or_default() } else { own };
            let amount = match total(&shapes[0], &row, goes_out, currencies) {
                Ok(amount) => amount,
                Err(why) => {
                    refused += 1;
                    if refused <= NAMED_MAX {
                        self.not_exported(format!("{} {called:?} (id {})", document.as_str(), row.id), why);
                    }
                    continue;
                }
            };
            let counts = numbers.documents.entry(document).or_default();
            if let Some((number, currency)) = &amount {
                let sum = counts.totals.get(currency).copied().unwrap_or_default().plus(*number);
                let Some(sum) = sum else {
                    self.not_exported(
                        format!("{} {called:?} (id {})", document.as_str(), row.id),
                        "the sum is too large",
                    );
                    continue;
                };
                counts.totals.insert(currency.clone(), sum);
            }
            counts.new += 1;
            for (part, rows) in kind.lines.iter().zip(&lines) {
                *numbers.lines.entry(part.table).or_default() += rows.len() as u64;
            }
            documents.push(NewDocument { document: Some(document), row, name: called, amount, lines });
        }
        if refused > NAMED_MAX {
            let what = format!("{} more of {}", refused - NAMED_MAX, kind.name);
            self.not_exported(what, "as those before: no currency, or no exact total");
        }
        self.summary.kinds.insert(kind.name, numbers);
        let (taxes, paid) = (None, None);
        Found { name: kind.name, shapes, new: documents, taxes, paid, changed, unlisted }
    }
}

/// The total of a document with the name of its currency, where it has one.
fn total(
    shape: &Shape,
    row: &Kept,
    goes_out: bool,
    currencies: Option<&Currencies>,
) -> Result<Option<(Decimal, String)>, String> {
    let amount = Source::of(shape.table).and_then(Source::amount).and_then(|name| shape.at(name));
    let Some(bytes) = row.field(amount) else { return Ok(None) };
    let amount = Decimal::of_binary(bytes).map_err(|e| format!("its total cannot be added up: {e}"))?;
    let of = |name| row.int(shape.at(name));
    let currency = currencies.and_then(|all| all.of(of("currency_id"), of("company_id")));
    let currency = currency.ok_or("its currency has no name")?;
    Ok(Some((if goes_out { -amount } else { amount }, currency.to_owned())))
}

/// What could be read, or why not.
///
/// # Errors
/// `Interrupted` alone.
fn known<T>(read: Result<T>) -> Result<Result<T, String>> {
    match read {
        Err(e) if e.kind() == Cause::Interrupted => Err(e),
        read => Ok(read.map_err(|e| e.line())),
    }
}
