//! The table `[odoo]` of a plan: the Odoo that is started on the restored copy.

use std::path::PathBuf;
use std::time::Duration;

use lifeboat::error::Result;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::source::Source;

const BOOT_TIMEOUT: Duration = Duration::from_secs(180);
const BOOT_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);

/// The Odoo of the tenant's release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OdooPlan {
    /// The program and its first arguments; ours come after them. It must become Odoo's own process
    /// (`exec`), because it inherits the socket.
    pub command: Vec<String>,
    /// Directories with modules; if empty, those that Odoo finds itself.
    pub addons_path: Vec<PathBuf>,
    /// How long Odoo may take until it answers.
    pub boot_timeout: Duration,
    /// Whether orders, invoices and payments are made.
    pub transactions: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOdoo {
    command: Spanned<Vec<String>>,
    #[serde(default)]
    addons_path: Vec<Spanned<String>>,
    boot_timeout: Option<Spanned<String>>,
    transactions: Option<bool>,
}

impl RawOdoo {
    pub(super) fn read(self, source: &Source<'_>) -> Result<OdooPlan> {
        let at = self.command.span().start;
        let mut command = self.command.into_inner();
        if command.is_empty() {
            return Err(source.wrong(at, "it is empty: name the program, such as [\"/opt/odoo/odoo-bin\"]"));
        }
        if command.iter().any(String::is_empty) {
            return Err(source.wrong(at, "a word of it is empty"));
        }
        // A relative path is beside the plan; without a slash it is a program on the PATH.
        if let (true, Some(dir)) = (command[0].contains('/'), source.path.parent()) {
            command[0] = dir.join(&command[0]).display().to_string();
        }
        let mut addons_path = Vec::new();
        for dir in self.addons_path {
            if dir.as_ref().contains(',') {
                return Err(source.wrong(dir.span().start, "Odoo takes no comma in a directory of modules"));
            }
            addons_path.push(source.path(dir)?);
        }
        Ok(OdooPlan {
            command,
            addons_path,
            boot_timeout: match self.boot_timeout {
                None => BOOT_TIMEOUT,
                Some(value) => source.bounded(value, BOOT_TIMEOUT_MAX)?,
            },
            transactions: self.transactions.unwrap_or(true),
        })
    }
}
