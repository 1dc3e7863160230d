//! Root restores, and another user will run the server, who recovers when we have ended: `restore_command` runs as
//! that user then. What this user cannot read is told in the plan, by trying as that user.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::config::{Config, Inputs};
use crate::disk;
use crate::environment;
use crate::error::{Error, Kind, Result};
use crate::recovery::FileOwner;

/// What opens an identity that is a file of age's itself.
const PASSPHRASE: &str = "LIFEBOAT_PASSPHRASE";
/// How such an identity begins, plain and armored.
const ENCRYPTED: [&[u8]; 2] = [b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED"];
/// Secrets of stores, by the repository's scheme: a server of another user gets none of them
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

/// What `restore_command` would need and `owner` cannot have, each with what to do about it.
///
/// # Errors
/// `Io` where nobody can be asked.
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

/// What the plan says of it; `pauses` tells that recovery only continues after a pause.
pub fn sentence(owner: FileOwner, pauses: bool, out_of_reach: &[String]) -> String {
    let (when, or) = match pauses {
        true => ("when it is resumed, recovery fetches", "restore without --target-action pause"),
        false => ("recovery fetches", "pass --start: then this process fetches it"),
    };
    format!(
        "{when} WAL as user {} (the server's user), but: {}. Let this user read the files (chown, or group and \
        mode), or {or}",
        owner.uid,
        out_of_reach.join("; ")
    )
}

/// Whether `owner` may, asked as that user and in no group but its own, as the server will be.
fn may(owner: FileOwner, flag: &str, path: &Path) -> Result<bool> {
    let mut command = Command::new("/usr/bin/test");
    command.arg(flag).arg(path).current_dir("/").uid(owner.uid).gid(owner.gid);
    environment::clean(&mut command, environment::Child::ServerOfAnother);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().map_err(|e| Error::file("run", Path::new("/usr/bin/test"), e))?;
    Ok(status.success())
}

/// Whether it needs a passphrase.
fn is_encrypted(identity: &Path) -> bool {
    if !disk::metadata(identity).is_ok_and(|meta| meta.is_some_and(|meta| meta.is_file())) {
        return false; // what is read of a pipe is gone
    }
    let mut head = [0; 32];
    let read = disk::open(identity).ok().and_then(|mut file| file.read(&mut head).ok()).unwrap_or(0);
    ENCRYPTED.iter().any(|begin| head[..read].starts_with(begin))
}
