//! The desk at which a drill trades: it calls Odoo, and writes down each step with its time.

use std::time::Instant;

use lifeboat::clock;
use lifeboat::error::{Error, Kind};
use lifeboat::odoo::rpc::{Failure, Fault, OdooCall};
use serde_json::{Value, json};

use super::boot::Running;
use super::log::duplicate_key;
use super::record::{self, Odd, Record};
use crate::report::finding::State;
use crate::report::traded::Step;
use crate::report::verdict::ms;

/// Why a step was not done.
#[derive(Debug)]
pub enum Wrong {
    /// Odoo refused it, or what it did is wrong.
    Failed(String),
    /// This tenant has nothing for it.
    NothingFor(String),
    /// There was no answer.
    NoAnswer(Error),
}

impl From<Odd> for Wrong {
    fn from(what: Odd) -> Wrong {
        Wrong::Failed(what)
    }
}

/// Fails the step, unless it is so.
///
/// # Errors
/// [`Wrong::Failed`].
pub fn ensure(is_so: bool, what: impl FnOnce() -> String) -> Result<(), Wrong> {
    if is_so { Ok(()) } else { Err(Wrong::Failed(what())) }
}

/// The desk, and what was done at it.
pub struct Desk<'a> {
    /// The Odoo.
    pub odoo: &'a mut Running,
    /// The steps until now.
    pub steps: Vec<Step>,
    flow: &'static str,
    step: &'static str,
    begun: Instant,
    log_from: u64,
}

impl<'a> Desk<'a> {
    /// A desk at which nothing was done.
    pub fn at(odoo: &'a mut Running) -> Desk<'a> {
        Desk { odoo, steps: Vec::new(), flow: "", step: "", begun: clock::instant(), log_from: 0 }
    }

    /// Odoo's major version.
    pub fn major(&self) -> u32 {
        self.odoo.entrance.major
    }

    /// From here on, steps are of this flow.
    pub fn flow(&mut self, name: &'static str) {
        self.flow = name;
        self.begin(name);
    }

    /// The next step begins.
    pub fn begin(&mut self, step: &'static str) {
        (self.step, self.begun, self.log_from) = (step, clock::instant(), self.odoo.log.bytes());
    }

    /// It is done, and right.
    pub fn done(&mut self, what: impl Into<String>) {
        self.record(State::Done, what.into());
    }

    /// It is not done, and with it the flow.
    ///
    /// # Errors
    /// Only that the drill was stopped.
    pub fn end(&mut self, wrong: Wrong) -> Result<(), Error> {
        match wrong {
            Wrong::NoAnswer(error) if error.kind() == Kind::Interrupted => return Err(error),
            Wrong::NoAnswer(error) => {
                let what = match self.odoo.ended() {
                    Some(how) => format!("Odoo ended with {how}: {}", self.odoo.log.cause()),
                    None => error.what().to_owned(),
                };
                self.record(State::Failed, what);
            }
            Wrong::Failed(mut what) => {
                if let Some(key) = duplicate_key(&self.odoo.log.since(self.log_from))
                    && !what.contains(&key)
                {
                    what = format!("{key} ({what})");
                }
                self.record(State::Failed, what);
            }
            Wrong::NothingFor(what) => self.record(State::NotRun, what),
        }
        Ok(())
    }

    fn record(&mut self, state: State, what: String) {
        let (flow, name) = (self.flow.to_owned(), self.step.to_owned());
        self.steps.push(Step { flow, name, state, ms: ms(self.begun.elapsed()), what });
    }

    /// Calls a method.
    ///
    /// # Errors
    /// [`Wrong`].
    pub async fn call(&mut self, call: OdooCall) -> Result<Value, Wrong> {
        self.odoo.api.send(call).await.map_err(|failure| match failure {
            Failure::Fault(Fault { message, .. }) => Wrong::Failed(message),
            Failure::Unknown(error) => Wrong::NoAnswer(error),
        })
    }

    /// Creates a record.
    ///
    /// # Errors
    /// [`Wrong`].
    pub async fn create(&mut self, model: &str, values: Value) -> Result<i64, Wrong> {
        self.create_in(model, values, &[]).await
    }

    /// The same with keys of the context.
    ///
    /// # Errors
    /// [`Wrong`].
    pub async fn create_in(
        &mut self,
        model: &str,
        values: Value,
        context: &[(&str, Value)],
    ) -> Result<i64, Wrong> {
        let mut call = OdooCall::of(model, "create").arg("vals_list", json!([values]));
        for (key, value) in context {
            call = call.context(key, value.clone());
        }
        let answer = self.call(call).await?;
        record::created(&answer).ok_or_else(|| Wrong::Failed(format!("{model} was not created")))
    }

    /// Writes values into a record.
    ///
    /// # Errors
    /// [`Wrong`].
    pub async fn write(&mut self, model: &str, id: i64, values: Value) -> Result<(), Wrong> {
        self.call(OdooCall::of(model, "write").ids([id]).arg("vals", values)).await.map(drop)
    }

    /// Calls a method of records that needs no arguments.
    ///
    /// # Errors
    /// [`Wrong`].
    pub async fn act(&mut self, model: &str, method: &str, ids: &[i64]) -> Result<Value, Wrong> {
        self.call(OdooCall::of(model, method).ids(ids)).await
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`Wrong`].
    pub async fn read(&mut self, model: &str, id: i64, fields: &[&str]) -> Result<Record, Wrong> {
        let all = self.read_all(model, &[id], fields).await?;
        all.into_iter().next().ok_or_else(|| Wrong::Failed(format!("{model} {id} is gone")))
    }

    /// Reads records.
    ///
    /// # Errors
    /// [`Wrong`].
    pub async fn read_all(
        &mut self,
        model: &str,
        ids: &[i64],
        fields: &[&str],
    ) -> Result<Vec<Record>, Wrong> {
        let call = OdooCall::of(model, "read").ids(ids).named("fields", json!(fields));
        Ok(Record::all(self.call(call).await?)?)
    }

    /// Finds records and reads them, the newest first.
    ///
    /// # Errors
    /// [`Wrong`].
    pub async fn find(
        &mut self,
        model: &str,
        domain: Value,
        fields: &[&str],
        limit: u32,
    ) -> Result<Vec<Record>, Wrong> {
        let call = OdooCall::of(model, "search_read").arg("domain", domain).named("fields", json!(fields));
        Ok(Record::all(self.call(call.named("limit", limit).named("order", "id desc")).await?)?)
    }
}
