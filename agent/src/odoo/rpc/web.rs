//! Pages of an Odoo, as a browser gets them: whether it is up, and reports.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use serde_json::json;

use super::address::OdooUrl;
use super::answer::decode;
use super::client::OdooLogin;
use super::failure::{Failure, Fault};
use super::wire::{self, Reply, no_answer};
use crate::error::Result;

/// A page.
#[derive(Clone, Debug)]
pub struct OdooPage {
    /// The HTTP status.
    pub status: u16,
    /// Its content; not UTF-8 is replaced.
    pub body: String,
}

/// A browser's session, or none yet.
pub struct OdooWeb {
    http: reqwest::Client,
    url: OdooUrl,
    cookie: Option<String>,
}

impl OdooWeb {
    /// A browser without a session; nothing is sent.
    ///
    /// # Errors
    /// `Internal`.
    pub fn new(url: OdooUrl) -> Result<OdooWeb> {
        Ok(OdooWeb { http: wire::client(&url)?, url, cookie: None })
    }

    /// Logs in.
    ///
    /// # Errors
    /// [`Failure`]: what Odoo refuses, for example a wrong password, or no answer.
    pub async fn log_in(&mut self, login: &OdooLogin) -> Result<(), Failure> {
        let mut endpoint = self.url.endpoint();
        endpoint.set_path("/web/session/authenticate");
        let params = json!({"db": login.database, "login": login.user, "password": login.password});
        let body = json!({"jsonrpc": "2.0", "method": "call", "id": 1, "params": params});
        let request = self.http.post(endpoint).header(CONTENT_TYPE, "application/json");
        let reply = wire::whole(request.body(body.to_string()), &self.url).await?;
        if !(200..300).contains(&reply.status) {
            return Err(no_answer(&self.url, &format!("HTTP {}", reply.status)).into());
        }
        match decode(&reply.body, 1) {
            Ok(Ok(answer)) if answer["uid"].as_i64().is_some() => {}
            Ok(Ok(_)) => {
                let message = "the log-in needs more than a password".to_owned();
                return Err(Failure::Fault(Fault { name: "AccessDenied".to_owned(), message }));
            }
            Ok(Err(fault)) => return Err(Failure::Fault(fault)),
            Err(why) => return Err(no_answer(&self.url, "no whole answer").because(why).into()),
        }
        self.cookie = session(&reply);
        match self.cookie {
            Some(_) => Ok(()),
            None => Err(no_answer(&self.url, "no session").into()),
        }
    }

    /// Gets a page, whatever its status.
    ///
    /// # Errors
    /// `Unreachable` without an answer within `limit`.
    pub async fn page(&self, path: &str, limit: Duration) -> Result<OdooPage> {
        let mut endpoint = self.url.endpoint();
        endpoint.set_path(path);
        let mut request = self.http.get(endpoint).timeout(limit);
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        let reply = wire::whole(request, &self.url).await?;
        Ok(OdooPage { status: reply.status, body: String::from_utf8_lossy(&reply.body).into_owned() })
    }
}

/// `session_id=…` of the answer.
fn session(reply: &Reply) -> Option<String> {
    let all = reply.headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.filter_map(|value| value.split(';').next())
        .find(|cookie| cookie.starts_with("session_id="))
        .map(str::to_owned)
}
