//! Restores the filestore of a tenant from its backup: a whole instance is restored without them, as the
//! runbook says.

use lifeboat::error::{Error, Kind, Result};
use lifeboat::names::bytes_text;
use tokio_util::sync::CancellationToken;

use super::each::Tenant;
use crate::drill::stage::{Stage, Stop};
use crate::process;
use crate::report::Report;
use crate::report::finding::{Finding, State};
use crate::shipped::{answer, kind, lifeboat};
use crate::stages::files::FILES;
use crate::stages::restore::{LIMIT, because};

/// `lifeboat restore --filestore-only` of one tenant.
pub struct Filestores<'a> {
    /// Whose.
    pub tenant: &'a Tenant,
    /// Asks the program to stop.
    pub cancel: &'a CancellationToken,
}

impl Stage for Filestores<'_> {
    const NAME: &'static str = "filestores";
    const STOP: Stop = Stop::ByItself;
    type Output = ();

    async fn run(self, report: &mut Report) -> Result<((), String)> {
        let Filestores { tenant, cancel } = self;
        let Some((snapshot, _)) = &tenant.filestore else {
            report.findings.push(Finding::new(FILES, State::NotRun, "no backup of its filestore is stored"));
            return Ok(((), "no backup is stored".to_owned()));
        };
        let mut command = lifeboat(&tenant.setup, &tenant.room, "restore");
        command.args(["--tenant", tenant.name.as_str(), "--filestore-only", "--as", tenant.name.as_str()]);
        command.args(["--snapshot", snapshot.as_str()]).arg("--data-dir").arg(&tenant.room.data_dir);
        command.args(["--allow-missing-files", "--yes", "--json"]);
        let (stopped, name) = (cancel.cancelled(), "lifeboat restore");
        let ended = process::run_heard(&mut command, name, LIMIT, stopped, |_| {}).await?;
        let told = answer(&ended.stdout);
        // Files that are lost are found by the stage that looks for every file.
        let incomplete = ended.status.code() == Some(i32::from(Kind::Incomplete.exit_code()));
        let Some(told) = told.filter(|_| ended.is_success() || incomplete) else {
            let failed = Error::new(kind(ended.status.code()), format!("{name} ended with {}", ended.how()));
            return Err(because(failed, answer(&ended.stdout).as_ref(), &ended));
        };
        let number = |key: &str| told[key].as_u64().unwrap_or_default();
        let lost = told["missing_files"].as_array().map_or(0, Vec::len);
        let lost = if lost > 0 { format!(", {lost} missing") } else { String::new() };
        let (files, bytes) = (number("files"), bytes_text(number("file_bytes")));
        Ok(((), format!("{files} files ({bytes}){lost}")))
    }
}
