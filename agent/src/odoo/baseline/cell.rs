//! One value of a decisive table, as it is recorded: what a person compares, and nothing that is secret.

use crate::archive::digest::Sha256;
use crate::odoo::lasting::date;
use crate::postgres::copy_out::Row;
use crate::postgres::decimal::Decimal;
use crate::postgres::table::Type;

/// The longest text that is recorded as it is; a longer one is a digest.
const TEXT_MAX: usize = 40;
/// Hex digits of a digest: enough to see that a value is another one.
const DIGEST_DIGITS: usize = 10;
/// What a digest begins with.
pub(super) const DIGEST: char = '#';

/// One value.
pub(super) struct Cell {
    /// The whole value, for the digest of its column.
    pub(super) bytes: Vec<u8>,
    /// What is recorded: nothing for NULL or an empty value, `0` for zero.
    pub(super) text: String,
    /// The value, if it is a number; `None` if it is not, or has no exact value.
    pub(super) number: Option<Decimal>,
}

impl Cell {
    /// The value of a column. `secret`: it is recorded as a digest, whatever it is.
    pub(super) fn of(row: &Row<'_>, at: usize, kind: Type, secret: bool) -> Cell {
        let Some(bytes) = row.bytes(at) else {
            return Cell { bytes: Vec::new(), text: String::new(), number: None };
        };
        let (text, number) = match kind {
            Type::Int | Type::Date => {
                let number = row.int(at).unwrap_or_default();
                (number.to_string(), Some(Decimal::whole(number)))
            }
            Type::Numeric => match row.numeric(at) {
                Some(Ok(number)) => (plain(number), Some(number)),
                _ => (digest(bytes), None),
            },
            Type::Float => float(bytes),
            Type::Bool => ((if bytes == [1] { "yes" } else { "no" }).to_owned(), None),
            Type::Time => (row.time(at).map_or_else(|| digest(bytes), |time| time.to_string()), None),
            Type::Text | Type::Json => (words(bytes), None),
            Type::Jsonb => json(bytes.get(1..).unwrap_or_default()),
        };
        // with its size: a long text that was replaced by a short one was emptied
        let text = match secret && !text.is_empty() {
            true => format!("{} {}", digest(bytes), bytes.len()),
            false => text,
        };
        Cell { bytes: bytes.to_vec(), text, number }
    }

    /// Whether it is there: not NULL, and not empty.
    pub(super) fn is_filled(&self) -> bool {
        !self.text.is_empty()
    }
}

/// The digest of a value that is not recorded.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("{DIGEST}{}", &Sha256::of(bytes).to_string()[..DIGEST_DIGITS])
}

/// A number, `0` if it is zero.
fn plain(number: Decimal) -> String {
    if number == Decimal::ZERO { "0".to_owned() } else { number.to_string() }
}

fn words(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.trim().is_empty() => String::new(),
        Ok(text) if text.len() <= TEXT_MAX && !text.chars().any(char::is_control) => text.to_owned(),
        _ => digest(bytes),
    }
}

fn float(bytes: &[u8]) -> (String, Option<Decimal>) {
    let number = match bytes.len() {
        4 => bytes.try_into().ok().map(|bytes| f64::from(f32::from_be_bytes(bytes))),
        _ => bytes.try_into().ok().map(f64::from_be_bytes),
    };
    let text = number.map_or_else(|| digest(bytes), |number| number.to_string());
    match text.parse::<Decimal>() {
        Ok(number) => (plain(number), Some(number)),
        Err(_) => (text, None),
    }
}

/// A jsonb: a number by company, or a text by language. It counts as its numbers together, and is empty if
/// each of its texts is.
fn json(bytes: &[u8]) -> (String, Option<Decimal>) {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes) else { return (digest(bytes), None) };
    let serde_json::Value::Object(parts) = &value else {
        return (if value.is_null() { String::new() } else { words(bytes) }, None);
    };
    let number =
        |value: &serde_json::Value| value.is_number().then(|| value.to_string().parse::<Decimal>().ok());
    let numbers: Option<Vec<Option<Decimal>>> = parts.values().map(number).collect();
    if let Some(numbers) = numbers.filter(|numbers| !numbers.is_empty()) {
        let sum = numbers.iter().try_fold(Decimal::ZERO, |sum, one| sum.plus((*one)?));
        let all_zero = numbers.iter().all(|one| *one == Some(Decimal::ZERO));
        return (if all_zero { "0".to_owned() } else { String::from_utf8_lossy(bytes).into_owned() }, sum);
    }
    let is_empty = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.trim().is_empty(),
        serde_json::Value::Null => true,
        _ => false,
    };
    (if parts.values().all(is_empty) { String::new() } else { words(bytes) }, None)
}

/// What a person knows a row by: the text itself, the first of several languages, or the number.
pub(super) fn label(row: &Row<'_>, at: usize, kind: Type) -> String {
    let text = match (kind, row.bytes(at)) {
        (_, None) => String::new(),
        (Type::Jsonb, Some(bytes)) => match serde_json::from_slice(bytes.get(1..).unwrap_or_default()) {
            Ok(serde_json::Value::Object(parts)) => {
                parts.values().find_map(|part| part.as_str()).unwrap_or_default().to_owned()
            }
            _ => String::new(),
        },
        (Type::Date, Some(_)) => {
            row.int(at).and_then(|day| i32::try_from(day).ok()).map_or_else(String::new, date)
        }
        (Type::Int, Some(_)) => row.int(at).unwrap_or_default().to_string(),
        (_, Some(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_told_from_nothing() {
        assert_eq!(json(br#"{"1": 0.0, "2": 0}"#), ("0".into(), Some(Decimal::ZERO)));
        assert_eq!(json(br#"{"1": 12.5}"#), (r#"{"1": 12.5}"#.into(), Some("12.5".parse().unwrap())));
        assert_eq!(json(br#"{"en_US": " "}"#).0, "");
        assert_eq!(json(br#"{"en_US": "<t/>"}"#).0, r#"{"en_US": "<t/>"}"#);
        assert_eq!(json(b"null").0, "");
        assert_eq!((words(b"fixed"), words(b" ")), ("fixed".into(), String::new()));
        assert!(words(&[b'x'; 41]).starts_with(DIGEST) && words(b"a\nb").starts_with(DIGEST));
        assert_eq!(float(&0.15_f64.to_be_bytes()), ("0.15".into(), Some("0.15".parse().unwrap())));
        assert_eq!(float(&0.0_f64.to_be_bytes()).0, "0");
        assert_eq!((date(0), date(6_750)), ("2000-01-01".into(), "2018-06-25".into()));
    }
}
