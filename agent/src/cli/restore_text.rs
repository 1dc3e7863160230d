//! The last lines of every kind of restore: what is missing, and how a copy becomes the tenant.

use super::commands::runnable;
use crate::archive::manifest::MissingFile;
use crate::names::typed::{Typed, Without};
use crate::names::{TenantName, counted, shell_word};
use crate::recovery::lines::missing_text;

/// Missing files that are named one by one; `--json` names all.
const MISSING_TOLD_MAX: usize = 10;

/// How a copy that is not neutralized becomes the tenant.
pub fn to_promote(tenant: &TenantName, copy: &TenantName, neutralized: bool) -> String {
    if neutralized || tenant == copy {
        return String::new();
    }
    let [copy, tenant] = [copy, tenant].map(|name| shell_word(name.as_str()));
    format!("\nmake it the tenant: {}", runnable(&format!("lifeboat promote {copy} --as {tenant}")))
}

/// The lines about missing files.
pub fn missing_files(missing: &[MissingFile]) -> String {
    match missing.len() as u64 {
        0 => String::new(),
        count => format!(
            "\n{}\n              if it was copied from another tenant, restore it again with --files-of THAT-TENANT",
            missing_text(count, missing.iter().take(MISSING_TOLD_MAX))
        ),
    }
}

/// How to restore the files that were left out.
pub fn later(typed: &Typed, pinned: &str, database: &TenantName) -> String {
    let values = ["--as", "--snapshot", "--release", "--owner", "--base-url"].map(Without::Value);
    let flags =
        ["--database-only", "--load-as-superuser", "--neutralize", "--no-neutralize"].map(Without::Flag);
    let more = format!("{pinned}--filestore-only --as {}", shell_word(database.as_str()));
    let next = runnable(&typed.again(&[values.as_slice(), flags.as_slice()].concat(), &more));
    format!("\nno files are restored, as asked for; to restore them later: {next}")
}

/// So many tables, and the verb.
pub fn tables(count: usize) -> String {
    format!("{} {}", counted(count, "table"), if count == 1 { "is" } else { "are" })
}
