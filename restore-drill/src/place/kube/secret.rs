//! What the pod that restores needs of the drill's host: a configuration with the keys of a restore, and the
//! files and variables that it names. The key that signs reports stays here, and so do the passwords of
//! production's server.

use std::collections::BTreeMap;
use std::path::Path;

use lifeboat::config::{Config, units};
use lifeboat::disk::read_secret;
use lifeboat::error::{Error, Kind, Result};
use serde_json::json;

use super::order::{CONFIG, SECRET_DIR, WORK_DIR};
use crate::report::verdict::ms;
use crate::setup::Setup;
use crate::vault;

const FILE_BYTES_MAX: u64 = 64 << 10;
/// Variables with credentials of a store begin with one of these.
const CREDENTIALS: [&str; 4] = ["AWS_", "AZURE_", "GOOGLE_", "LIFEBOAT_PASSPHRASE"];

/// The content of the Secret.
#[derive(Debug)]
pub struct Secrets {
    /// By the key in the Secret.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Keys that are variables of the environment, not files.
    pub variables: Vec<String>,
    /// `host:port` of the store, if the configuration names one.
    pub store: Option<String>,
}

impl Secrets {
    /// Those of a drill.
    ///
    /// # Errors
    /// `Config` if pods cannot reach the repository; those of the files.
    pub fn of(setup: &Setup) -> Result<Secrets> {
        let config = vault::load(&setup.plan.config)?;
        let repository = &config.repository;
        let refused = |what: &str, next: &str| {
            Err(Error::new(Kind::Config, what).effect("no namespace was created").next(next))
        };
        if repository.url.starts_with('/') || repository.url.starts_with("file:") {
            let what = format!("pods cannot reach {}, a directory of this machine", repository.url);
            return refused(&what, "keep the repository in an object store, or drill without [kubernetes]");
        }
        if repository.profile.is_some() {
            return refused(
                "pods cannot use repository.profile, which is in the home directory of a user",
                "set repository.credentials_file in the configuration of the drill",
            );
        }
        let mut files = BTreeMap::new();
        let mut add = |name: String, what: &str, path: &Path| {
            files.insert(name.clone(), read_secret(what, path, FILE_BYTES_MAX)?);
            Ok::<_, Error>(format!("{SECRET_DIR}/{name}"))
        };
        let identities = match setup.identities.as_slice() {
            [] => &config.seal.identity_files,
            given => given,
        };
        let numbered =
            |(number, path): (usize, &std::path::PathBuf)| (format!("identity-{number}"), path.clone());
        let mut paths = Vec::new();
        for (name, path) in identities.iter().enumerate().map(numbered) {
            paths.push(add(name, "identity", &path)?);
        }
        let passphrase = &config.seal.passphrase_file;
        let passphrase =
            passphrase.as_ref().map(|path| add("passphrase".into(), "passphrase", path)).transpose()?;
        let credentials = repository.credentials_file.as_ref();
        let credentials = credentials
            .map(|path| add("credentials".into(), "credentials of the store", path))
            .transpose()?;
        let text = configuration(&config, &paths, passphrase.as_deref(), credentials.as_deref())?;
        files.insert(CONFIG.to_owned(), text.into_bytes());
        let mut variables = Vec::new();
        for (name, value) in std::env::vars_os() {
            let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { continue };
            let (name, value) = (name.to_owned(), value.to_owned());
            if CREDENTIALS.iter().any(|begin| name.starts_with(begin)) {
                files.insert(name.clone(), value.into_bytes());
                variables.push(name);
            }
        }
        Ok(Secrets { files, variables, store: repository.endpoint.as_deref().and_then(host_and_port) })
    }
}

/// The keys that a restore needs, with the paths of a pod.
fn configuration(
    config: &Config,
    identities: &[String],
    passphrase: Option<&str>,
    credentials: Option<&str>,
) -> Result<String> {
    let of = &config.repository;
    let time = |time| units::duration_text(ms(time));
    let mut repository = json!({"url": of.url, "allow_http": of.allow_http,
        "virtual_hosted": of.virtual_hosted, "request_timeout": time(of.request_timeout),
        "retry_deadline": time(of.retry_deadline)});
    let optional = [("endpoint", of.endpoint.as_deref()), ("region", of.region.as_deref())];
    for (key, value) in optional.into_iter().chain([("credentials_file", credentials)]) {
        if let Some(value) = value {
            repository[key] = json!(value);
        }
    }
    let mut seal = json!({"identity_files": identities});
    if let Some(file) = passphrase {
        seal["passphrase_file"] = json!(file);
    }
    let all = json!({
        "instance": config.instance, "state_dir": "/tmp/state",
        "repository": repository, "seal": seal,
        "signing": {"trusted_keys": config.signing.trusted_keys},
        "expire": {"trusted_keys": config.expire.trusted_keys},
        "restore": {"work_dir": format!("{WORK_DIR}/restore")},
    });
    toml::to_string(&all)
        .map_err(|e| Error::new(Kind::Internal, "cannot write the configuration of a pod").because(e))
}

/// `10.0.0.1:9000` of `http://10.0.0.1:9000/x`.
fn host_and_port(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split('/').next()?;
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Some(match has_port {
        true => host.to_owned(),
        false => format!("{host}:{}", if scheme == "http" { 80 } else { 443 }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_store_is_that_of_its_url() {
        assert_eq!(host_and_port("http://10.98.1.1:9000").as_deref(), Some("10.98.1.1:9000"));
        assert_eq!(host_and_port("https://s3.example.com/x").as_deref(), Some("s3.example.com:443"));
    }
}
