//! What `lifeboat init` does: configuration, keys, state directory and repository of a new instance, or what is
//! missing of one that is configured already.

mod choose;
mod complete;
mod write;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use complete::CompletedSetup;

use crate::config::{Config, FILE_NAME, Inputs, Setting};
use crate::error::{Error, Kind, Result};
use crate::names::InstanceName;
use crate::{config, disk};

/// What the identity is called when nobody says otherwise.
pub const IDENTITY_FILE: &str = "lifeboat-identity.txt";
const SIGNING_FILE: &str = "lifeboat-signing-key";

/// What is asked for, beside what the inputs of the configuration say.
#[derive(Clone, Debug, Default)]
pub struct SetupRequest {
    /// Odoo's data directory; the usual place, if it is there, where none is named.
    pub data_dir: Option<PathBuf>,
    /// The state directory.
    pub state_dir: Option<PathBuf>,
    /// Whom archives are encrypted to; a new identity is made where nobody is named.
    pub recipients: Vec<String>,
    /// Where the new identity is written.
    pub identity_file: Option<PathBuf>,
    /// Where the new signing key is written.
    pub signing_key: Option<PathBuf>,
    /// Other keys of the configuration, each as `KEY=VALUE`.
    pub settings: Vec<String>,
    /// Whether what is there is fine where it is the same.
    pub if_missing: bool,
}

/// What there is now.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Setup {
    /// All of it is new.
    Written(NewSetup),
    /// It was configured already; what was missing was made.
    Completed(CompletedSetup),
}

/// A new instance: where everything lies.
#[derive(Debug, Serialize)]
pub struct NewSetup {
    /// The configuration.
    pub config: PathBuf,
    /// Whose.
    pub instance: InstanceName,
    /// Where archives are stored.
    pub repository: String,
    /// The state directory.
    pub state_dir: PathBuf,
    /// Odoo's data directory, where one was named or found.
    pub data_dir: Option<PathBuf>,
    /// The file of the identity, where one was made.
    pub identity: Option<PathBuf>,
    /// Its public key, which is among the recipients.
    #[serde(skip)]
    pub identity_recipient: Option<String>,
    /// Whom archives are encrypted to.
    pub recipients: Vec<String>,
    /// The file of the signing key.
    pub signing_key: PathBuf,
    /// Its public half.
    pub trusted_key: String,
}

/// What is to be written where: complete before the first byte is.
struct Plan {
    config_file: PathBuf,
    instance: InstanceName,
    identity: Option<NewIdentity>,
    signing_file: PathBuf,
    /// None where the key is there already.
    signing_text: Option<String>,
    trusted_key: String,
    text: String,
    config: Config,
}

struct NewIdentity {
    file: PathBuf,
    /// None where it is there already.
    text: Option<String>,
    recipient: String,
}

/// Plans, checks that nothing is in the way, and writes; or completes what is configured already.
///
/// # Errors
/// `AlreadyExists` and `Conflict` where something else is in the way: nothing was changed then.
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
    ];
    settings.extend(choose::state_dir(request.state_dir.as_deref(), &config_file)?);
    settings.extend(choose::data_dir(request.data_dir.as_deref())?);
    for given in &request.settings {
        choose::set(&mut settings, given)?;
    }
    let text = config::template(&settings);
    // what is written is read back first, without this process's environment: a value that is
    // wrong is said now, with its key
    let config = Config::parse(&config_file, &text, &Inputs::default()).map_err(|error| {
        error.context("check the configuration that these flags give").with_kind(Kind::Usage)
    })?;
    let signing_text = signing_is_new.then(|| signing.to_openssh()).transpose()?;
    Ok(Plan { config_file, instance, identity, signing_file, signing_text, trusted_key, text, config })
}

fn refuse_to_overwrite(plan: &Plan) -> Result<()> {
    let identity = plan.identity.as_ref().filter(|new| new.text.is_some()).map(|new| &new.file);
    let signing = plan.signing_text.is_some().then_some(&plan.signing_file);
    let files = [Some(&plan.config_file), signing, identity];
    for path in files.into_iter().flatten() {
        if disk::metadata(path)?.is_some() {
            return Err(Error::new(Kind::AlreadyExists, format!("{} is there already", path.display()))
                .effect("nothing was written; a key that is overwritten is lost, and with it what it opens")
                .next(
                    "move it away, or name another place with --config, --identity-file or --signing-key",
                ));
        }
    }
    match disk::metadata(&plan.config.state_dir)? {
        Some(meta) if !meta.is_dir() => {
            let what = format!("{} is there and is no directory", plan.config.state_dir.display());
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

/// A path as the configuration names it: relative where it lies beside the file, so that the
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
        || Error::new(Kind::Usage, format!("{} is not UTF-8, and lifeboat.toml is", path.display()));
    path.to_str().map(str::to_owned).ok_or_else(not_text)
}
