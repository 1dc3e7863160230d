//! `lifeboat evidence export`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::KeyArgs;
use crate::archive::evidence::{markdown, schema, svr};
use crate::cli::{App, Done, print};
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::ReleaseId;
use crate::repository::Repository;
use crate::repository::releases::{CHECKPOINT, MARKDOWN, SCHEMA, SVR};

/// What the envelope contains, byte by byte.
const STATEMENT: &str = "statement.json";
/// The key that verifies it.
const PUBLIC_KEY: &str = "public-key.pem";

/// Write the evidence of a release into a directory, for other verifiers
///
/// Writes checkpoint.json and svr.json (DSSE envelopes), statement.json (the in-toto Statement that was
/// signed), evidence.md, schema.json, and public-key.pem. A file that exists with other content is never
/// replaced. Whoever verifies the files needs the public key from you, not from this directory.
///
/// Exit code 3: svr.json is not stored, because the checkpoint was interrupted after its evidence.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Example:
  lifeboat evidence export --release 2026.11.29 ./evidence-2026.11.29")]
pub struct Args {
    /// The release
    #[arg(long, value_name = "ID")]
    release: ReleaseId,
    /// The directory; created where it does not exist
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    keys: KeyArgs,
}

/// Writes the files.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    let config = app.config()?;
    let trusted = args.keys.trusted(app)?;
    let repository = Repository::configured(&config).await?;
    let origin = repository.origin().await?;
    let release = &args.release;
    let stored = repository.read_checkpoint(release, &origin, &trusted).await?.ok_or_else(|| {
        Error::new(Kind::NotFound, format!("there is no checkpoint of release {release}"))
            .next("lifeboat evidence list shows every checkpoint")
    })?;
    let (evidence, checkpoint) = (&stored.evidence, &stored.evidence.checkpoint);
    let key = trusted.find(&evidence.keyid).ok_or_else(|| {
        Error::new(Kind::Internal, "the key that verified the evidence is not among the trusted ones")
    })?;
    let result = repository.beside_checkpoint(release, SVR).await?;
    if let Some(result) = &result {
        svr::check(&format!("{SVR} of release {release}"), result, checkpoint, &trusted)?;
    }
    let mut files = vec![
        (CHECKPOINT, stored.envelope.clone()),
        (STATEMENT, evidence.statement.clone()),
        (MARKDOWN, markdown::text(checkpoint).into_bytes()),
        (SCHEMA, schema::JSON.as_bytes().to_vec()),
        (PUBLIC_KEY, key.to_pem()?.into_bytes()),
    ];
    let is_whole = result.is_some();
    files.extend(result.map(|bytes| (SVR, bytes)));
    disk::create_private_dir(&args.dir)?;
    for (name, bytes) in &files {
        write(&args.dir.join(name), bytes)?;
    }
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    let value = json!({ "dir": args.dir, "files": names, "release": release, "key": key.id() });
    app.print(&value, || format!("{}: {}", args.dir.display(), names.join(", ")))?;
    if is_whole {
        return Ok(Done::Complete);
    }
    print::err(&format!(
        "missing: {SVR} is not stored: the checkpoint was interrupted after its evidence; run lifeboat checkpoint \
         again to complete it"
    ));
    Ok(Done::Incomplete)
}

/// Writes a file that does not exist yet; the same content is accepted.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    match disk::write_new_durable(path, bytes) {
        Err(e) if e.kind() == Kind::AlreadyExists && disk::read(path, bytes.len() as u64 + 1)? == bytes => {
            Ok(())
        }
        Err(e) if e.kind() == Kind::AlreadyExists => {
            Err(e.effect("it has other content and was not replaced").next("name another directory"))
        }
        done => done,
    }
}
