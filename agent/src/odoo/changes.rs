//! What changed between two baselines of one tenant, and whether normal work explains it. Pure.
//!
//! A rule that says "lost" must hold for what people do every day: a false alarm teaches everybody to ignore
//! the next one. So each loss is something that Odoo does not do by itself, and that a person does not do to
//! many rows at once; what a person may have meant is only to be confirmed.

mod database;
mod documents;
mod figures;
mod pairs;
mod records;
mod rows;
mod schema;
mod updated;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::odoo::baseline::Baseline;
use updated::Updated;

/// Most examples of a change.
const EXAMPLES_MAX: usize = 5;

/// How much a change weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// Normal growth: only figures.
    Grown,
    /// Somebody should confirm that it was meant.
    Changed,
    /// Something is gone or empty, and no normal work explains it.
    Lost,
}

/// What a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// The database as a whole, and its modules.
    Database,
    /// Tables, columns, indexes, constraints, sequences.
    Schema,
    /// Confirmed business documents.
    Documents,
    /// Values that only the state before can judge: prices, rates, rights, parameters.
    Values,
    /// The number of rows.
    Rows,
}

/// One change. `Display` gives a full sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// How much it weighs.
    pub weight: Weight,
    /// What it is about.
    pub about: About,
    /// The thing, as in `product_pricelist_item.fixed_price`; the same from one comparison to the next.
    pub what: String,
    /// What happened to it, as in `40 of 41 values are zero or empty now`.
    pub says: String,
    /// Some of the rows or parts, at most five.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
}

impl Change {
    fn new(weight: Weight, about: About, what: impl Into<String>, says: impl Into<String>) -> Change {
        Change { weight, about, what: what.into(), says: says.into(), examples: Vec::new() }
    }

    fn with(mut self, examples: impl IntoIterator<Item = String>) -> Change {
        self.examples = examples.into_iter().take(EXAMPLES_MAX).collect();
        self
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.says)?;
        match self.examples.is_empty() {
            true => Ok(()),
            false => write!(f, " ({})", self.examples.join("; ")),
        }
    }
}

/// All changes, the heaviest first, then in the order of [`About`] and by name. What one of the two did not
/// record (older programs) is not compared.
pub fn changes(before: &Baseline, after: &Baseline) -> Vec<Change> {
    let updated = Updated::between(before, after);
    let mut all = database::changes(before, after, &updated);
    if let (Some(before), Some(after)) = (&before.schema, &after.schema) {
        all.extend(schema::changes(before, after, &updated));
    }
    if let (Some(before), Some(after)) = (&before.lasting, &after.lasting) {
        all.extend(documents::changes(before, after));
    }
    if let (Some(before), Some(after)) = (&before.figures, &after.figures) {
        all.extend(figures::changes(before, after));
    }
    if let (Some(before), Some(after)) = (&before.values, &after.values) {
        all.extend(records::changes(before, after, &updated));
        all.extend(pairs::changes(before, after));
    }
    all.extend(rows::changes(before, after, &updated));
    all.sort_by(|a, b| b.weight.cmp(&a.weight).then_with(|| (a.about, &a.what).cmp(&(b.about, &b.what))));
    all
}

/// Whether a baseline recorded a part.
type Part = fn(&Baseline) -> bool;

/// What one of the two did not record, in words: an older program made it.
pub fn not_compared(before: &Baseline, after: &Baseline) -> Vec<&'static str> {
    let lacks = |part: Part| !(part(before) && part(after));
    let parts: [(&str, Part); 3] = [
        ("columns, indexes, constraints and sequences", |one| one.schema.is_some()),
        ("prices, rates, rights and other decisive values", |one| one.values.is_some()),
        ("documents by day", |one| one.lasting.is_some()),
    ];
    parts.into_iter().filter(|(_, part)| lacks(*part)).map(|(name, _)| name).collect()
}

/// Whether so many of so many are more than a person changes on purpose.
fn is_mass(part: usize, whole: usize) -> bool {
    part >= 2 && part == whole || part >= 3 && 2 * part >= whole || part >= 20 && 10 * part >= whole
}
