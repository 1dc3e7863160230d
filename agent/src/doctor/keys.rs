//! Checks of keys: who can read archives, who may write them, and which key must not be on this host.

use std::path::Path;

use super::Check;
use crate::archive::evidence::key::{EvidenceKey, TrustedEvidenceKeys};
use crate::archive::seal::Identities;
use crate::archive::signature::SigningKey;
use crate::config::Config;
use crate::disk;
use crate::repository::sealed_for::SealedFor;
use crate::setup::IDENTITY_FILE;

/// Every check of keys.
pub fn checks(config: &Config) -> Vec<Check> {
    let mut checks = vec![recipients(config), signing(config), identity(config)];
    checks.extend(evidence(config));
    checks.extend(secret_files(config));
    checks
}

fn recipients(config: &Config) -> Check {
    const NAME: &str = "recipients";
    match SealedFor::load(config) {
        Err(error) => Check::error(NAME, &error),
        Ok(sealed_for) => match sealed_for.instance().texts().count() {
            1 => Check::warn(
                NAME,
                "only one recipient: if its identity is lost, nobody can open the archives",
                "add an escrow recipient to seal.recipients and keep its identity elsewhere",
            ),
            count => {
                let more = |(class, more): (&str, usize)| format!("; class {class} has {more} more");
                let more: String = sealed_for.more().map(more).collect();
                Check::ok(NAME, format!("{count} recipients can open what is stored{more}"))
            }
        },
    }
}

fn signing(config: &Config) -> Check {
    const NAME: &str = "signing key";
    let Some(path) = &config.signing.key_file else {
        return Check::warn(
            NAME,
            "none: this host can restore and verify, but not back up",
            "set signing.key_file on a host that backs up",
        );
    };
    let public = match SigningKey::load(path).and_then(|key| key.public_text()) {
        Ok(public) => public,
        Err(error) => return Check::error(NAME, &error),
    };
    let same = |trusted: &String| blob(trusted) == blob(&public);
    if config.signing.trusted_keys.iter().any(same) {
        return Check::ok(NAME, format!("{}, private, and its public half is trusted", path.display()));
    }
    Check::fail(
        NAME,
        format!(
            "{}: its public half is not in signing.trusted_keys, so restores would refuse its archives",
            path.display()
        ),
        format!("add {public:?} to signing.trusted_keys, here and on restore hosts"),
    )
}

/// Only where something of it is configured: not every host takes or verifies checkpoints.
fn evidence(config: &Config) -> Option<Check> {
    const NAME: &str = "evidence key";
    let section = &config.checkpoint;
    if section.key_file.is_none() && section.trusted_key_files.is_empty() {
        return None;
    }
    let trusted = match TrustedEvidenceKeys::load(&section.trusted_key_files) {
        Ok(trusted) => trusted,
        Err(error) => return Some(Check::error(NAME, &error.next("correct checkpoint.trusted_key_files"))),
    };
    let Some(path) = &section.key_file else {
        return Some(Check::ok(NAME, "none here: this host verifies evidence, and signs none"));
    };
    Some(match EvidenceKey::load(path) {
        Err(error) => {
            Check::error(NAME, &error.next("run lifeboat init --if-missing, or correct checkpoint.key_file"))
        }
        Ok(key) if trusted.find(key.public().id()).is_none() => Check::warn(
            NAME,
            format!("{}: its public half is in none of checkpoint.trusted_key_files", path.display()),
            "add the file of the public half there, and give it to your pipeline",
        ),
        Ok(_) => Check::ok(NAME, format!("{}, private, and its public half is trusted", path.display())),
    })
}

/// The key itself, without its comment.
fn blob(public: &str) -> Vec<&str> {
    public.split_whitespace().take(2).collect()
}

/// A host with a signing key stores; it must not be able to read what it stores.
fn identity(config: &Config) -> Check {
    const NAME: &str = "identity";
    let stores = config.signing.key_file.is_some();
    let left = config.file.with_file_name(IDENTITY_FILE);
    let mut here = config.seal.identity_files.clone();
    if !here.contains(&left) && left.is_absolute() {
        here.push(left);
    }
    here.retain(|path| path.exists());
    match (stores, here.first()) {
        (true, Some(path)) => Check::warn(
            NAME,
            format!(
                "{} is on a host that stores archives: whoever takes over this host can read them all",
                path.display()
            ),
            "copy it to a password manager or a safe and to the restore host, then remove it here (shred -u)",
        ),
        (true, None) => Check::ok(NAME, "none here: this host cannot read its own archives"),
        (false, _) if config.seal.identity_files.is_empty() => Check::warn(
            NAME,
            "none: this host can list and verify, but not restore",
            "give --identity FILE to restore, or set seal.identity_files",
        ),
        (false, _) => {
            let passphrase = |_: &Path| {
                let file = config.seal.passphrase_file.as_deref()?;
                disk::read_secret_text("passphrase file", file, 64 << 10)
                    .ok()
                    .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
            };
            match Identities::load(&config.seal.identity_files, &passphrase) {
                Ok(_) => Check::ok(NAME, format!("{} files can be read", config.seal.identity_files.len())),
                Err(error) => Check::error(NAME, &error),
            }
        }
    }
}

fn secret_files(config: &Config) -> Vec<Check> {
    let files = [
        ("credentials", "repository.credentials_file", &config.repository.credentials_file),
        ("password", "postgres.password_file", &config.postgres.password_file),
        ("passfile", "postgres.passfile", &config.postgres.passfile),
        ("passphrase", "seal.passphrase_file", &config.seal.passphrase_file),
    ];
    let given = files.into_iter().filter_map(|(name, key, path)| Some((name, key, path.as_ref()?)));
    given.map(|(name, key, path)| secret_file(name, key, path)).collect()
}

fn secret_file(name: &'static str, key: &str, path: &Path) -> Check {
    match disk::check_secret(name, path) {
        Ok(()) => Check::ok(name, format!("{} is private", path.display())),
        Err(error) if error.next_text().is_some() => Check::error(name, &error),
        Err(error) => Check::error(name, &error.next(format!("create it, or correct {key}"))),
    }
}
