//! The versions of the libraries by which a server sorts text. Indexes are written in that order. Another
//! version of the C library or of ICU may sort differently; then an index misses rows or accepts
//! duplicates.
//!
//! It reads only catalogs, and only those of the maintenance database.

use crate::error::Result;
use crate::postgres::session::{Session, column};

/// The libraries that a server sorts with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sorting {
    /// The platform that it was compiled for, as in `x86_64-pc-linux-gnu`.
    pub platform: String,
    /// The version of the C library; `None` if the server does not report it.
    pub libc: Option<String>,
    /// The version of ICU's collations; `None` if the server has none.
    pub icu: Option<String>,
    /// Each database.
    pub databases: Vec<DatabaseSorting>,
}

/// The default collation of a database.
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
    /// The version by which it sorts now; `None` if the order never changes or is unknown.
    pub version: Option<String>,
    /// The version by which its indexes were written, from the catalog (15 and newer).
    pub recorded: Option<String>,
}

/// Where the server runs, and how each database sorts.
///
/// # Errors
/// Those of the session.
pub async fn ask(session: &mut Session) -> Result<Sorting> {
    // C and POSIX sort the same in every version; the server reports no version for them.
    let sql = "SELECT version(), \
        (SELECT max(pg_collation_actual_version(oid)) FROM pg_collation WHERE collprovider = 'c'), \
        (SELECT max(pg_collation_actual_version(oid)) FROM pg_collation \
         WHERE collprovider = 'i' AND collname = 'und-x-icu')";
    let row = session.row("read the collation versions", sql).await?;
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
    for row in session.rows("read the collations of the databases", sql).await? {
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
            database.version.clone_from(&sorting.libc); // older servers do not report it per database
        }
    }
    Ok(sorting)
}

/// Whether text is sorted by its bytes, independent of the C library.
fn is_plain(locale: &str) -> bool {
    let name = locale.split('.').next().unwrap_or_default();
    name.eq_ignore_ascii_case("C") || name.eq_ignore_ascii_case("POSIX")
}

/// The platform in `PostgreSQL 15.14 (…) on x86_64-pc-linux-gnu, compiled by …`.
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
