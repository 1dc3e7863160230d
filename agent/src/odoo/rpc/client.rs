//! Calls.

use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::address::OdooUrl;
use super::answer::decode;
use super::failure::{Failure, Fault};
use super::wire::{self, no_answer, whole_of_success};
use crate::error::{Error, Kind, Result};

/// Who calls, and which database.
pub struct OdooLogin {
    /// The database.
    pub database: String,
    /// The login of the user.
    pub user: String,
    /// The password, or an API key; never shown.
    pub password: String,
}

/// A user who logged in to a database.
pub struct OdooClient {
    http: reqwest::Client,
    url: OdooUrl,
    login: OdooLogin,
    uid: i64,
    version: (u32, String),
    calls: u64,
    cancel: CancellationToken,
}

impl OdooClient {
    /// Logs in; nothing is written.
    ///
    /// # Errors
    /// `Unreachable` without an answer; `Denied` for a wrong user or password; `NotFound` for a database that
    /// does not exist; `Interrupted`.
    pub async fn log_in(url: OdooUrl, login: OdooLogin, cancel: &CancellationToken) -> Result<OdooClient> {
        let http = wire::client(&url)?;
        let mut client = OdooClient {
            http,
            url,
            login,
            uid: 0,
            version: (0, String::new()),
            calls: 0,
            cancel: cancel.clone(),
        };
        client.version = client.ask_version().await?;
        client.uid = client.authenticate().await?;
        Ok(client)
    }

    /// The major version, and the whole one.
    pub fn version(&self) -> (u32, &str) {
        (self.version.0, &self.version.1)
    }

    /// The number of the user.
    pub fn uid(&self) -> i64 {
        self.uid
    }

    /// Where it is.
    pub fn url(&self) -> &OdooUrl {
        &self.url
    }

    /// The database.
    pub fn database(&self) -> &str {
        &self.login.database
    }

    /// Calls a method of a model.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn call(
        &mut self,
        model: &str,
        method: &str,
        args: Value,
        named: Value,
    ) -> Result<Value, Failure> {
        let OdooLogin { database, password, .. } = &self.login;
        let args = json!([database, self.uid, password, model, method, args, named]);
        self.post("object", "execute_kw", args).await
    }

    async fn ask_version(&mut self) -> Result<(u32, String)> {
        let answer = self.post("common", "version", json!([])).await.map_err(|e| self.not_odoo(e))?;
        let text = answer["server_version"].as_str().unwrap_or_default().to_owned();
        let major = answer["server_version_info"][0].as_u64().and_then(|major| u32::try_from(major).ok());
        let major = major.or_else(|| text.split('.').next()?.rsplit(['~', '-']).next()?.parse().ok());
        major.map(|major| (major, text)).ok_or_else(|| {
            Error::new(Kind::Unreachable, format!("{} does not tell the version of an Odoo", self.url))
        })
    }

    async fn authenticate(&mut self) -> Result<i64> {
        let OdooLogin { database, user, password } = &self.login;
        let (database, user) = (database.clone(), user.clone());
        let answer = self.post("common", "authenticate", json!([database, user, password, {}])).await;
        let url = self.url.clone();
        let denied = |what: String| Error::new(Kind::Denied, what).effect("nothing was read or written");
        match answer {
            Ok(uid) => uid.as_i64().filter(|uid| *uid > 0).ok_or_else(|| {
                denied(format!("{url} refuses user {user} for database {database}"))
                    .next("check --user, the password, and that the user is active in this database")
            }),
            Err(Failure::Fault(Fault { name, .. })) if name.ends_with("OperationalError") => {
                Err(Error::new(Kind::NotFound, format!("{url} cannot open database {database}"))
                    .effect("nothing was read or written")
                    .next("name the database of the restored tenant: --database"))
            }
            Err(Failure::Fault(fault)) => Err(denied(format!("{url} refuses to log in: {}", fault.message))),
            Err(Failure::Unknown(error)) => Err(error.effect("nothing was read or written")),
        }
    }

    fn not_odoo(&self, failure: Failure) -> Error {
        match failure {
            Failure::Fault(fault) => {
                Error::new(Kind::Unreachable, format!("{} does not answer as an Odoo", self.url))
                    .because(fault.message)
            }
            Failure::Unknown(error) => error.effect("nothing was read or written"),
        }
    }

    async fn post(&mut self, service: &str, method: &str, args: Value) -> Result<Value, Failure> {
        self.calls += 1;
        let body = json!({
            "jsonrpc": "2.0",
            "method": "call",
            "id": self.calls,
            "params": { "service": service, "method": method, "args": args },
        });
        let request = self.http.post(self.url.endpoint()).header(CONTENT_TYPE, "application/json");
        let answer = tokio::select! {
            answer = whole_of_success(request.body(body.to_string()), &self.url) => answer?,
            () = self.cancel.cancelled() => {
                return Err(Failure::Unknown(Error::new(Kind::Interrupted, "stopped by a signal")));
            }
        };
        match decode(&answer, self.calls) {
            Ok(result) => result.map_err(Failure::Fault),
            Err(why) => Err(no_answer(&self.url, "no whole answer").because(why).into()),
        }
    }
}
