//! What Odoo's numbers are for: each `ir_sequence` has a sequence of PostgreSQL, whose name says only its
//! `id`.

use std::collections::HashMap;

use crate::error::{Error, Kind, Result};
use crate::postgres::copy_out::Row;
use crate::postgres::session::Session;
use crate::postgres::table::{Table, Type};

/// Most of them that are kept, and the longest text of one.
const KEPT_MAX: usize = 100_000;
const TEXT_CHARS_MAX: usize = 64;
/// What the name of every sequence of Odoo's numbers begins with.
const BEGIN: &str = "ir_sequence_";

/// The numbers of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbering(HashMap<i64, String>);

impl Numbering {
    /// Reads them, in a transaction that [`crate::postgres::look`] began.
    ///
    /// # Errors
    /// As [`super::Source::each`], and if there are more than can be true.
    pub async fn read(session: &mut Session) -> Result<Numbering> {
        let mut read = HashMap::new();
        let table = Table::get(session, "ir_sequence").await?;
        let each = |row: &Row<'_>| {
            let words = [row.text(1), row.text(2)].into_iter().flatten().filter(|word| !word.is_empty());
            let label: Vec<String> = words.map(|word| word.chars().take(TEXT_CHARS_MAX).collect()).collect();
            if let (Some(id), false) = (row.int(0), label.is_empty()) {
                read.insert(id, label.join(" "));
            }
            match read.len() <= KEPT_MAX {
                true => Ok(()),
                false => Err(Error::new(Kind::Postgres, format!("more than {KEPT_MAX} rows in ir_sequence"))),
            }
        };
        let columns = [("id", Type::Int), ("code", Type::Text), ("prefix", Type::Text)];
        table.each(session, &columns, each).await?;
        Ok(Numbering(read))
    }

    /// Code and prefix of the numbers that this sequence of PostgreSQL gives: `sale.order S`.
    pub fn of(&self, sequence: &str) -> Option<&str> {
        let id = numbers_id(sequence)?;
        self.0.get(&id).map(String::as_str)
    }

    /// Made-up ones.
    #[cfg(test)]
    pub fn made_up(all: &[(i64, &str)]) -> Numbering {
        Numbering(all.iter().map(|(id, text)| (*id, (*text).to_owned())).collect())
    }
}

/// Whether a sequence of PostgreSQL gives numbers that people see, and not the `id` of a table.
pub fn gives_numbers(sequence: &str) -> bool {
    numbers_id(sequence).is_some()
}

/// `ir_sequence_012`, or `ir_sequence_012_003` for a range of dates.
fn numbers_id(sequence: &str) -> Option<i64> {
    let digits = sequence.strip_prefix(BEGIN)?;
    let (id, range) = digits.split_once('_').unwrap_or((digits, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(id) && is_number(range)).then(|| id.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_named_by_the_number_that_it_has_in_odoo() {
        let numbering = Numbering::made_up(&[(12, "sale.order S")]);
        assert_eq!(numbering.of("ir_sequence_012"), Some("sale.order S"));
        assert_eq!(numbering.of("ir_sequence_012_003"), Some("sale.order S"));
        assert_eq!(numbering.of("ir_sequence_013"), None);
        for other in
            ["ir_sequence_id_seq", "ir_sequence_date_range_id_seq", "sale_order_id_seq", "ir_sequence_"]
        {
            assert!(!gives_numbers(other), "{other}");
        }
    }
}
