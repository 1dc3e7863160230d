//! `lifeboat init`: creates the configuration, keys, state directory and repository of a new instance,
//! or what is missing of an instance that is already configured.

mod choose;
mod complete;
mod evidence;
mod write;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use complete::CompletedSetup;

use crate::config::{Config, FILE_NAME, Inputs, Setting};
use crate::error::{Error, Kind, Result};
use crate::names::InstanceName;
use crate::{config, disk};
use evidence::NewEvidenceKey;

/// The default name of the identity file.
pub const IDENTITY_FILE: &str = "lifeboat-identity.txt";
/// The default name of the signing key's file.
const SIGNING_FILE: &str = "lifeboat-signing-key";

/// What to create, in addition to what the inputs of the configuration say.
#[derive(Clone, Debug, Default)]
pub struct SetupRequest {
    /// Odoo's data directory; if `None`, the first usual place that exists.
    pub data_dir: Option<PathBuf>,
    /// The state directory.
    pub state_dir: Option<PathBuf>,
    /// The public keys that archives are encrypted to; if empty, a new identity is created.
    pub recipients: Vec<String>,
    /// The file for the new identity.
    pub identity_file: Option<PathBuf>,
    /// The file for the new signing key.
    pub signing_key: Option<PathBuf>,
    /// Other configuration keys, each as `KEY=VALUE`.
    pub settings: Vec<String>,
    /// Whether existing files are accepted if they match.
    pub if_missing: bool,
}

/// What exists after `init`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Setup {
    /// Everything is new.
    Written(NewSetup),
    /// The instance was already configured; what was missing was created.
    Completed(CompletedSetup),
}

/// A new instance: where everything is.
#[derive(Debug, Serialize)]
pub struct NewSetup {
    /// The configuration.
    pub config: PathBuf,
    /// The instance.
    pub instance: InstanceName,
    /// Where archives are stored.
    pub repository: String,
    /// The state directory.
    pub state_dir: PathBuf,
    /// Odoo's data directory, if one was named or found.
    pub data_dir: Option<PathBuf>,
    /// The file of the identity, if one was created.
    pub identity: Option<PathBuf>,
    /// The identity's public key; it is one of the recipients.
    #[serde(skip)]
    pub identity_recipient: Option<String>,
    /// The public keys that archives are encrypted to.
    pub recipients: Vec<String>,
    /// The file of the signing key.
    pub signing_key: PathBuf,
    /// The public half of the signing key.
    pub trusted_key: String,
    /// The file of the key that signs evidence of checkpoints.
    pub evidence_key: PathBuf,
    /// The file of its public half.
    pub evidence_public_key: PathBuf,
}

/// What to write, and where; complete before the first byte is written.
struct Plan {
    config_file: PathBuf,
    instance: InstanceName,
    identity: Option<NewIdentity>,
    signing_file: PathBuf,
    /// `None` if the key already exists.
    signing_text: Option<String>,
    trusted_key: String,
    evidence: NewEvidenceKey,
    text: String,
    config: Config,
}

struct NewIdentity {
    file: PathBuf,
    /// `None` if it already exists.
    text: Option<String>,
    recipient: String,
}

/// Plans, checks that nothing is in the way, and writes; or completes an instance that is already configured.
///
/// # Errors
/// `AlreadyExists` and `Conflict` if something is in the way; then nothing was changed.
pub async fn run(request: &SetupRequest, inputs: &Inputs) -> Result<Setup> {
    let config_file = config_file(inputs)?;
    if complete::is_there(request, inputs, &config_file)? {
        return Ok(Setup::Completed(complete::complete(request, inputs, &config_file).await?));
    }
    let plan = plan(request, inputs, config_file)?;
    refuse_to_overwrite(&plan)?;
    write::write(&plan).await?;
    let (identity, identity_recipient) = plan.identity.map(|new| (new.file, new.recipient)).unzip();
    Ok(Setup::Written(NewSetup {
        config: plan.config_file,
        instance: plan.instance,
        repository: plan.config.repository.url,
        state_dir: plan.config.state_dir,
        data_dir: plan.config.odoo.data_dir,
        identity,
        identity_recipient,
        recipients: plan.config.seal.recipients,
        signing_key: plan.signing_file,
        trusted_key: plan.trusted_key,
        evidence_key: plan.evidence.file,
        evidence_public_key: plan.evidence.public_file,
    }))
}

fn config_file(inputs: &Inputs) -> Result<PathBuf> {
    match (&inputs.config, inputs.variable("LIFEBOAT_CONFIG")?) {
        (Some(path), _) => absolute(path),
        (None, Some(path)) => absolute(Path::new(&path)),
        (None, None) => absolute(Path::new(FILE_NAME)),
    }
}

fn plan(request: &SetupRequest, inputs: &Inputs, config_file: PathBuf) -> Result<Plan> {
    let beside = |name: &str| config_file.with_file_name(name);
    let instance = choose::instance(inputs)?;
    let signing_file = request.signing_key.as_deref().map_or(Ok(beside(SIGNING_FILE)), absolute)?;
    let (signing, signing_is_new) = choose::signing(&signing_file, &instance, request.if_missing)?;
    let trusted_key = signing.public_text()?;
    let evidence = evidence::plan(evidence::beside(&signing_file), request.if_missing)?;
    let identity = match request.recipients.is_empty() {
        false => None,
        true => {
            let file = request.identity_file.as_deref().map_or(Ok(beside(IDENTITY_FILE)), absolute)?;
            Some(choose::identity(file, request.if_missing)?)
        }
    };
    let recipients: Vec<&str> = match &identity {
        Some(identity) => vec![&identity.recipient],
        None => request.recipients.iter().map(String::as_str).collect(),
    };
    let mut settings = vec![
        Setting::text("instance", instance.as_str()),
        choose::repository(inputs, &config_file)?,
        Setting::list("seal.recipients", recipients),
        Setting::text("signing.key_file", &path_beside(&signing_file, &config_file)?),
        Setting::list("signing.trusted_keys", [trusted_key.as_str()]),
        Setting::text("checkpoint.key_file", &path_beside(&evidence.file, &config_file)?),
        Setting::list(
            "checkpoint.trusted_key_files",
            [path_beside(&evidence.public_file, &config_file)?.as_str()],
        ),
    ];
    settings.extend(choose::state_dir(request.state_dir.as_deref(), &config_file)?);
    settings.extend(choose::data_dir(request.data_dir.as_deref())?);
    for given in &request.settings {
        choose::set(&mut settings, given)?;
    }
    let text = config::template(&settings);
    // The text is parsed before it is written, without this process's environment, so that a wrong
    // value is reported now, with its key.
    let config = Config::parse(&config_file, &text, &Inputs::default()).map_err(|error| {
        error.context("check the configuration that these flags give").with_kind(Kind::Usage)
    })?;
    let signing_text = signing_is_new.then(|| signing.to_openssh()).transpose()?;
    Ok(Plan {
        config_file,
        instance,
        identity,
        signing_file,
        signing_text,
        trusted_key,
        evidence,
        text,
        config,
    })
}

fn refuse_to_overwrite(plan: &Plan) -> Result<()> {
    let identity = plan.identity.as_ref().filter(|new| new.text.is_some()).map(|new| &new.file);
    let signing = plan.signing_text.is_some().then_some(&plan.signing_file);
    let files = [Some(&plan.config_file), signing, identity];
    for path in files.into_iter().flatten().chain(plan.evidence.to_write().map(|(path, _)| path)) {
        if disk::metadata(path)?.is_some() {
            return Err(Error::new(Kind::AlreadyExists, format!("{} already exists", path.display()))
                .effect("nothing was written; overwriting a key loses it, and everything encrypted to it")
                .next(
                    "move it away, or name another place with --config, --identity-file or --signing-key",
                ));
        }
    }
    match disk::metadata(&plan.config.state_dir)? {
        Some(meta) if !meta.is_dir() => {
            let what = format!("{} exists and is not a directory", plan.config.state_dir.display());
            Err(Error::new(Kind::AlreadyExists, what)
                .effect("nothing was written")
                .next("name another place with --state-dir"))
        }
        _ => Ok(()),
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::file("find", path, e))
}

/// A path as the configuration names it: relative if it is beside the file, so that the
/// directory can be moved as a whole.
fn path_beside(path: &Path, config_file: &Path) -> Result<String> {
    match config_file.parent().and_then(|base| path.strip_prefix(base).ok()) {
        Some(rest) if rest.as_os_str().is_empty() => Ok(".".to_owned()),
        Some(rest) => path_text(rest),
        None => path_text(path),
    }
}

fn path_text(path: &Path) -> Result<String> {
    let not_text =
        || Error::new(Kind::Usage, format!("{} is not UTF-8; lifeboat.toml must be UTF-8", path.display()));
    path.to_str().map(str::to_owned).ok_or_else(not_text)
}
