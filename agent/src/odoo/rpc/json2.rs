//! The JSON-2 API of Odoo 19 and newer: `POST /json/2/<model>/<method>` with an API key. The service `common`
//! of JSON-RPC, which logs in, goes away in 22.

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::address::OdooUrl;
use super::answer::one_line;
use super::call::OdooCall;
use super::failure::{Failure, Fault};
use super::wire::{self, no_answer};
use crate::error::{Error, Kind, Result};

/// Names the database, where the address serves more than one.
const DATABASE: &str = "X-Odoo-Database";

/// A user with an API key.
pub struct Json2Client {
    http: reqwest::Client,
    url: OdooUrl,
    database: String,
    key: String,
    cancel: CancellationToken,
}

#[derive(Deserialize)]
struct Refused {
    #[serde(default)]
    name: String,
    #[serde(default)]
    message: String,
}

impl Json2Client {
    /// A client; nothing is sent. The key is never shown.
    ///
    /// # Errors
    /// `Internal`.
    pub fn new(url: OdooUrl, database: &str, key: String, cancel: &CancellationToken) -> Result<Json2Client> {
        let http = wire::client(&url)?;
        Ok(Json2Client { http, url, database: database.to_owned(), key, cancel: cancel.clone() })
    }

    /// Calls a method of a model.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn send(&self, call: &OdooCall) -> Result<Value, Failure> {
        let mut endpoint = self.url.endpoint();
        endpoint.set_path(&format!("/json/2/{}/{}", call.model, call.method));
        let request = self
            .http
            .post(endpoint)
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, format!("bearer {}", self.key))
            .header(DATABASE, &self.database)
            .body(call.by_name().to_string());
        let reply = tokio::select! {
            reply = wire::whole(request, &self.url) => reply?,
            () = self.cancel.cancelled() => {
                return Err(Error::new(Kind::Interrupted, "stopped by a signal").into());
            }
        };
        self.decode(reply.status, &reply.body)
    }

    fn decode(&self, status: u16, body: &[u8]) -> Result<Value, Failure> {
        let odd = |why: String| Failure::from(no_answer(&self.url, "no whole answer").because(why));
        if (200..300).contains(&status) {
            return serde_json::from_slice(body).map_err(|e| odd(format!("the answer is not JSON: {e}")));
        }
        match serde_json::from_slice::<Refused>(body) {
            Ok(refused) if !refused.name.is_empty() => Err(Failure::Fault(Fault {
                name: one_line(&refused.name),
                message: one_line(&refused.message),
            })),
            _ => Err(no_answer(&self.url, &format!("HTTP {status}")).into()), // a page of a proxy, or of Odoo
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_odoo_refuses_is_told_from_what_is_no_answer_of_it() {
        let url = OdooUrl::parse("http://127.0.0.1:1", false).unwrap();
        let client = Json2Client::new(url, "d", "k".into(), &CancellationToken::new()).unwrap();
        assert_eq!(client.decode(200, b"[3]").unwrap(), serde_json::json!([3]));
        let refused =
            br#"{"name": "odoo.exceptions.UserError", "message": "Nothing to\npay", "debug": "..."}"#;
        match client.decode(422, refused) {
            Err(Failure::Fault(fault)) => assert_eq!(fault.message, "Nothing to pay"),
            other => panic!("{other:?}"),
        }
        for (status, body) in [(502, &b"<html>Bad Gateway</html>"[..]), (200, b"<html>"), (404, b"{}")] {
            assert!(matches!(client.decode(status, body), Err(Failure::Unknown(_))), "{status}");
        }
    }
}
