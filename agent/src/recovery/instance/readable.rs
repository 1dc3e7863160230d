//! If root restores and another user runs the server after we have ended, `restore_command` runs as that
//! user. The plan says what that user cannot read; this is tried as that user.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::config::{Config, Inputs};
use crate::disk;
use crate::environment;
use crate::error::{Error, Kind, Result};
use crate::recovery::FileOwner;

/// The variable with the passphrase of an encrypted identity.
const PASSPHRASE: &str = "LIFEBOAT_PASSPHRASE";
/// The first bytes of an encrypted identity, binary and armored.
const ENCRYPTED: [&[u8]; 2] = [b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED"];
/// Variables with a store's secrets, by the repository's scheme: another user's server gets none of them
/// ([`crate::environment::Child::ServerOfAnother`]).
const SECRETS: [(&str, &str); 9] = [
    ("s3", "AWS_SECRET_ACCESS_KEY"),
    ("az", "AZURE_STORAGE_ACCOUNT_KEY"),
    ("az", "AZURE_STORAGE_ACCESS_KEY"),
    ("az", "AZURE_STORAGE_KEY"),
    ("az", "AZURE_STORAGE_SAS_TOKEN"),
    ("az", "AZURE_STORAGE_CONNECTION_STRING"),
    ("az", "AZURE_CLIENT_SECRET"),
    ("gs", "GOOGLE_SERVICE_ACCOUNT_KEY"),
    ("gs", "GOOGLE_APPLICATION_CREDENTIALS"),
];

/// What `restore_command` needs and `owner` cannot read, each with what to do about it.
///
/// # Errors
/// `Io` if this cannot be tried.
pub fn out_of_reach(config: &Config, identities: &[PathBuf], owner: FileOwner) -> Result<Vec<String>> {
    let mut needed: Vec<PathBuf> = vec![config.file.clone()];
    let identities = if identities.is_empty() { &config.seal.identity_files } else { identities };
    needed.extend(identities.iter().cloned());
    needed.extend(config.seal.passphrase_file.clone());
    needed.extend(config.repository.credentials_file.clone());
    let url = config.repository.url.as_str();
    needed.extend(url.strip_prefix("file://").or(url.starts_with('/').then_some(url)).map(PathBuf::from));
    let program = std::env::current_exe()
        .map_err(|e| Error::new(Kind::Internal, "cannot find the path of this program").because(e))?;
    let mut out = Vec::new();
    for (path, flag) in needed
        .iter()
        .map(|path| (path, "-r"))
        .chain([(&program, "-x")])
        .filter(|(p, _)| !p.as_os_str().is_empty())
    {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        if !may(owner, flag, &path)? {
            out.push(format!("{} cannot be read", path.display()));
        }
    }
    let environment = Inputs::from_process();
    if environment.variable(PASSPHRASE)?.is_some()
        && config.seal.passphrase_file.is_none()
        && identities.iter().any(|identity| is_encrypted(identity))
    {
        out.push(format!("it does not get {PASSPHRASE} of root's environment: set seal.passphrase_file"));
    }
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    for (of, name) in SECRETS {
        let has_file = config.repository.credentials_file.is_some();
        if of == scheme && !has_file && environment.variable(name)?.is_some() {
            out.push(format!(
                "it does not get {name} of root's environment: set repository.credentials_file"
            ));
        }
    }
    Ok(out)
}

/// The warning in the plan; `pauses` says that recovery continues only after a pause.
pub fn sentence(owner: FileOwner, pauses: bool, out_of_reach: &[String]) -> String {
    let (when, or) = match pauses {
        true => ("when it is resumed, recovery fetches", "restore without --target-action pause"),
        false => ("recovery fetches", "add --start, so that this process fetches it"),
    };
    format!(
        "{when} WAL as user {} (the server's user), but: {}. Let this user read the files (chown, or group and \
        mode), or {or}",
        owner.uid,
        out_of_reach.join("; ")
    )
}

/// Whether `owner` may read it, tried as that user with only its own group, like the server.
fn may(owner: FileOwner, flag: &str, path: &Path) -> Result<bool> {
    let mut command = Command::new("/usr/bin/test");
    command.arg(flag).arg(path).current_dir("/").uid(owner.uid).gid(owner.gid);
    environment::clean(&mut command, environment::Child::ServerOfAnother);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().map_err(|e| Error::file("run", Path::new("/usr/bin/test"), e))?;
    Ok(status.success())
}

/// Whether the identity needs a passphrase.
fn is_encrypted(identity: &Path) -> bool {
    if !disk::metadata(identity).is_ok_and(|meta| meta.is_some_and(|meta| meta.is_file())) {
        return false; // a pipe can be read only once
    }
    let mut head = [0; 32];
    let read = disk::open(identity).ok().and_then(|mut file| file.read(&mut head).ok()).unwrap_or(0);
    ENCRYPTED.iter().any(|begin| head[..read].starts_with(begin))
}
