//! Why a document is not entered.

use crate::error::Error;
use crate::odoo::rpc::{Failure, Fault};

/// Why the work on a document ends.
#[derive(Debug)]
pub enum Stop {
    /// It cannot be entered, for this reason; the others can.
    Refused(String),
    /// It is not to be entered, for this reason: nothing is missing.
    LeftOut(String),
    /// Odoo did not answer: the run ends.
    Broken(Error),
}

impl Stop {
    /// It cannot be entered.
    pub fn refused<T>(why: impl Into<String>) -> Result<T, Stop> {
        Err(Stop::Refused(why.into()))
    }

    /// It is not to be entered.
    pub fn left_out<T>(why: impl Into<String>) -> Result<T, Stop> {
        Err(Stop::LeftOut(why.into()))
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        match failure {
            Failure::Unknown(error) => Stop::Broken(error),
            Failure::Fault(fault) => Stop::Refused(reason(&fault)),
        }
    }
}

/// What Odoo said, for people.
pub fn reason(fault: &Fault) -> String {
    match fault.name.rsplit('.').next() {
        Some("AccessError") => format!("access denied: {}", fault.message),
        Some("AccessDenied") => "access denied".to_owned(),
        _ => format!("Odoo refused: {}", fault.message),
    }
}
