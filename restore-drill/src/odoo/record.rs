//! What Odoo answers, read with types: amounts are decimals, and a wrong shape is a text and no panic.

use lifeboat::postgres::decimal::Decimal;
use serde_json::{Map, Value};

/// The fields of a record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record(Map<String, Value>);

/// A field that has not the shape that was expected.
pub type Odd = String;

impl Record {
    /// All records of the answer to `read` or `search_read`.
    ///
    /// # Errors
    /// If it is no list of objects.
    pub fn all(answer: Value) -> Result<Vec<Record>, Odd> {
        let Value::Array(all) = answer else {
            return Err(format!("not a list of records: {}", short(&answer)));
        };
        let one = |value| match value {
            Value::Object(fields) => Ok(Record(fields)),
            other => Err(format!("not a record: {}", short(&other))),
        };
        all.into_iter().map(one).collect()
    }

    fn field(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or(&Value::Null)
    }

    fn odd(&self, name: &str, wanted: &str) -> Odd {
        format!("{name} is {}, not {wanted}", short(self.field(name)))
    }

    /// A text; Odoo's `false` is an empty one.
    pub fn text(&self, name: &str) -> String {
        self.field(name).as_str().unwrap_or_default().to_owned()
    }

    /// Whether it is set.
    pub fn is(&self, name: &str) -> bool {
        !matches!(self.field(name), Value::Null | Value::Bool(false))
    }

    /// The number of the record itself.
    ///
    /// # Errors
    /// If it has none.
    pub fn own_id(&self) -> Result<i64, Odd> {
        self.field("id").as_i64().ok_or_else(|| self.odd("id", "a number"))
    }

    /// The number of another record (many2one), if it is set.
    pub fn id(&self, name: &str) -> Option<i64> {
        let field = self.field(name);
        field.as_i64().or_else(|| field.get(0)?.as_i64())
    }

    /// The numbers of other records.
    ///
    /// # Errors
    /// If it is no list of numbers.
    pub fn ids(&self, name: &str) -> Result<Vec<i64>, Odd> {
        ids(self.field(name)).ok_or_else(|| self.odd(name, "a list of numbers"))
    }

    /// An amount, exactly as Odoo wrote it.
    ///
    /// # Errors
    /// If it is no number.
    pub fn amount(&self, name: &str) -> Result<Decimal, Odd> {
        amount(self.field(name)).ok_or_else(|| self.odd(name, "an amount"))
    }
}

/// A number as it was written: the shortest decimals that mean it.
pub fn amount(value: &Value) -> Option<Decimal> {
    let Value::Number(number) = value else { return None };
    let text = number.to_string();
    // Quantities come with noise of binary arithmetic, such as 0.30000000000000004 or 1e-15.
    text.parse().ok().or_else(|| format!("{:.9}", number.as_f64()?).parse().ok())
}

/// A list of numbers.
pub fn ids(value: &Value) -> Option<Vec<i64>> {
    value.as_array()?.iter().map(Value::as_i64).collect()
}

/// The record that `create` made: 17 answers its number, JSON-2 a list.
pub fn created(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.get(0)?.as_i64())
}

/// A value for a message.
pub fn short(value: &Value) -> String {
    value.to_string().chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_are_what_was_written_and_oddities_are_told() {
        let all = Record::all(json!([{
            "id": 3, "name": "S00001", "amount_total": 110.06, "qty": 0.30000000000000004, "tiny": 1e-15,
            "partner_id": [7, "Shop"], "line_ids": [1, 2], "note": false, "whole": 5
        }]))
        .unwrap();
        let one = &all[0];
        let text = |name: &str| one.amount(name).unwrap().to_string();
        assert_eq!(
            (text("amount_total"), text("qty"), text("tiny"), text("whole")),
            ("110.06".into(), "0.30".into(), "0.00".into(), "5.00".into())
        );
        assert_eq!((one.own_id(), one.id("partner_id"), one.id("note")), (Ok(3), Some(7), None));
        assert_eq!(
            (one.ids("line_ids"), one.text("note"), one.is("note")),
            (Ok(vec![1, 2]), String::new(), false)
        );
        assert_eq!(one.amount("name").unwrap_err(), "name is \"S00001\", not an amount");
        assert!(Record::all(json!({"a": 1})).is_err() && Record::all(json!([1])).is_err());
        assert_eq!((created(&json!(5)), created(&json!([6])), created(&json!({}))), (Some(5), Some(6), None));
    }
}
