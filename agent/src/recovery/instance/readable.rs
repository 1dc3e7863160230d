//! Root restores, and another user runs the server: its `restore_command` runs as that user, long after the
//! plan. What it cannot read is told in the plan, by trying as that user.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::config::{Config, Inputs};
use crate::error::{Error, Kind, Result};
use crate::postgres::server_start::is_secret;
use crate::recovery::FileOwner;

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
        .map_err(|e| Error::new(Kind::Internal, "cannot find out where this program lies").because(e))?;
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
    let is_stores = |name: &str| match url.split_once(':').map_or("", |(scheme, _)| scheme) {
        "s3" => name.starts_with("AWS_") && config.repository.credentials_file.is_none(),
        "az" => name.starts_with("AZURE_"),
        "gs" => name.starts_with("GOOGLE_"),
        _ => false,
    };
    for (name, value) in Inputs::from_process().environment {
        let Some(name) = name.to_str().filter(|name| is_secret(name) && !value.is_empty()) else { continue };
        if name == "LIFEBOAT_PASSPHRASE" && config.seal.passphrase_file.is_none() {
            out.push(format!("{name} of root's environment is not handed to it: seal.passphrase_file"));
        } else if is_stores(name) {
            out.push(format!(
                "{name} of root's environment is not handed to it: repository.credentials_file"
            ));
        }
    }
    Ok(out)
}

/// What the plan says of it.
pub fn sentence(owner: FileOwner, out_of_reach: &[String]) -> String {
    format!(
        "recovery fetches WAL as user {}, who runs the server, and this user cannot: {}. Let it read them \
         (chown, or group and mode), or restore as that user",
        owner.uid,
        out_of_reach.join("; ")
    )
}

/// Whether `owner` may, asked as that user and in no group but its own, as the server will be.
fn may(owner: FileOwner, flag: &str, path: &Path) -> Result<bool> {
    let mut command = Command::new("/usr/bin/test");
    command.arg(flag).arg(path).env_clear().current_dir("/").uid(owner.uid).gid(owner.gid);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().map_err(|e| Error::file("run", Path::new("/usr/bin/test"), e))?;
    Ok(status.success())
}
