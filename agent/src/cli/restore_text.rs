//! What every kind of restore says at its end: what is missing, and how a copy becomes the tenant.

use super::commands::runnable;
use crate::archive::manifest::MissingFile;
use crate::names::{TenantName, shell_word};
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

/// What is said of files that are missing.
pub fn missing_files(missing: &[MissingFile]) -> String {
    match missing.len() as u64 {
        0 => String::new(),
        count => format!(
            "\n{}\n              if it was copied from another tenant, restore it again with --files-of THAT-TENANT",
            missing_text(count, missing.iter().take(MISSING_TOLD_MAX))
        ),
    }
}
