//! What a dump needs of the target server, and one thing that the server lacks.

use serde::Serialize;

use super::Choices;
use super::rights::Loads;
use crate::postgres::database::DatabaseProperties;

/// Something that the server lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lack {
    /// What it lacks, as a sentence without a full stop.
    pub what: String,
    /// How to correct it.
    pub remedy: String,
    /// Whether everything else can be restored without it.
    #[serde(skip)]
    pub soft: bool,
}

/// What the load needs.
pub struct Asked<'a> {
    /// The recorded properties of the database.
    pub properties: &'a DatabaseProperties,
    /// Its extensions with their versions.
    pub versions: &'a [(String, Option<String>)],
    /// The role that gets everything, if one was named.
    pub by_owner: Option<&'a str>,
    /// The role that loads the dump.
    pub loads: Loads,
    /// What a person decided.
    pub choices: &'a Choices,
}
