//! The flag that tells whose manifests are believed.

use crate::config::Config;
use crate::error::Result;
use crate::repository::snapshots::Trust;

/// The flag of every command that reads manifests.
#[derive(clap::Args, Debug, Clone, Copy)]
pub struct TrustArgs {
    /// Also accept manifests that no trusted key signed. Damage is still found, forgery is not: whoever can
    /// write to the repository can then make up a snapshot
    #[arg(long)]
    accept_unsigned: bool,
}

impl TrustArgs {
    /// Whose manifests are believed.
    ///
    /// # Errors
    /// `Config` where no key is trusted and the check was not given up.
    pub fn trust(self, config: &Config) -> Result<Trust> {
        if self.accept_unsigned {
            return Ok(Trust::Anyone);
        }
        Trust::keys(&config.signing.trusted_keys)
    }
}
