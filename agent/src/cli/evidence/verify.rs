//! `lifeboat evidence verify`.

use std::path::PathBuf;

use super::{KeyArgs, shown};
use crate::archive::evidence::verdict::Verdict;
use crate::archive::evidence::{dsse, statement};
use crate::cli::{App, Done};
use crate::disk;
use crate::error::{Kind, Result};

/// Verify a file of evidence offline, with the public key alone
///
/// Checks the signature, the form, and that the scorecard is what the facts give. Needs no configuration
/// and no network. It does not know which release, image or repository you expect: read them in the output,
/// or use lifeboat evidence require.
///
/// Exit code 16: the evidence is genuine, and says that the release is blocked. 11: no key that you trust
/// signed it. 10: it is damaged, or is not evidence.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Example:
  lifeboat evidence verify checkpoint.json --key lifeboat-evidence-key.pub.pem")]
pub struct Args {
    /// The file: checkpoint.json
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    keys: KeyArgs,
}

/// Verifies, and shows what the evidence says.
pub fn run(args: Args, app: &App) -> Result<Done> {
    let trusted = args.keys.trusted(app)?;
    let bytes = disk::read(&args.file, dsse::BYTES_MAX).map_err(|e| e.context("read the evidence"))?;
    let evidence = statement::open(&args.file.display().to_string(), &bytes, &trusted)
        .map_err(|e| e.effect("it proves nothing: do not rely on what it says"))?;
    app.print(&shown::value(&evidence, None), || shown::text(&evidence, None))?;
    Ok(match evidence.checkpoint.verdict() {
        Verdict::Blocked => Done::Failed(Kind::Refused),
        Verdict::Passed | Verdict::Overridden => Done::Complete,
    })
}
