//! The names of currencies, and the currency of each company.

use std::collections::HashMap;

use crate::error::{Error, Kind, Result};
use crate::postgres::copy_out::Row;
use crate::postgres::session::Session;
use crate::postgres::table::{Table, Type};

/// Most currencies, and most companies, that are kept. Odoo knows some 170 currencies.
const KEPT_MAX: usize = 10_000;
/// The longest name of a currency; Odoo's have three letters.
const NAME_BYTES_MAX: usize = 16;

/// The currencies of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Currencies {
    names: HashMap<i64, String>,
    of_company: HashMap<i64, i64>,
}

impl Currencies {
    /// Reads them, in a transaction that [`crate::postgres::look`] began.
    ///
    /// # Errors
    /// As [`super::Source::each`], and if there are more than can be true.
    pub async fn read(session: &mut Session) -> Result<Currencies> {
        let mut read = Currencies::default();
        let too_many = || Error::new(Kind::Postgres, format!("more than {KEPT_MAX} currencies or companies"));
        let table = Table::get(session, "res_currency").await?;
        let columns = [("id", Type::Int), ("name", Type::Text)];
        let each = |row: &Row<'_>| {
            let short = |name: &String| name.len() <= NAME_BYTES_MAX;
            if let (Some(id), Some(name)) = (row.int(0), row.text(1).filter(short)) {
                read.names.insert(id, name);
            }
            if read.names.len() > KEPT_MAX { Err(too_many()) } else { Ok(()) }
        };
        table.each(session, &columns, each).await?;
        let table = Table::get(session, "res_company").await?;
        let columns = [("id", Type::Int), ("currency_id", Type::Int)];
        let each = |row: &Row<'_>| {
            if let (Some(id), Some(currency)) = (row.int(0), row.int(1)) {
                read.of_company.insert(id, currency);
            }
            if read.of_company.len() > KEPT_MAX { Err(too_many()) } else { Ok(()) }
        };
        table.each(session, &columns, each).await?;
        Ok(read)
    }

    /// The currency of a document that names this currency, or else belongs to this company.
    pub fn of(&self, currency: Option<i64>, company: Option<i64>) -> Option<&str> {
        let id = currency.or_else(|| self.of_company.get(&company?).copied())?;
        self.names.get(&id).map(String::as_str)
    }

    /// Made-up ones.
    #[cfg(test)]
    pub fn made_up(names: &[(i64, &str)], of_company: &[(i64, i64)]) -> Currencies {
        Currencies {
            names: names.iter().map(|(id, name)| (*id, (*name).to_owned())).collect(),
            of_company: of_company.iter().copied().collect(),
        }
    }
}
