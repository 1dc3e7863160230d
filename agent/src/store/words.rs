//! How errors speak of a repository's place: a bucket in S3 and Google, a container of a storage account in Azure.

use crate::clock::{self, Timestamp};

/// A place's names.
#[derive(Debug)]
pub(super) struct Words {
    /// The URL, without a trailing slash and without secrets.
    pub(super) url: String,
    /// What it is there, as "the bucket acme".
    pub(super) place: String,
    /// What gives credentials, where none were found.
    pub(super) credentials: &'static str,
    /// When the credentials expire, where they tell.
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

    /// What to do where the place is not there.
    pub(super) fn missing(&self) -> String {
        format!("create {} or correct the URL, then run lifeboat init", self.place)
    }
}
