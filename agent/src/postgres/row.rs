//! Rows of the server, and their columns as typed values.

use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::DataRowBody;

use crate::error::{Error, Kind, Result};

/// One row of an answer, every column as text.
pub struct Row(DataRowBody);

impl Row {
    pub(super) fn new(body: DataRowBody) -> Row {
        Row(body)
    }
}

/// A value that a column's text can be converted to.
pub trait FromColumn: Sized {
    /// The value; `None` is SQL's NULL.
    ///
    /// # Errors
    /// What is wrong with the text.
    fn from_column(text: Option<&str>) -> Result<Self, String>;
}

/// One column of a row, by position.
///
/// # Errors
/// `Postgres` if the row has no such column, or its value does not have this type.
pub fn column<T: FromColumn>(row: &Row, index: usize) -> Result<T> {
    let unexpected = |why: String| {
        Error::new(Kind::Postgres, format!("the server answered with an unexpected column {index}"))
            .because(why)
    };
    let range = row.0.ranges().nth(index).map_err(|e| unexpected(e.to_string()))?;
    let range = range.ok_or_else(|| unexpected("the row has fewer columns".to_owned()))?;
    let bytes = range.map(|range| &row.0.buffer()[range]);
    let text = bytes.map(std::str::from_utf8).transpose().map_err(|e| unexpected(e.to_string()))?;
    T::from_column(text).map_err(unexpected)
}

impl<T: FromColumn> FromColumn for Option<T> {
    fn from_column(text: Option<&str>) -> Result<Option<T>, String> {
        text.map(|text| T::from_column(Some(text))).transpose()
    }
}

impl FromColumn for String {
    fn from_column(text: Option<&str>) -> Result<String, String> {
        given(text).map(str::to_owned)
    }
}

impl FromColumn for bool {
    fn from_column(text: Option<&str>) -> Result<bool, String> {
        match given(text)? {
            "t" | "true" => Ok(true),
            "f" | "false" => Ok(false),
            other => Err(format!("{other:?} is neither true nor false")),
        }
    }
}

/// Numbers, as PostgreSQL and Rust both write them.
macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl FromColumn for $number {
            fn from_column(text: Option<&str>) -> Result<$number, String> {
                let text = given(text)?;
                text.parse().map_err(|e| format!("{text:?}: {e}"))
            }
        }
    )*};
}
numbers!(i32, i64, f64);

fn given(text: Option<&str>) -> Result<&str, String> {
    text.ok_or_else(|| "it is NULL".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_the_server_writes_them() {
        assert_eq!(bool::from_column(Some("t")), Ok(true));
        assert_eq!(Option::<i64>::from_column(Some("-9223372036854775808")), Ok(Some(i64::MIN)));
        assert_eq!(Option::<String>::from_column(None), Ok(None));
        assert_eq!(f64::from_column(Some("1764316000.123456")), Ok(1_764_316_000.123456));
        assert!(i32::from_column(Some("3000000000")).is_err() && bool::from_column(Some("1")).is_err());
        assert!(i64::from_column(None).is_err());
    }
}
