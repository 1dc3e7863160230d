//! Fields of a binary COPY as text and as JSON, exactly: decimals are text with the digits that are stored.

use serde_json::Value;

use crate::clock::Timestamp;
use crate::postgres::table::Type;

/// From 1970 to 2000, where PostgreSQL begins to count.
const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;
const DAY_MICROSECONDS: i64 = 86_400_000_000;

/// The field as text.
pub fn text(kind: Type, bytes: &[u8]) -> String {
    match kind {
        Type::Text | Type::Json => String::from_utf8_lossy(bytes).into_owned(),
        Type::Jsonb => String::from_utf8_lossy(bytes.get(1..).unwrap_or_default()).into_owned(),
        Type::Int => int(bytes).to_string(),
        Type::Bool => (bytes != [0]).to_string(),
        Type::Numeric => numeric(bytes),
        Type::Float => float(bytes).to_string(),
        Type::Time => time(int(bytes)),
        Type::Date => {
            let days = int(bytes);
            let whole = days.checked_mul(DAY_MICROSECONDS).map_or_else(|| endless(days), time);
            whole.strip_suffix("T00:00:00Z").map_or(whole.clone(), str::to_owned)
        }
    }
}

/// The field as JSON: numbers only where JSON holds them exactly.
pub fn json(kind: Type, bytes: &[u8]) -> Value {
    match kind {
        Type::Int => int(bytes).into(),
        Type::Bool => (bytes != [0]).into(),
        Type::Float => match serde_json::Number::from_f64(float(bytes)) {
            Some(number) => Value::Number(number),
            None => float(bytes).to_string().into(),
        },
        _ => text(kind, bytes).into(),
    }
}

/// Whether a spreadsheet may read such a field as it is: a number is no formula.
pub fn is_number(kind: Type) -> bool {
    matches!(kind, Type::Int | Type::Numeric | Type::Float)
}

/// A whole number of 2, 4 or 8 bytes; 0 where it is not one.
pub fn int(bytes: &[u8]) -> i64 {
    match *bytes {
        [a, b] => i16::from_be_bytes([a, b]).into(),
        [a, b, c, d] => i32::from_be_bytes([a, b, c, d]).into(),
        _ => bytes.try_into().map_or(0, i64::from_be_bytes),
    }
}

fn float(bytes: &[u8]) -> f64 {
    match *bytes {
        // the shortest text of 4 bytes is not that of the same number in 8
        [a, b, c, d] => {
            let short = f32::from_be_bytes([a, b, c, d]);
            short.to_string().parse().unwrap_or_else(|_| short.into())
        }
        _ => bytes.try_into().map_or(f64::NAN, f64::from_be_bytes),
    }
}

fn time(since_2000: i64) -> String {
    let time = since_2000.checked_add(EPOCH_MICROSECONDS);
    let time = time.and_then(|since_1970| Timestamp::from_microsecond(since_1970).ok());
    time.map_or_else(|| endless(since_2000), |time| time.to_string())
}

/// PostgreSQL's infinities, and times that no calendar of ours has.
fn endless(number: i64) -> String {
    if number < 0 { "-infinity".to_owned() } else { "infinity".to_owned() }
}

/// `numeric_send`: digits of base 10,000, the first of them worth 10,000^weight, and how many decimals are
/// shown.
fn numeric(bytes: &[u8]) -> String {
    let word = |at: i64| {
        let at = usize::try_from(at).ok().map(|at| 2 * at);
        at.and_then(|at| bytes.get(at..at + 2)).map_or(0, |pair| u16::from_be_bytes([pair[0], pair[1]]))
    };
    let (count, weight, scale) = (i64::from(word(0)), i64::from(word(1) as i16), usize::from(word(3)));
    let sign = match word(2) {
        0 => "",
        0x4000 => "-",
        0xD000 => return "Infinity".to_owned(),
        0xF000 => return "-Infinity".to_owned(),
        _ => return "NaN".to_owned(),
    };
    let digit = |index: i64| if (0..count).contains(&index) { word(4 + index) } else { 0 };
    let mut whole: String = (0..=weight).map(|index| format!("{:04}", digit(index))).collect();
    whole = whole.trim_start_matches('0').to_owned();
    if whole.is_empty() {
        whole.push('0');
    }
    if scale == 0 {
        return format!("{sign}{whole}");
    }
    let groups = i64::try_from(scale.div_ceil(4)).unwrap_or(0);
    let rest: String = (1..=groups).map(|index| format!("{:04}", digit(weight + index))).collect();
    format!("{sign}{whole}.{}", &rest[..scale.min(rest.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(weight: i16, sign: u16, scale: u16, digits: &[u16]) -> String {
        let head = [digits.len() as u16, weight as u16, sign, scale];
        let bytes: Vec<u8> = head.iter().chain(digits).flat_map(|word| word.to_be_bytes()).collect();
        text(Type::Numeric, &bytes)
    }

    #[test]
    fn decimals_keep_every_digit_that_is_stored() {
        assert_eq!(number(0, 0, 2, &[10, 1000]), "10.10");
        assert_eq!(number(1, 0x4000, 0, &[12, 3400]), "-123400");
        assert_eq!(number(-1, 0, 2, &[500]), "0.05");
        assert_eq!(number(-2, 0, 7, &[1234]), "0.0000123");
        assert_eq!(number(0, 0, 3, &[]), "0.000");
        assert_eq!(number(2, 0, 1, &[1]), "100000000.0");
        assert_eq!(number(0, 0xC000, 0, &[]), "NaN");
        assert_eq!(number(0, 0xF000, 0, &[]), "-Infinity");
    }

    #[test]
    fn other_types_are_as_odoo_shows_them() {
        assert_eq!(text(Type::Date, &366_i32.to_be_bytes()), "2001-01-01");
        assert_eq!(text(Type::Date, &i32::MAX.to_be_bytes()), "infinity");
        assert_eq!(text(Type::Time, &86_400_000_001_i64.to_be_bytes()), "2000-01-02T00:00:00.000001Z");
        assert_eq!(text(Type::Time, &i64::MIN.to_be_bytes()), "-infinity");
        assert_eq!(json(Type::Bool, &[1]), true);
        assert_eq!(json(Type::Int, &7_i16.to_be_bytes()), 7);
        assert_eq!(json(Type::Float, &0.1_f64.to_be_bytes()), 0.1);
        assert_eq!(text(Type::Float, &0.1_f32.to_be_bytes()), "0.1");
        assert_eq!(json(Type::Float, &f64::NAN.to_be_bytes()), "NaN");
        assert_eq!(text(Type::Jsonb, b"\x01{\"a\": 1}"), "{\"a\": 1}");
    }
}
