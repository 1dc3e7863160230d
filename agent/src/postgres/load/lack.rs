//! What is asked of the server that a dump goes to, and one thing that it lacks.

use serde::Serialize;

use super::Choices;
use super::rights::Loads;
use crate::postgres::database::DatabaseProperties;

/// Something that the server lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lack {
    /// What, in a sentence without a full stop.
    pub what: String,
    /// What mends it.
    pub mend: String,
    /// Whether everything else can be restored without it.
    #[serde(skip)]
    pub soft: bool,
}

/// What is asked.
pub struct Asked<'a> {
    /// The database as it was.
    pub properties: &'a DatabaseProperties,
    /// Its extensions with their versions.
    pub versions: &'a [(String, Option<String>)],
    /// The role that gets everything, where one was named.
    pub by_owner: Option<&'a str>,
    /// As whom the dump is loaded.
    pub loads: Loads,
    /// What a person decided.
    pub choices: &'a Choices,
}
