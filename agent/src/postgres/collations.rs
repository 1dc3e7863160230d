//! What a server says of the libraries that sort texts. Indexes are written in that order: another version of the C library or
//! of ICU may have another one, and then an index finds less than the table holds, or lets doubles in.
//!
//! Only catalogs are asked, and those of the maintenance database alone.

use crate::error::Result;
use crate::postgres::session::{Session, column};

/// What a server sorts with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sorting {
    /// What it was compiled for, as in `x86_64-pc-linux-gnu`.
    pub platform: String,
    /// The version of the C library; `None` where it does not say it.
    pub libc: Option<String>,
    /// The version of ICU's collations; `None` where it has none.
    pub icu: Option<String>,
    /// Each database.
    pub databases: Vec<DatabaseSorting>,
}

/// How a database sorts where nothing else is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseSorting {
    /// Its OID.
    pub oid: u32,
    /// Its name.
    pub name: String,
    /// `c` for the C library, `i` for ICU, `b` for PostgreSQL's own.
    pub provider: String,
    /// As in `de_DE.UTF-8`.
    pub locale: String,
    /// The version by which it sorts now; `None` where the order never changes, or is not known.
    pub version: Option<String>,
    /// The version by which its indexes were written, as the catalog has it (15 and newer).
    pub recorded: Option<String>,
}

/// Where the server runs, and how each database sorts.
///
/// # Errors
/// Those of the session.
pub async fn ask(session: &mut Session) -> Result<Sorting> {
    // Texts are sorted alike by every version for C and POSIX; the server gives no version for them.
    let sql = "SELECT version(), \
        (SELECT max(pg_collation_actual_version(oid)) FROM pg_collation WHERE collprovider = 'c'), \
        (SELECT max(pg_collation_actual_version(oid)) FROM pg_collation \
         WHERE collprovider = 'i' AND collname = 'und-x-icu')";
    let row = session.row("ask what it sorts with", sql).await?;
    let mut sorting = Sorting {
        platform: platform(&column::<String>(&row, 0)?),
        libc: column(&row, 1)?,
        icu: column(&row, 2)?,
        databases: Vec::new(),
    };
    let of_database = match session.version_num() {
        170_000.. => {
            "datlocprovider::text, coalesce(datlocale, datcollate), datcollversion, \
             pg_database_collation_actual_version(oid)"
        }
        150_000.. => {
            "datlocprovider::text, coalesce(daticulocale, datcollate), datcollversion, \
             pg_database_collation_actual_version(oid)"
        }
        _ => "'c', datcollate::text, NULL::text, NULL::text",
    };
    let sql = format!(
        "SELECT oid::int8, datname::text, {of_database} FROM pg_database WHERE datconnlimit <> -2 ORDER BY 1"
    );
    for row in session.rows("ask how databases sort", sql).await? {
        let database = DatabaseSorting {
            oid: u32::try_from(column::<i64>(&row, 0)?).unwrap_or(0),
            name: column(&row, 1)?,
            provider: column(&row, 2)?,
            locale: column(&row, 3)?,
            recorded: column(&row, 4)?,
            version: column(&row, 5)?,
        };
        if database.provider == "c" && sorting.libc.is_none() {
            sorting.libc.clone_from(&database.version);
        }
        sorting.databases.push(database);
    }
    for database in &mut sorting.databases {
        if database.version.is_none() && database.provider == "c" && !is_plain(&database.locale) {
            database.version.clone_from(&sorting.libc); // older servers do not say it of databases
        }
    }
    Ok(sorting)
}

/// Whether texts are sorted by their bytes, whatever the C library.
fn is_plain(locale: &str) -> bool {
    let name = locale.split('.').next().unwrap_or_default();
    name.eq_ignore_ascii_case("C") || name.eq_ignore_ascii_case("POSIX")
}

/// Of `PostgreSQL 15.14 (…) on x86_64-pc-linux-gnu, compiled by …`.
fn platform(version: &str) -> String {
    let rest = version.split_once(" on ").map_or("", |(_, rest)| rest);
    rest.split(',').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_and_plain_orders_are_told() {
        let version = "PostgreSQL 15.14 (Debian 15.14-0+deb12u1) on x86_64-pc-linux-gnu, compiled by gcc";
        assert_eq!(platform(version), "x86_64-pc-linux-gnu");
        assert_eq!(platform("nonsense"), "");
        let plain = ["C", "POSIX", "C.UTF-8", "c.utf8", "de_DE.UTF-8", "Cx"].map(is_plain);
        assert_eq!(plain, [true, true, true, true, false, false]);
    }
}
