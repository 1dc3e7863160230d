//! `lifeboat init`: configuration, keys and state directory of a new instance.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::commands::runnable;
use super::{App, Done};
use crate::config::{Config, FILE_NAME, Inputs, Setting};
use crate::error::{Error, Kind, Result};
use crate::names::{InstanceName, shell_path};
use crate::{config, disk};

mod choose;
mod there;
mod write;

/// What the identity is called when nobody says otherwise.
pub const IDENTITY_FILE: &str = "lifeboat-identity.txt";
const SIGNING_FILE: &str = "lifeboat-signing-key";

/// Write a commented lifeboat.toml and new keys for this host
///
/// Creates the configuration (--config, or ./lifeboat.toml), an age identity that opens every
/// archive, an Ed25519 key that signs them, and the state directory. Nothing that exists is
/// overwritten: everything is looked at before anything is written. The identity belongs on
/// another machine, and the last lines printed say where.
///
/// Where the environment gives LIFEBOAT_INSTANCE, LIFEBOAT_REPOSITORY_URL, LIFEBOAT_SEAL_RECIPIENTS and
/// LIFEBOAT_SIGNING_KEY_FILE, as in a pod, no file is written: the keys are those that are mounted, and the
/// repository and the state directory are made. With --if-missing it may be repeated: what is there and
/// the same is fine, what is another instance's or repository's is refused.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat init --instance production --repository s3://acme-backups/odoo --data-dir /var/lib/odoo
  lifeboat init --config /etc/lifeboat/lifeboat.toml --repository /mnt/nas/odoo \\
      --recipient age1... --recipient age1...
  lifeboat init --if-missing                          in an init container, configured by LIFEBOAT_* alone
  lifeboat init --set postgres.host=/var/run/postgresql --set postgres.user=odoo --set backup.workers=4")]
pub struct Args {
    /// Odoo's data_dir, the directory that holds filestore/ [default: the usual place, if it is there]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the agent keeps its index [default: beside the configuration, or /var/lib/lifeboat]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Encrypt to this recipient (age1... or an SSH public key) instead of making an identity;
    /// repeat it, for operations and for escrow
    #[arg(long = "recipient", value_name = "RECIPIENT")]
    recipients: Vec<String>,
    /// Where the new identity is written [default: lifeboat-identity.txt beside the configuration]
    #[arg(long, value_name = "FILE", conflicts_with = "recipients")]
    identity_file: Option<PathBuf>,
    /// Where the new signing key is written [default: lifeboat-signing-key beside the configuration]
    #[arg(long, value_name = "FILE")]
    signing_key: Option<PathBuf>,
    /// Set another key of the configuration, as in --set postgres.port=5433
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Make what is missing, and accept what is there where it is the same: for a start that is repeated, as in an
    /// init container
    #[arg(long)]
    if_missing: bool,
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

/// Plans, checks that nothing is in the way, writes, and says what to do with the keys.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    let config_file = config_file(&app.inputs)?;
    if there::is_there(&args, &app.inputs, &config_file)? {
        return there::complete(&args, app, &config_file).await;
    }
    let plan = plan(&args, &app.inputs, config_file)?;
    refuse_to_overwrite(&plan)?;
    write::write(&plan).await?;
    let facts = json!({
        "config": plan.config_file,
        "instance": plan.instance,
        "repository": plan.config.repository.url,
        "state_dir": plan.config.state_dir,
        "data_dir": plan.config.odoo.data_dir,
        "identity": plan.identity.as_ref().map(|identity| &identity.file),
        "recipients": plan.config.seal.recipients,
        "signing_key": plan.signing_file,
        "trusted_key": plan.trusted_key,
    });
    app.print(&facts, || advice(&plan))?;
    Ok(Done::Complete)
}

fn config_file(inputs: &Inputs) -> Result<PathBuf> {
    match (&inputs.config, inputs.variable("LIFEBOAT_CONFIG")?) {
        (Some(path), _) => absolute(path),
        (None, Some(path)) => absolute(Path::new(&path)),
        (None, None) => absolute(Path::new(FILE_NAME)),
    }
}

fn plan(args: &Args, inputs: &Inputs, config_file: PathBuf) -> Result<Plan> {
    let beside = |name: &str| config_file.with_file_name(name);
    let instance = choose::instance(inputs)?;
    let signing_file = args.signing_key.as_deref().map_or(Ok(beside(SIGNING_FILE)), absolute)?;
    let (signing, signing_is_new) = choose::signing(&signing_file, &instance, args.if_missing)?;
    let trusted_key = signing.public_text()?;
    let identity = match args.recipients.is_empty() {
        false => None,
        true => {
            let file = args.identity_file.as_deref().map_or(Ok(beside(IDENTITY_FILE)), absolute)?;
            Some(choose::identity(file, args.if_missing)?)
        }
    };
    let recipients: Vec<&str> = match &identity {
        Some(identity) => vec![&identity.recipient],
        None => args.recipients.iter().map(String::as_str).collect(),
    };
    let mut settings = vec![
        Setting::text("instance", instance.as_str()),
        choose::repository(inputs, &config_file)?,
        Setting::list("seal.recipients", recipients),
        Setting::text("signing.key_file", &path_beside(&signing_file, &config_file)?),
        Setting::list("signing.trusted_keys", [trusted_key.as_str()]),
    ];
    settings.extend(choose::state_dir(args.state_dir.as_deref(), &config_file)?);
    settings.extend(choose::data_dir(args.data_dir.as_deref())?);
    for given in &args.settings {
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

fn advice(plan: &Plan) -> String {
    let mut text = format!(
        "{}\n    the configuration of instance {}: every key with its default and a line of explanation\n\
         {}\n    signs what this host stores; it stays here, readable by the agent's user alone\n",
        plan.config_file.display(),
        plan.instance,
        plan.signing_file.display(),
    );
    match &plan.identity {
        Some(identity) => text.push_str(&format!(
            "{file}\n    the identity: the key to every archive\n\n\
             Without the identity nothing can be restored; with it everything can be read. This host needs it for\n\
             nothing: it encrypts to the public key {recipient}\n\
             Where it belongs: in a password manager, printed in a safe, on the restore host (mode 0600).\n\
             Where not: on this host, in the repository, in git, in a ticket, in a mail.\n\
             Copy it there now, compare the copy, then remove it here: shred -u {word}\n\
             Add an escrow recipient, kept by somebody else, to seal.recipients: one lost key is then no lost backup.\n",
            file = identity.file.display(),
            word = shell_path(&identity.file),
            recipient = identity.recipient,
        )),
        None => text.push_str(&format!(
            "\nArchives are encrypted to {} given recipients; make sure that their identities are kept off this host.\n",
            plan.config.seal.recipients.len()
        )),
    }
    text.push_str(&format!("The public key that restore hosts must trust: {}\n", plan.trusted_key));
    if plan.config.odoo.data_dir.is_none() {
        text.push_str("odoo.data_dir is not set: no data directory was found in the usual places.\n");
    }
    text.push_str(&runnable("Next: lifeboat doctor, then lifeboat backup"));
    text
}
