//! The defaults of `init`: those of a service for a file under /etc, directories beside the file
//! anywhere else.

use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret;

use super::{NewIdentity, absolute, path_beside, path_text};
use crate::archive::signature::SigningKey;
use crate::config::keys::{self, KEYS, Takes};
use crate::config::{Inputs, Setting};
use crate::error::{Error, Kind, Result};
use crate::names::InstanceName;
use crate::{clock, disk};

/// Largest identity file that is read.
const IDENTITY_BYTES_MAX: u64 = 64 << 10;
/// Where packages and images of Odoo keep their data.
const DATA_DIRS: [&str; 4] =
    ["/var/lib/odoo/.local/share/Odoo", "/var/lib/odoo", "/opt/odoo/.local/share/Odoo", "/bitnami/odoo/data"];

/// `--instance`, else the host's name, else `production`.
pub fn instance(inputs: &Inputs) -> Result<InstanceName> {
    if let Some(name) = &inputs.instance {
        return name.parse();
    }
    if let Some(name) = inputs.variable("LIFEBOAT_INSTANCE")? {
        return name.parse();
    }
    let host = disk::read_text(Path::new("/proc/sys/kernel/hostname"), 1_000).unwrap_or_default();
    let first = host.trim().split('.').next().unwrap_or_default().to_ascii_lowercase();
    first.parse().or_else(|_| "production".parse())
}

/// `--repository`, made absolute if it is a directory, else a directory beside the file.
pub fn repository(inputs: &Inputs, config_file: &Path) -> Result<Setting> {
    let given = match &inputs.repository {
        Some(url) => Some(url.clone()),
        None => inputs.variable("LIFEBOAT_REPOSITORY_URL")?,
    };
    let url = match given {
        Some(url) if url.contains("://") => url,
        Some(dir) => path_beside(&absolute(Path::new(&dir))?, config_file)?,
        None if in_etc(config_file) => "/var/lib/lifeboat-repository".to_owned(),
        None => "lifeboat-repository".to_owned(),
    };
    Ok(Setting::text("repository.url", &url))
}

/// `--state-dir`; without it the default for a file under /etc, else a directory beside the file.
pub fn state_dir(given: Option<&Path>, config_file: &Path) -> Result<Option<Setting>> {
    let text = match given {
        Some(dir) => path_beside(&absolute(dir)?, config_file)?,
        None if in_etc(config_file) => return Ok(None),
        None => "lifeboat-state".to_owned(),
    };
    Ok(Some(Setting::text("state_dir", &text)))
}

/// `--data-dir`, else the first usual place that holds a filestore, else `None`.
pub fn data_dir(given: Option<&Path>) -> Result<Option<Setting>> {
    let dir = match given {
        Some(dir) => Some(absolute(dir)?),
        None => DATA_DIRS.iter().map(PathBuf::from).find(|dir| dir.join("filestore").is_dir()),
    };
    dir.map(|dir| Ok(Setting::text("odoo.data_dir", &path_text(&dir)?))).transpose()
}

fn in_etc(config_file: &Path) -> bool {
    config_file.starts_with("/etc")
}

/// `--set KEY=VALUE`, written as in an environment variable: no quotes, commas between the items of a
/// list. The key's rule is applied later, when the whole file is checked.
pub fn set(settings: &mut Vec<Setting>, given: &str) -> Result<()> {
    let bad =
        |what: String| Error::new(Kind::Usage, what).next("write it like this: --set postgres.port=5433");
    let Some((name, value)) = given.split_once('=') else {
        return Err(bad(format!("--set {given:?} does not have the form KEY=VALUE")));
    };
    let Some(key) = keys::find(name).filter(|key| key.section() == keys::Section::Fixed) else {
        let near = keys::nearest(name, KEYS.iter().map(|key| key.name));
        let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        return Err(bad(format!("--set {name}: this key does not exist{near}")));
    };
    let quoted = Setting::text(name, value);
    let bare = value == "true" || value == "false" || value.bytes().all(|byte| byte.is_ascii_digit());
    let setting = match key.takes {
        Takes::Integer(..) | Takes::Flag if bare && !value.is_empty() => {
            Setting { name: name.to_owned(), value: value.to_owned() }
        }
        Takes::List(_) | Takes::Paths => Setting::list(name, value.split(',').map(str::trim)),
        _ => quoted,
    };
    settings.retain(|other| other.name != name);
    settings.push(setting);
    Ok(())
}

/// A new signing key, or the existing one if the caller allows that; and whether it is new.
pub fn signing(file: &Path, instance: &InstanceName, if_missing: bool) -> Result<(SigningKey, bool)> {
    match if_missing && disk::metadata(file)?.is_some() {
        true => Ok((SigningKey::load(file)?, false)),
        false => Ok((SigningKey::generate(&format!("lifeboat-{instance}"))?, true)),
    }
}

/// A new age identity in the format of `age-keygen`, or the existing one if the caller allows that.
pub fn identity(file: PathBuf, if_missing: bool) -> Result<NewIdentity> {
    if if_missing && disk::metadata(&file)?.is_some() {
        let text = disk::read_secret_text("identity file", &file, IDENTITY_BYTES_MAX)?;
        let identity = text.lines().find_map(|line| line.trim().parse::<age::x25519::Identity>().ok());
        let identity = identity.ok_or_else(|| {
            Error::new(Kind::Identity, format!("{} contains no valid age identity", file.display()))
                .effect("nothing was written")
                .next("pass its public key with --recipient, or name another file with --identity-file")
        })?;
        return Ok(NewIdentity { file, text: None, recipient: identity.to_public().to_string() });
    }
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public().to_string();
    let secret = identity.to_string();
    let text = format!(
        "# created: {}\n# public key: {recipient}\n{}\n",
        clock::text(clock::now()),
        secret.expose_secret()
    );
    Ok(NewIdentity { file, text: Some(text), recipient })
}
