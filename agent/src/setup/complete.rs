//! `init` where the configuration is there already, in a file or in the environment alone, as in a pod: what it
//! names is made where it is missing, and what is there has to be the same. Running it again changes nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::{SetupRequest, choose, write};
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

/// What PostgreSQL gets to say which cluster it is; it may well start later than this.
const SERVER_WAIT: Duration = Duration::from_secs(10);

/// What of the configuration the environment must give, so that no file is written: either of each.
const GIVEN: [&[&str]; 4] = [
    &["LIFEBOAT_INSTANCE"],
    &["LIFEBOAT_REPOSITORY_URL"],
    &["LIFEBOAT_SEAL_RECIPIENTS", "LIFEBOAT_SEAL_RECIPIENTS_FILE"],
    &["LIFEBOAT_SIGNING_KEY_FILE"],
];

/// A configured instance: what there is of it now.
#[derive(Debug, Serialize)]
pub struct CompletedSetup {
    /// The configuration; none where the environment alone gives it.
    pub config: Option<PathBuf>,
    /// Whose.
    pub instance: InstanceName,
    /// Where archives are stored.
    pub repository: String,
    /// What the repository calls itself.
    pub repository_id: String,
    /// Whether it was made now.
    pub made_repository: bool,
    /// The state directory.
    pub state_dir: PathBuf,
    /// Whether it was made now.
    pub made_state_dir: bool,
    /// Odoo's data directory.
    pub data_dir: Option<PathBuf>,
    /// No identity is made here.
    pub identity: Option<PathBuf>,
    /// Whom archives are encrypted to.
    pub recipients: Vec<String>,
    /// The file of the signing key.
    pub signing_key: Option<PathBuf>,
    /// Its public half.
    pub trusted_key: String,
    /// Whether the server is the one whose backups are stored, in a sentence.
    pub compared: &'static str,
}

/// Whether there is a configuration to complete: a file that is accepted, or one in the environment alone.
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

/// Makes what is missing, and gives what there is.
///
/// # Errors
/// `Conflict` where what is there is another one: nothing was changed then.
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
        compared,
    })
}

fn another(what: String) -> Error {
    Error::new(Kind::Conflict, what)
        .effect("nothing was changed: the existing setup and this command do not belong together")
        .next("correct the flag or the variable, or pass another file with --config")
}

/// Flags and environment must not make another instance or repository of an existing file.
fn same_as_the_file(inputs: &Inputs, config: &Config) -> Result<()> {
    let alone = Inputs { config: inputs.config.clone(), ..Inputs::default() };
    // A file that is not whole by itself leaves the rest to the environment.
    let Ok(file) = Config::load(&alone) else { return Ok(()) };
    let pairs = [
        ("instance", file.instance.to_string(), config.instance.to_string()),
        ("repository.url", file.repository.url.clone(), config.repository.url.clone()),
    ];
    for (key, there, given) in pairs {
        if there != given {
            let file = file.file.display();
            return Err(another(format!("{file} has {key} = {there:?}, but this command has {given:?}")));
        }
    }
    Ok(())
}

/// What this command's own flags say must stand in the configuration.
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
        let variable = keys::find(name).map(keys::Key::variable).unwrap_or_default();
        with_settings.environment.retain(|(known, _)| known != variable.as_str());
        with_settings.environment.push((variable.into(), value.into()));
        if Config::load(&with_settings)? != *config {
            return Err(another(format!("--set {given} contradicts the configuration")));
        }
    }
    Ok(())
}

/// The signing key is there, and its public half is trusted; that half.
fn signing_key(config: &Config) -> Result<String> {
    let Some(file) = &config.signing.key_file else {
        return Err(Error::new(Kind::Config, "signing.key_file is not set")
            .next("name the file of the signing key; `lifeboat init` on another machine makes one"));
    };
    let key = SigningKey::load(file).map_err(|e| match e.kind() {
        Kind::NotFound => e
            .context("read the signing key")
            .effect("nothing was made: without it nothing can be stored")
            .next(format!(
                "mount it there, or make one: ssh-keygen -t ed25519 -N '' -C lifeboat -f {}",
                file.display()
            )),
        _ => e,
    })?;
    let public = key.public_text()?;
    let trusted = TrustedKeys::parse(config.signing.trusted_keys.iter().map(String::as_str))?;
    let proof = key.sign(b"init")?;
    trusted.verify("this check", b"init", proof.as_bytes()).map_err(|_| {
        let what = format!("the public half of {} is not in signing.trusted_keys", file.display());
        Error::new(Kind::Config, what)
            .effect("nothing was made: no host would accept what this host stores, not even this host")
            .next(format!(
                "set LIFEBOAT_SIGNING_TRUSTED_KEYS='{public}', or signing.trusted_keys in the file"
            ))
    })?;
    Ok(public)
}

/// Where the instance has backups and its server answers, both are the same cluster; what was found.
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
        return Ok(
            "the instance has backups; its server does not answer yet, so it was not compared with them",
        );
    };
    let Some(system_identifier) = info.system_identifier else {
        return Ok("the instance has backups; the server does not say which cluster it is");
    };
    repository.bind(Some(&system_identifier)).await?; // it is bound: only compared
    Ok("the instance has backups, and they are of this PostgreSQL cluster")
}
