//! `init` for an existing configuration, in a file or only in the environment (as in a pod). It creates
//! what the configuration names and what is missing; what exists must match. A second run changes nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::{SetupRequest, choose, evidence, write};
use crate::archive::seal::Recipients;
use crate::archive::signature::{SigningKey, TrustedKeys};
use crate::config::{Config, Inputs, keys};
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::InstanceName;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::server::server_info;
use crate::postgres::session::Session;
use crate::repository::Repository;

/// How long PostgreSQL may take to say which cluster it is; it may start after `init`.
const SERVER_WAIT: Duration = Duration::from_secs(10);

/// What the environment must give so that no file is written: one of each pair.
const GIVEN: [&[&str]; 4] = [
    &["LIFEBOAT_INSTANCE"],
    &["LIFEBOAT_REPOSITORY_URL"],
    &["LIFEBOAT_SEAL_RECIPIENTS", "LIFEBOAT_SEAL_RECIPIENTS_FILE"],
    &["LIFEBOAT_SIGNING_KEY_FILE"],
];

/// A configured instance: what exists now.
#[derive(Debug, Serialize)]
pub struct CompletedSetup {
    /// The configuration file; `None` if the environment gives everything.
    pub config: Option<PathBuf>,
    /// The instance.
    pub instance: InstanceName,
    /// Where archives are stored.
    pub repository: String,
    /// The repository's own identifier.
    pub repository_id: String,
    /// Whether it was made now.
    pub made_repository: bool,
    /// The state directory.
    pub state_dir: PathBuf,
    /// Whether it was made now.
    pub made_state_dir: bool,
    /// Odoo's data directory.
    pub data_dir: Option<PathBuf>,
    /// Always `None`: no identity is created here.
    pub identity: Option<PathBuf>,
    /// The public keys that archives are encrypted to.
    pub recipients: Vec<String>,
    /// The file of the signing key.
    pub signing_key: Option<PathBuf>,
    /// The public half of the signing key.
    pub trusted_key: String,
    /// The file of the key that signs evidence of checkpoints; `None` if the configuration names none.
    pub evidence_key: Option<PathBuf>,
    /// One sentence: whether the stored backups are of this PostgreSQL server.
    pub compared: &'static str,
}

/// Whether there is a configuration to complete: in an accepted file, or only in the environment.
pub fn is_there(request: &SetupRequest, inputs: &Inputs, config_file: &Path) -> Result<bool> {
    if disk::metadata(config_file)?.is_some() {
        return Ok(request.if_missing);
    }
    if inputs.config.is_some() || inputs.variable("LIFEBOAT_CONFIG")?.is_some() {
        return Ok(false);
    }
    for names in GIVEN {
        let mut any = false;
        for name in names {
            any = any || inputs.variable(name)?.is_some();
        }
        if !any {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Creates what is missing, and returns everything that exists.
///
/// # Errors
/// `Conflict` if something exists that does not match; then nothing was changed.
pub async fn complete(request: &SetupRequest, inputs: &Inputs, config_file: &Path) -> Result<CompletedSetup> {
    let with_file = disk::metadata(config_file)?.is_some();
    let mut inputs = inputs.clone();
    if with_file {
        inputs.config = Some(config_file.to_owned());
    }
    let config = Config::load(&inputs)?;
    if with_file {
        same_as_the_file(&inputs, &config)?;
    }
    same_as_flags(request, &inputs, &config)?;
    let trusted_key = signing_key(&config)?;
    let recipients = Recipients::load(&config.seal.recipients, config.seal.recipients_file.as_deref())?;
    let recipients: Vec<String> = recipients.texts().map(str::to_owned).collect();
    let made_state_dir = disk::metadata(&config.state_dir)?.is_none();
    disk::create_private_dir(&config.state_dir)?;
    let evidence_key = evidence::complete(&config.checkpoint)?;
    let (repository, made_repository) = write::repository(&config).await?;
    let compared = same_cluster(&config, &repository).await?;
    Ok(CompletedSetup {
        config: with_file.then(|| config_file.to_owned()),
        instance: config.instance,
        repository: config.repository.url,
        repository_id: repository.id().to_owned(),
        made_repository,
        state_dir: config.state_dir,
        made_state_dir,
        data_dir: config.odoo.data_dir,
        identity: None,
        recipients,
        signing_key: config.signing.key_file,
        trusted_key,
        evidence_key,
        compared,
    })
}

fn another(what: String) -> Error {
    Error::new(Kind::Conflict, what)
        .effect("nothing was changed: this command does not match the existing setup")
        .next("correct the flag or the variable, or pass another file with --config")
}

/// Flags and environment must name the same instance and repository as the existing file.
fn same_as_the_file(inputs: &Inputs, config: &Config) -> Result<()> {
    let alone = Inputs { config: inputs.config.clone(), ..Inputs::default() };
    // A file without these keys leaves them to the environment.
    let Ok(file) = Config::load(&alone) else { return Ok(()) };
    let pairs = [
        ("instance", file.instance.to_string(), config.instance.to_string()),
        ("repository.url", file.repository.url.clone(), config.repository.url.clone()),
    ];
    for (key, there, given) in pairs {
        if there != given {
            let file = file.file.display();
            return Err(another(format!("{file} says {key} = {there:?}, but this command says {given:?}")));
        }
    }
    Ok(())
}

/// The configuration must contain everything that this command's own flags say.
fn same_as_flags(request: &SetupRequest, inputs: &Inputs, config: &Config) -> Result<()> {
    let path = |path: &Option<PathBuf>| path.as_deref().map(super::absolute).transpose();
    let paths = [
        ("--data-dir", path(&request.data_dir)?, config.odoo.data_dir.clone()),
        ("--state-dir", path(&request.state_dir)?, Some(config.state_dir.clone())),
        ("--signing-key", path(&request.signing_key)?, config.signing.key_file.clone()),
    ];
    for (flag, given, there) in paths {
        if given.is_some() && given != there {
            let shown = |path: Option<PathBuf>| path.map_or("none".to_owned(), |p| p.display().to_string());
            let what = format!("{flag} says {}, but the configuration says {}", shown(given), shown(there));
            return Err(another(what));
        }
    }
    let there = Recipients::load(&config.seal.recipients, config.seal.recipients_file.as_deref())?;
    for recipient in &request.recipients {
        if !there.texts().any(|text| text == recipient) {
            return Err(another(format!("--recipient {recipient} is not in the configuration")));
        }
    }
    let mut with_settings = inputs.clone();
    for given in &request.settings {
        choose::set(&mut Vec::new(), given)?;
        let (name, value) = given.split_once('=').unwrap_or_default();
        let variable = keys::find(name).and_then(keys::Key::variable).unwrap_or_default();
        with_settings.environment.retain(|(known, _)| known != variable.as_str());
        with_settings.environment.push((variable.into(), value.into()));
        if Config::load(&with_settings)? != *config {
            return Err(another(format!("--set {given} contradicts the configuration")));
        }
    }
    Ok(())
}

/// Checks that the signing key exists and its public half is trusted; returns that half.
fn signing_key(config: &Config) -> Result<String> {
    let Some(file) = &config.signing.key_file else {
        return Err(Error::new(Kind::Config, "signing.key_file is not set")
            .next("set it to the file of the signing key; `lifeboat init` on another machine creates one"));
    };
    let key = SigningKey::load(file).map_err(|e| match e.kind() {
        Kind::NotFound => e
            .context("read the signing key")
            .effect("nothing was created: without the signing key nothing can be stored")
            .next(format!(
                "mount the key there, or create one: ssh-keygen -t ed25519 -N '' -C lifeboat -f {}",
                file.display()
            )),
        _ => e,
    })?;
    let public = key.public_text()?;
    let trusted = TrustedKeys::parse(&config.signing.trusted_keys)?;
    let proof = key.sign(b"init")?;
    trusted.verify("this check", b"init", proof.as_bytes()).map_err(|_| {
        let what = format!("the public half of {} is not in signing.trusted_keys", file.display());
        Error::new(Kind::Config, what)
            .effect("nothing was created: no host, not even this one, would accept what this host stores")
            .next(format!(
                "set LIFEBOAT_SIGNING_TRUSTED_KEYS='{public}', or signing.trusted_keys in the file"
            ))
    })?;
    Ok(public)
}

/// If the instance has backups and its server answers, checks that both are of the same cluster.
/// Returns the finding as a sentence.
async fn same_cluster(config: &Config, repository: &Repository) -> Result<&'static str> {
    match repository.origin().await {
        Ok(_) => {}
        Err(e) if e.kind() == Kind::NotFound => return Ok("the instance has no backup yet"),
        Err(e) => return Err(e),
    }
    let asked = async {
        let mut session = Session::maintenance(&PostgresOptions::from(&config.postgres)).await?;
        let info = server_info(&mut session).await;
        session.close().await;
        info
    };
    let Ok(Ok(info)) = tokio::time::timeout(SERVER_WAIT, asked).await else {
        return Ok("the instance has backups; the server does not answer yet: they were not compared");
    };
    let Some(system_identifier) = info.system_identifier else {
        return Ok(
            "the instance has backups; the server does not say which cluster it is: they were not compared",
        );
    };
    repository.bind(Some(&system_identifier)).await?; // it is bound: only compared
    Ok("the instance has backups of this PostgreSQL cluster")
}
