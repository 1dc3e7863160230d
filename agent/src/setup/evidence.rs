//! The keys that sign and verify evidence of checkpoints: made beside the signing key, the public half in a
//! file of its own, because a pipeline needs only that.

use std::path::{Path, PathBuf};

use super::SIGNING_FILE;
use crate::archive::evidence::key::{EvidenceKey, EvidencePublicKey};
use crate::config;
use crate::disk;
use crate::error::{Error, Kind, Result};

/// The default name of the private key's file.
const EVIDENCE_FILE: &str = "lifeboat-evidence-key.pem";

/// The key, and what of it must be written.
pub struct NewEvidenceKey {
    /// The private key's file.
    pub file: PathBuf,
    /// The public key's file.
    pub public_file: PathBuf,
    /// `None` if it already exists.
    text: Option<String>,
    /// `None` if it already exists.
    public_text: Option<String>,
}

impl NewEvidenceKey {
    /// The files to write, with their content.
    pub fn to_write(&self) -> impl Iterator<Item = (&PathBuf, &String)> {
        [(&self.file, &self.text), (&self.public_file, &self.public_text)]
            .into_iter()
            .filter_map(|(file, text)| Some((file, text.as_ref()?)))
    }
}

/// The private key's file beside a signing key; named after it if that has a name of its own, so that two
/// configurations in one directory have two keys.
pub fn beside(signing: &Path) -> PathBuf {
    match signing.file_name().and_then(|name| name.to_str()) {
        Some(name) if name != SIGNING_FILE => signing.with_file_name(format!("{name}-evidence.pem")),
        _ => signing.with_file_name(EVIDENCE_FILE),
    }
}

/// `x.pub.pem` of `x.pem`.
fn public_file(file: &Path) -> PathBuf {
    file.with_extension("pub.pem")
}

/// A new key in this file, or the existing one if the caller allows that. Nothing is written.
///
/// # Errors
/// Those of the existing file.
pub fn plan(file: PathBuf, if_missing: bool) -> Result<NewEvidenceKey> {
    let public_file = public_file(&file);
    let is_there = |path: &Path| Ok::<_, Error>(if_missing && disk::metadata(path)?.is_some());
    let (key, text) = match is_there(&file)? {
        true => (EvidenceKey::load(&file)?, None),
        false => {
            let key = EvidenceKey::generate()?;
            let text = key.to_pem()?;
            (key, Some(text))
        }
    };
    // A public file without its private one is refused when it is written.
    let public_text = match text.is_none() && is_there(&public_file)? {
        true if EvidencePublicKey::load(&public_file)? != *key.public() => {
            let what = format!("{} is not the public half of {}", public_file.display(), file.display());
            return Err(Error::new(Kind::Conflict, what)
                .effect("nothing was changed")
                .next("move the public file away: it is written again"));
        }
        true => None,
        false => Some(key.public().to_pem()?),
    };
    Ok(NewEvidenceKey { file, public_file, text, public_text })
}

/// Makes the key that an existing configuration names, if it does not exist yet; an existing one must be
/// private. Returns its file, where one is named.
///
/// # Errors
/// Those of the existing file; that of the disk.
pub fn complete(config: &config::Checkpoint) -> Result<Option<PathBuf>> {
    let Some(file) = &config.key_file else { return Ok(None) };
    let new = plan(file.clone(), true)?;
    for (path, text) in new.to_write() {
        // The public file of a key that is mounted from a secret has its own place, or none.
        let is_named = path == file || config.trusted_key_files.contains(path);
        if new.text.is_none() && !is_named {
            continue;
        }
        if let Some(dir) = path.parent() {
            disk::create_private_dir(dir)?;
        }
        disk::write_new_durable(path, text.as_bytes()).map_err(|e| match e.kind() {
            Kind::AlreadyExists => e
                .effect("the new evidence key has another public half: nothing would verify")
                .next("move the file away, or put the private key back"),
            _ => e.next(
                "mount the key there, or create one: openssl genpkey -algorithm EC -pkeyopt \
                 ec_paramgen_curve:P-256 -out FILE",
            ),
        })?;
    }
    Ok(Some(file.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signing_key_has_an_evidence_key_of_its_own() {
        let beside = |path: &str| beside(Path::new(path)).display().to_string();
        assert_eq!(beside("/etc/lifeboat/lifeboat-signing-key"), "/etc/lifeboat/lifeboat-evidence-key.pem");
        assert_eq!(beside("/keys/second"), "/keys/second-evidence.pem");
        assert_eq!(public_file(Path::new("/keys/a.b-evidence.pem")), Path::new("/keys/a.b-evidence.pub.pem"));
    }
}
