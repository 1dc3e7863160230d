//! The values of the decisive tables: digests, counts and sums of each column, and of tables that are not
//! large each row, so that a person can be told what changed.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::cell::{Cell, DIGEST, digest, label};
use super::decisive::{DECISIVE, Decisive, Part};
use super::origins::Origins;
use crate::archive::digest::Sha256;
use crate::archive::hex::hex;
use crate::error::Result;
use crate::postgres::copy_out::Row;
use crate::postgres::decimal::Decimal;
use crate::postgres::session::Session;
use crate::postgres::table::{Table, Type};

/// The rows of a table with more rows than this are not recorded one by one. It bounds what a baseline takes.
pub const RECORDS_MAX: usize = 5_000;

/// The values of one table of schema `public`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableValues {
    /// The table.
    pub table: String,
    /// The number of its rows.
    pub rows: u64,
    /// Its columns, as far as they are decisive; in the order of each record's cells.
    pub columns: Vec<ColumnValues>,
    /// Its rows by their key: `id`, or both columns of a relation, with a space between. None if there are
    /// more than 5,000.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub records: BTreeMap<String, Record>,
}

/// The values of one column together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnValues {
    /// The column.
    pub name: String,
    /// How many values are neither NULL nor empty.
    pub filled: u64,
    /// How many of them are not zero; without meaning for a column that has no numbers.
    pub non_zero: u64,
    /// Their sum; `None` if one is not a number, or has no exact value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<Decimal>,
    /// It is another one if a value, or its row's key, is another one; in whatever order the rows come.
    pub digest: String,
}

/// One row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "RecordList", into = "RecordList")]
pub struct Record {
    /// What a person knows it by; may be empty.
    pub label: String,
    /// The module that made it.
    pub module: Option<String>,
    /// Its values, as in [`TableValues::columns`]: nothing if empty, `0` if zero, a number or a short word
    /// as it is, `#` and a digest for what is long, and with its size for what is secret.
    pub cells: Vec<String>,
}

/// A row as it is recorded: label, module, values.
type RecordList = (String, String, Vec<String>);

impl From<RecordList> for Record {
    fn from((label, module, cells): RecordList) -> Record {
        Record { label, module: Some(module).filter(|module| !module.is_empty()), cells }
    }
}

impl From<Record> for RecordList {
    fn from(record: Record) -> RecordList {
        (record.label, record.module.unwrap_or_default(), record.cells)
    }
}

impl TableValues {
    /// Whether each of its rows is recorded.
    pub fn has_records(&self) -> bool {
        self.records.len() as u64 == self.rows
    }

    /// The same with digests in place of labels and values: it says what changed, and not what was there.
    pub fn without_content(mut self) -> TableValues {
        let hide = |text: &mut String| {
            if !text.is_empty() && text != "0" && !text.starts_with(DIGEST) {
                *text = digest(text.as_bytes());
            }
        };
        for record in self.records.values_mut() {
            hide(&mut record.label);
            record.cells.iter_mut().for_each(hide);
        }
        self.columns.iter_mut().for_each(|column| column.sum = None);
        self
    }
}

/// Takes them. A table that is not as Odoo makes it is left out: it is no reason to have no backup.
pub(super) async fn take(session: &mut Session, origins: &Origins) -> Result<Vec<TableValues>> {
    let (mut all, mut labels) = (Vec::new(), Labels::default());
    for decisive in &DECISIVE {
        let Some(table) = Table::if_plain(session, decisive.table).await? else { continue };
        let Some(layout) = Layout::of(decisive, &table) else { continue };
        let mut taken = Taken::new(decisive, &layout);
        table
            .each(session, &layout.read, |row| {
                taken.add(row, &layout, origins, &mut labels);
                Ok(())
            })
            .await?;
        all.push(taken.finish());
    }
    Ok(all)
}

/// What rows of other tables are known by.
type Labels = HashMap<(&'static str, i64), String>;

/// Which columns of a table are read, and where each is in a row.
struct Layout {
    read: Vec<(&'static str, Type)>,
    key: Vec<usize>,
    label: Vec<(Part, usize)>,
    /// Place, and whether it is recorded as a digest.
    columns: Vec<(usize, bool)>,
}

impl Layout {
    /// `None` if the table does not have its key.
    fn of(decisive: &'static Decisive, table: &Table) -> Option<Layout> {
        let known: HashMap<&str, Option<Type>> = table.columns().into_iter().collect();
        let mut read: Vec<(&'static str, Type)> = Vec::new();
        let mut place = |name: &'static str| {
            let kind = known.get(name).copied().flatten()?;
            let found = read.iter().position(|(known, _)| *known == name);
            Some(found.unwrap_or_else(|| {
                read.push((name, kind));
                read.len() - 1
            }))
        };
        let key: Option<Vec<usize>> = decisive.key.iter().map(|name| place(name)).collect();
        let label = decisive.label.iter().filter_map(|part| match part {
            Part::Value(name) | Part::Of(name, _) => Some((*part, place(name)?)),
        });
        let label = label.collect();
        let columns =
            decisive.columns.iter().filter_map(|(name, rule)| Some((place(name)?, rule.is_secret())));
        let columns = columns.collect();
        let key = key.filter(|key| key.iter().all(|at| read[*at].1 == Type::Int))?;
        Some(Layout { read, key, label, columns })
    }
}

/// What was read of a table so far.
struct Taken {
    values: TableValues,
    digests: Vec<[u128; 2]>,
    decisive: &'static Decisive,
}

impl Taken {
    fn new(decisive: &'static Decisive, layout: &Layout) -> Taken {
        let column = |(at, _): &(usize, bool)| ColumnValues {
            name: layout.read[*at].0.to_owned(),
            sum: Some(Decimal::ZERO),
            ..ColumnValues::default()
        };
        let mut columns: Vec<ColumnValues> = layout.columns.iter().map(column).collect();
        if columns.is_empty() {
            // a relation: its rows are their keys
            columns.push(ColumnValues { name: decisive.key.join(", "), ..ColumnValues::default() });
        }
        let digests = vec![[0; 2]; columns.len()];
        let values = TableValues { table: decisive.table.to_owned(), columns, ..TableValues::default() };
        Taken { values, digests, decisive }
    }

    fn add(&mut self, row: &Row<'_>, layout: &Layout, origins: &Origins, labels: &mut Labels) {
        let key: Vec<i64> = layout.key.iter().map(|at| row.int(*at).unwrap_or_default()).collect();
        let name = key.iter().map(i64::to_string).collect::<Vec<_>>().join(" ");
        let label = self.label(row, layout, labels);
        let id = key.first().copied().unwrap_or_default();
        if key.len() == 1 && labels.len() < 16 * RECORDS_MAX {
            labels.insert((self.decisive.table, id), label.clone());
        }
        self.values.rows += 1;
        let mut cells = Vec::with_capacity(layout.columns.len());
        for (index, (at, is_secret)) in layout.columns.iter().enumerate() {
            let cell = Cell::of(row, *at, layout.read[*at].1, *is_secret);
            let column = &mut self.values.columns[index];
            column.filled += u64::from(cell.is_filled());
            column.non_zero += u64::from(cell.is_filled() && cell.text != "0");
            if cell.is_filled() {
                column.sum = column.sum.zip(cell.number).and_then(|(sum, number)| sum.plus(number));
            }
            mix(&mut self.digests[index], &name, &cell.bytes, row.bytes(*at).is_none());
            cells.push(cell.text);
        }
        if layout.columns.is_empty() {
            self.values.columns[0].filled += 1;
            mix(&mut self.digests[0], &name, &[], false);
        }
        if self.values.rows <= RECORDS_MAX as u64 {
            let module = origins.of_row(self.decisive.table, id).filter(|_| key.len() == 1).cloned();
            self.values.records.insert(name, Record { label, module, cells });
        }
    }

    fn label(&self, row: &Row<'_>, layout: &Layout, labels: &Labels) -> String {
        let part = |(part, at): &(Part, usize)| match part {
            Part::Value(_) => Some(label(row, *at, layout.read[*at].1)).filter(|label| !label.is_empty()),
            Part::Of(_, table) => {
                let id = row.int(*at)?;
                Some(labels.get(&(table, id)).cloned().unwrap_or_else(|| format!("{table} {id}")))
            }
        };
        layout.label.iter().filter_map(part).collect::<Vec<_>>().join(" ")
    }

    fn finish(mut self) -> TableValues {
        for (column, digest) in self.values.columns.iter_mut().zip(&self.digests) {
            let [high, low] = digest.map(u128::to_be_bytes);
            column.digest = hex(&[high, low].concat());
        }
        if self.values.rows > RECORDS_MAX as u64 {
            self.values.records.clear();
        }
        self.values
    }
}

/// Adds a value to a digest: a sum, so that the order of the rows does not matter.
fn mix(digest: &mut [u128; 2], key: &str, bytes: &[u8], is_null: bool) {
    let mut text = Vec::with_capacity(key.len() + 2 + bytes.len());
    text.extend_from_slice(key.as_bytes());
    text.extend_from_slice(&[0, u8::from(is_null)]);
    text.extend_from_slice(bytes);
    let Sha256(of) = Sha256::of(&text);
    for (half, bytes) in digest.iter_mut().zip(of.chunks_exact(16)) {
        let bytes: [u8; 16] = bytes.try_into().unwrap_or_default();
        *half = half.wrapping_add(u128::from_be_bytes(bytes));
    }
}
