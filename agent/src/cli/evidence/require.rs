//! `lifeboat evidence require`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{KeyArgs, shown};
use crate::archive::evidence::dsse;
use crate::archive::evidence::require::{Required, check, image_digest};
use crate::archive::evidence::statement;
use crate::cli::{App, Done};
use crate::clock;
use crate::config::units;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::{ReleaseId, shell_word};
use crate::repository::releases::{CHECKPOINT, StoredCheckpoint};
use crate::repository::{Repository, layout};

const NOT_AHEAD: &str = "the release must not go ahead: nothing proves that exactly this can be undone";

/// Fail without valid evidence for exactly this release
///
/// Run it in the release itself, in an init container or a pipeline step: a hook can be skipped. Reads
/// lifeboat.json, instance.json and the release's folder of the repository, and needs no other rights.
///
/// Exit code 5: there is no evidence. 11: no trusted key signed it. 10: it is damaged, or is that of another
/// release, instance or repository. 16: it is for another image or commit, too old, or a gate blocks. If
/// the repository could not be read, the code says so (6, 7): do not release then, either.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat evidence require --release 2026.11.29 --image DIGEST --max-age 2h
  lifeboat evidence require --release 2026.11.29 --file checkpoint.json")]
pub struct Args {
    /// The release
    #[arg(long, value_name = "ID")]
    release: ReleaseId,
    /// The digest of the image that is released: sha256:..., or a reference that ends with @sha256:...
    #[arg(long, value_name = "DIGEST")]
    image: Option<String>,
    /// The commit that is released, all its digits
    #[arg(long, value_name = "COMMIT")]
    commit: Option<String>,
    /// How old the checkpoint may be, by the store's clock and by that of its host, such as 2h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    max_age: Option<Duration>,
    /// The pipeline's copy of checkpoint.json; refused if the stored one differs
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = units::duration(text).map(Duration::from_millis);
    parsed.ok_or_else(|| "it takes a duration such as 30min, 2h or 1d".to_owned())
}

/// Reads the evidence and compares.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    if let Some(image) = &args.image {
        image_digest(image)?;
    }
    let stored = allowed(&args, app).await.map_err(|e| e.effect(NOT_AHEAD))?;
    let (evidence, at) = (&stored.evidence, Some(stored.stored_at));
    app.print(&shown::value(evidence, at), || shown::text(evidence, at))?;
    Ok(Done::Complete)
}

async fn allowed(args: &Args, app: &App) -> Result<StoredCheckpoint> {
    let config = app.config()?;
    let trusted = args.keys.trusted(app)?;
    let repository = Repository::configured(&config).await?;
    let origin = repository.origin().await?;
    let release = &args.release;
    let stored = repository.read_checkpoint(release, &origin, &trusted).await?.ok_or_else(|| {
        let place = format!("instance {} in {}", repository.instance(), repository.store().url());
        Error::new(Kind::NotFound, format!("there is no checkpoint of release {release} of {place}"))
            .next(format!("run lifeboat checkpoint --release {} first", shell_word(release.as_str())))
    })?;
    if let Some(file) = &args.file {
        let given = disk::read(file, dsse::BYTES_MAX).map_err(|e| e.context("read the evidence"))?;
        same(file, &given, &stored, &statement::open(&file.display().to_string(), &given, &trusted)?)?;
    }
    let required = Required { image: args.image.clone(), commit: args.commit.clone(), age_max: args.max_age };
    let clock_of = layout::release_object(repository.instance(), release, CHECKPOINT);
    let now = repository.store().now(&clock_of).await?.unwrap_or_else(clock::now);
    check(&stored.evidence.checkpoint, stored.stored_at, now, &required)?;
    Ok(stored)
}

/// Whether the file is the stored evidence.
fn same(file: &Path, given: &[u8], stored: &StoredCheckpoint, read: &statement::Evidence) -> Result<()> {
    if given == stored.envelope {
        return Ok(());
    }
    let (file, found) = (file.display(), &read.checkpoint.release.id);
    let what = match *found == stored.evidence.checkpoint.release.id {
        false => format!("{file} is the evidence of release {found}"),
        true => format!(
            "{file} is another checkpoint of release {found}: decided at {}, while the stored one was decided at {}",
            clock::text(read.checkpoint.ended),
            clock::text(stored.evidence.checkpoint.ended)
        ),
    };
    Err(Error::new(Kind::Integrity, what))
}
