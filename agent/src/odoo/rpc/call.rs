//! A call of a method, independent of the way it is sent.

use serde_json::{Map, Value, json};

/// A method of a model, and what it is called with.
///
/// JSON-RPC sends the records and the arguments by position; JSON-2 knows all of them by name alone. So each
/// argument has both.
#[derive(Clone, Debug, PartialEq)]
pub struct OdooCall {
    /// The model: `sale.order`.
    pub model: String,
    /// The method: `action_confirm`.
    pub method: String,
    ids: Option<Vec<i64>>,
    args: Vec<(&'static str, Value)>,
    named: Map<String, Value>,
    context: Map<String, Value>,
}

impl OdooCall {
    /// A call on the model itself, without arguments.
    pub fn of(model: &str, method: &str) -> OdooCall {
        OdooCall {
            model: model.to_owned(),
            method: method.to_owned(),
            ids: None,
            args: Vec::new(),
            named: Map::new(),
            context: Map::new(),
        }
    }

    /// On these records.
    pub fn ids(mut self, ids: impl Into<Vec<i64>>) -> OdooCall {
        self.ids = Some(ids.into());
        self
    }

    /// With the next argument by position; its name is the one in Odoo's code.
    pub fn arg(mut self, name: &'static str, value: impl Into<Value>) -> OdooCall {
        self.args.push((name, value.into()));
        self
    }

    /// With an argument that has its name in JSON-RPC, too.
    pub fn named(mut self, name: &str, value: impl Into<Value>) -> OdooCall {
        self.named.insert(name.to_owned(), value.into());
        self
    }

    /// With a key of the context; an earlier value is replaced.
    pub fn context(mut self, key: &str, value: impl Into<Value>) -> OdooCall {
        self.context.insert(key.to_owned(), value.into());
        self
    }

    /// With these keys of the context where the call has no own.
    pub fn within(mut self, context: &Map<String, Value>) -> OdooCall {
        for (key, value) in context {
            self.context.entry(key.clone()).or_insert_with(|| value.clone());
        }
        self
    }

    /// `args` and `kwargs` of `execute_kw`.
    pub fn by_position(&self) -> (Value, Value) {
        let ids = self.ids.iter().map(|ids| json!(ids));
        let args = ids.chain(self.args.iter().map(|(_, value)| value.clone())).collect();
        let mut named = self.named.clone();
        if !self.context.is_empty() {
            named.insert("context".to_owned(), Value::Object(self.context.clone()));
        }
        (Value::Array(args), Value::Object(named))
    }

    /// The body of a JSON-2 call.
    pub fn by_name(&self) -> Value {
        let mut body = self.named.clone();
        if let Some(ids) = &self.ids {
            body.insert("ids".to_owned(), json!(ids));
        }
        for (name, value) in &self.args {
            body.insert((*name).to_owned(), value.clone());
        }
        if !self.context.is_empty() {
            body.insert("context".to_owned(), Value::Object(self.context.clone()));
        }
        Value::Object(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_has_its_form_by_position_and_by_name() {
        let call = OdooCall::of("stock.move", "write")
            .ids([7])
            .arg("vals", json!({"quantity": 2}))
            .context("skip_sms", true)
            .within(json!({"skip_sms": false, "tz": "UTC"}).as_object().unwrap());
        let context = json!({"skip_sms": true, "tz": "UTC"});
        assert_eq!(call.by_position(), (json!([[7], {"quantity": 2}]), json!({ "context": context })));
        assert_eq!(call.by_name(), json!({"ids": [7], "vals": {"quantity": 2}, "context": context}));
        let search = OdooCall::of("a", "search_read").arg("domain", json!([])).named("limit", 1);
        assert_eq!(search.by_position(), (json!([[]]), json!({"limit": 1})));
        assert_eq!(search.by_name(), json!({"domain": [], "limit": 1}));
    }
}
