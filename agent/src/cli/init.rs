//! `lifeboat init`.

use std::path::PathBuf;

use super::commands::runnable;
use super::{App, Done};
use crate::config::FILE_NAME;
use crate::error::Result;
use crate::names::{counted, shell_path};
use crate::setup::{self, CompletedSetup, NewSetup, Setup, SetupRequest};

/// Write a commented lifeboat.toml and new keys for this host
///
/// Creates the configuration (--config, or ./lifeboat.toml), an age identity that opens every archive, an
/// Ed25519 key that signs them, a P-256 key that signs the evidence of release checkpoints, and the state
/// directory. Nothing that exists is overwritten: all of it is
/// checked before anything is written. Keep the identity on another machine; the last lines printed say
/// where.
///
/// In a pod, set LIFEBOAT_INSTANCE, LIFEBOAT_REPOSITORY_URL, LIFEBOAT_SEAL_RECIPIENTS and
/// LIFEBOAT_SIGNING_KEY_FILE. Then no file is written: the mounted keys are used, and the repository and the
/// state directory are created. With --if-missing the command may be repeated. What exists and is the same
/// is accepted; what belongs to another instance or repository is refused.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat init --instance production --repository s3://acme-backups/odoo \\
      --data-dir /var/lib/odoo
  lifeboat init --config /etc/lifeboat/lifeboat.toml \\
      --repository /mnt/nas/odoo --recipient age1... --recipient age1...
  lifeboat init --set postgres.host=/var/run/postgresql --set postgres.user=odoo
  # in an init container, configured by LIFEBOAT_* alone
  lifeboat init --if-missing")]
pub struct Args {
    /// Odoo's data_dir, which holds filestore/ [default: the usual place, if it exists]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the agent keeps its index [default: beside the configuration or /var/lib/lifeboat]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Encrypt to this recipient (age1... or an SSH public key) instead of creating an identity; repeat it,
    /// for operations and for escrow
    #[arg(long = "recipient", value_name = "RECIPIENT")]
    recipients: Vec<String>,
    /// Write the new identity here [default: lifeboat-identity.txt beside the configuration]
    #[arg(long, value_name = "FILE", conflicts_with = "recipients")]
    identity_file: Option<PathBuf>,
    /// Write the new signing key here, and that of evidence beside it [default: lifeboat-signing-key beside
    /// the configuration]
    #[arg(long, value_name = "FILE")]
    signing_key: Option<PathBuf>,
    /// Set another key of the configuration, as in --set postgres.port=5433; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Create what is missing and accept what exists if it is the same: for an init container
    #[arg(long)]
    if_missing: bool,
}

/// Makes it, and says what to do with the keys.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    let request = SetupRequest {
        data_dir: args.data_dir,
        state_dir: args.state_dir,
        recipients: args.recipients,
        identity_file: args.identity_file,
        signing_key: args.signing_key,
        settings: args.settings,
        if_missing: args.if_missing,
    };
    let setup = setup::run(&request, &app.inputs).await?;
    app.print(&setup, || match &setup {
        Setup::Written(new) => advice(new),
        Setup::Completed(completed) => summary(completed),
    })?;
    Ok(Done::Complete)
}

fn advice(new: &NewSetup) -> String {
    let mut text = format!(
        "{}\n    the configuration of instance {}: every key with its default and an explanation\n\
         {}\n    signs what this host stores; only the agent's user may read it\n\
         {}\n    signs the evidence of release checkpoints; only the agent's user may read it\n\
         {}\n    its public half: give it to your pipeline, which verifies evidence with it\n",
        new.config.display(),
        new.instance,
        new.signing_key.display(),
        new.evidence_key.display(),
        new.evidence_public_key.display(),
    );
    match new.identity.as_ref().zip(new.identity_recipient.as_ref()) {
        Some((file, recipient)) => text.push_str(&format!(
            "{file}\n    the identity: it opens every archive\n\n\
             Whoever has the identity can read every backup; without it nobody can restore any. This host does not \
             need it: it encrypts to the public key\n  {recipient}\n\
             Keep the identity in a password manager, on paper in a safe, and on the restore host (mode 0600).\n\
             Do not keep it on this host, in the repository, in git, in a ticket or in a mail.\n\
             Copy it there now and compare the copy. Then remove it here:\n  shred -u {word}\n\
             So that one lost key is not the loss of all backups, add the public key of somebody else to \
             seal.recipients (escrow).\n",
            file = file.display(),
            word = shell_path(file),
        )),
        None => text.push_str(&format!(
            "\nArchives are encrypted to {}; make sure that the identities are kept off this host.\n",
            counted(new.recipients.len() as u64, "given recipient")
        )),
    }
    text.push_str(&format!(
        "Restore hosts must trust this public key (signing.trusted_keys):\n  {}\n",
        new.trusted_key
    ));
    if new.data_dir.is_none() {
        text.push_str("odoo.data_dir is not set: no data directory was found in the usual places.\n");
    }
    text.push_str(&runnable("Next: lifeboat doctor, then lifeboat backup"));
    text
}

fn summary(completed: &CompletedSetup) -> String {
    let from = match &completed.config {
        Some(file) => file.display().to_string(),
        None => format!("the environment only (./{FILE_NAME} is not written)"),
    };
    let made = |made: bool| if made { "made" } else { "there already, the same" };
    format!(
        "instance {}, configured by {from}\nrepository {}: {}\nstate directory {}: {}\n{}\nNext: lifeboat doctor",
        completed.instance,
        completed.repository,
        made(completed.made_repository),
        completed.state_dir.display(),
        made(completed.made_state_dir),
        completed.compared,
    )
}
