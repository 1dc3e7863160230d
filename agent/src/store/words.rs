//! How errors name the place of a repository: a bucket in S3 and Google, a container of a storage account in
//! Azure.

use crate::clock::{self, Timestamp};

/// The names of a place.
#[derive(Debug)]
pub(super) struct Words {
    /// The URL, without a trailing slash and without secrets.
    pub(super) url: String,
    /// The place in the service's words, as in "the bucket acme".
    pub(super) place: String,
    /// Where credentials can be set, for the error when none were found.
    pub(super) credentials: &'static str,
    /// When the credentials expire, where they say so.
    pub(super) expire: Option<Timestamp>,
}

impl Words {
    /// What to do where the store refuses us.
    pub(super) fn denied(&self) -> String {
        match self.expire {
            Some(end) if end <= clock::now() => {
                format!("the SAS token expired at {end}: replace it by a new one")
            }
            _ => format!("check the credentials and that they may read, write and list {}", self.place),
        }
    }

    /// What to do where the place does not exist.
    pub(super) fn missing(&self) -> String {
        format!("create {} or correct the URL, then run lifeboat init", self.place)
    }
}
