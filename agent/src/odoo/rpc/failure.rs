//! How a call fails.

use crate::error::Error;

/// What Odoo answered when it refused; its transaction was rolled back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The class of the error: `odoo.exceptions.AccessError`.
    pub name: String,
    /// Its message, on one line and not too long.
    pub message: String,
}

/// A call that gave no result.
#[derive(Debug)]
pub enum Failure {
    /// Odoo refused, and did nothing.
    Fault(Fault),
    /// There was no whole answer: nobody knows whether Odoo did it.
    Unknown(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Unknown(error)
    }
}
