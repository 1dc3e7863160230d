//! Numbers of Odoo, which are floating-point in JSON, as decimals that can be compared.

use serde_json::Value;

use crate::postgres::decimal::Decimal;

/// Decimals that are compared. Odoo's currencies and quantities have fewer.
const PLACES: usize = 6;

/// The number, rounded to 6 decimals.
pub fn decimal(value: &Value) -> Option<Decimal> {
    rounded(value.as_f64()?)
}

/// The same of a decimal, so that both can be compared.
pub fn comparable(number: Decimal) -> Option<Decimal> {
    rounded(number.to_string().parse().ok()?)
}

/// A number as JSON: Odoo takes no decimals as text.
pub fn json(number: Decimal) -> Option<Value> {
    let number: f64 = number.to_string().parse().ok()?;
    serde_json::Number::from_f64(number).map(Value::Number)
}

fn rounded(number: f64) -> Option<Decimal> {
    let text = format!("{number:.PLACES$}");
    let text = if text.trim_start_matches('-').chars().all(|c| c == '0' || c == '.') { "0" } else { &text };
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_floating_point_adds_is_no_difference() {
        let of = |value: Value| decimal(&value).unwrap();
        assert_eq!(of(json!(0.1 + 0.2)), "0.3".parse().unwrap());
        assert_eq!(of(json!(-0.000_000_01)), Decimal::ZERO);
        assert_eq!(of(json!(12)), comparable("12.00".parse().unwrap()).unwrap());
        assert_ne!(of(json!(110.05)), of(json!(110.06)));
        assert_eq!(decimal(&json!("12")), None);
        assert_eq!(super::json("110.06".parse().unwrap()), Some(json!(110.06)));
    }
}
