//! The restored tenant, through Odoo's RPC.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::mark::MODULE;
use super::stop::{Stop, reason};
use crate::error::{Error, Kind as Cause};
use crate::odoo::rpc::{Failure, OdooClient};

/// What each call tells Odoo: times are UTC, names are not translated, nobody is subscribed or told.
fn context(more: Value) -> Value {
    let mut context = json!({
        "tz": "UTC",
        "lang": "en_US",
        "tracking_disable": true,
        "mail_create_nosubscribe": true,
        "mail_notify_force_send": false,
        "mail_auto_subscribe_no_notify": true,
    });
    if let (Some(all), Value::Object(more)) = (context.as_object_mut(), more) {
        all.extend(more);
    }
    context
}

/// A tenant.
pub struct Target {
    client: OdooClient,
    fields: HashMap<String, BTreeSet<String>>,
}

impl Target {
    /// That of this user.
    pub fn new(client: OdooClient) -> Target {
        Target { client, fields: HashMap::new() }
    }

    /// Odoo's major version.
    pub fn major(&self) -> u32 {
        self.client.version().0
    }

    /// The user.
    pub fn uid(&self) -> i64 {
        self.client.uid()
    }

    /// Who answers.
    pub fn client(&self) -> &OdooClient {
        &self.client
    }

    /// Calls a method.
    ///
    /// # Errors
    /// [`Stop::Refused`] or [`Stop::Broken`].
    pub async fn call(&mut self, model: &str, method: &str, args: Value) -> Result<Value, Stop> {
        self.call_with(model, method, args, json!({}), json!({})).await
    }

    /// Calls a method with named arguments, and with more in its context.
    ///
    /// # Errors
    /// As [`Target::call`].
    pub async fn call_with(
        &mut self,
        model: &str,
        method: &str,
        args: Value,
        mut named: Value,
        more: Value,
    ) -> Result<Value, Stop> {
        named["context"] = context(more);
        Ok(self.client.call(model, method, args, named).await?)
    }

    /// The names of a model's fields; none if the model is not installed or the user may not see it.
    ///
    /// # Errors
    /// [`Stop::Broken`].
    pub async fn fields(&mut self, model: &str) -> Result<&BTreeSet<String>, Stop> {
        if !self.fields.contains_key(model) {
            let named = json!({ "attributes": ["type"], "context": context(json!({})) });
            let names = match self.client.call(model, "fields_get", json!([]), named).await {
                Ok(Value::Object(fields)) => fields.into_iter().map(|(name, _)| name).collect(),
                Ok(_) | Err(Failure::Fault(_)) => BTreeSet::new(),
                Err(Failure::Unknown(error)) => return Err(Stop::Broken(error)),
            };
            self.fields.insert(model.to_owned(), names);
        }
        self.fields.get(model).ok_or_else(|| Stop::Broken(internal("the fields of a model")))
    }

    /// The first of these fields that a model has.
    ///
    /// # Errors
    /// [`Stop::Refused`] if it has none of them.
    pub async fn field(&mut self, model: &str, names: &[&'static str]) -> Result<&'static str, Stop> {
        let has = self.fields(model).await?;
        if has.is_empty() {
            return Stop::refused(format!(
                "model {model} is not installed in the tenant, or the user may not use it"
            ));
        }
        let name = names.iter().find(|name| has.contains(**name)).copied();
        name.map_or_else(|| Stop::refused(format!("model {model} has no field {}", names.join(" or "))), Ok)
    }

    /// Rows by a condition.
    ///
    /// # Errors
    /// As [`Target::call`].
    pub async fn find(
        &mut self,
        model: &str,
        domain: Value,
        fields: &[&str],
        limit: u32,
    ) -> Result<Vec<Map<String, Value>>, Stop> {
        let named = json!({ "fields": fields, "limit": limit, "order": "id" });
        let rows = self
            .call_with(model, "search_read", json!([domain]), named, json!({ "active_test": false }))
            .await?;
        let Value::Array(rows) = rows else { return Err(Stop::Broken(internal("rows that were searched"))) };
        let rows = rows.into_iter().map(|row| match row {
            Value::Object(row) => Ok(row),
            _ => Err(Stop::Broken(internal("a row"))),
        });
        rows.collect()
    }

    /// One row.
    ///
    /// # Errors
    /// As [`Target::call`]; `Refused` if it does not exist.
    pub async fn row(&mut self, model: &str, id: i64, fields: &[&str]) -> Result<Map<String, Value>, Stop> {
        let rows = self.find(model, json!([["id", "=", id]]), fields, 1).await?;
        rows.into_iter().next().map_or_else(
            || {
                Stop::refused(format!(
                    "{model} {id} was entered, and does not exist or is hidden from the user"
                ))
            },
            Ok,
        )
    }

    /// The row with this mark.
    ///
    /// # Errors
    /// `Refused` if the mark exists and the user may not see its row.
    pub async fn marked(&mut self, model: &str, mark: &str) -> Result<Option<i64>, Stop> {
        let named = json!({ "context": context(json!({ "active_test": false })) });
        let asked = self.client.call("ir.model.data", "check_object_reference", json!([MODULE, mark]), named);
        match asked.await {
            Ok(answer) if answer[0] == model => match answer[1].as_i64() {
                Some(id) => Ok(Some(id)),
                None => Stop::refused("it was entered before, and is hidden from the user"),
            },
            Ok(_) => Stop::refused(format!("external ID {MODULE}.{mark} is of another model")),
            Err(Failure::Fault(fault)) if fault.name.ends_with("ValueError") => Ok(None),
            Err(Failure::Fault(fault)) => Stop::refused(reason(&fault)),
            Err(Failure::Unknown(error)) => Err(Stop::Broken(error)),
        }
    }
}

/// An answer that does not have the form of this method.
pub fn internal(what: &str) -> Error {
    Error::new(Cause::Unreachable, format!("Odoo did not answer with {what}"))
}
