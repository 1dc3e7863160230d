//! The way to call that a version of Odoo has.

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::address::OdooUrl;
use super::call::OdooCall;
use super::client::{OdooClient, OdooLogin};
use super::failure::Failure;
use super::json2::Json2Client;
use crate::error::Result;

/// The first version with JSON-2.
const JSON2: u32 = 19;

/// A user of an Odoo, and the context of all of its calls.
pub struct OdooApi {
    way: Way,
    context: Map<String, Value>,
}

enum Way {
    JsonRpc(Box<OdooClient>),
    Json2(Json2Client),
}

impl OdooApi {
    /// Logs in to an Odoo of this major version: with the password over JSON-RPC, from 19 on with the API
    /// key over JSON-2.
    ///
    /// # Errors
    /// Those of [`OdooClient::log_in`], or a [`Failure`] of the first call.
    pub async fn log_in(
        major: u32,
        url: OdooUrl,
        login: OdooLogin,
        key: &str,
        cancel: &CancellationToken,
    ) -> Result<OdooApi, Failure> {
        let way = match major {
            JSON2.. => {
                let client = Json2Client::new(url, &login.database, key.to_owned(), cancel)?;
                client.send(&OdooCall::of("res.users", "context_get")).await?;
                Way::Json2(client)
            }
            _ => Way::JsonRpc(Box::new(OdooClient::log_in(url, login, cancel).await?)),
        };
        Ok(OdooApi { way, context: Map::new() })
    }

    /// Sets a key of the context of all later calls.
    pub fn set_context(&mut self, key: &str, value: impl Into<Value>) {
        self.context.insert(key.to_owned(), value.into());
    }

    /// Calls a method of a model.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn send(&mut self, call: OdooCall) -> Result<Value, Failure> {
        let call = call.within(&self.context);
        match &mut self.way {
            Way::JsonRpc(client) => {
                let (args, named) = call.by_position();
                client.call(&call.model, &call.method, args, named).await
            }
            Way::Json2(client) => client.send(&call).await,
        }
    }
}
