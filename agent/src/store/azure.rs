//! Azure: which storage account, with which key, at which address.
//!
//! All of them come from one source, so that keys of two accounts never mix: the credentials file; else the
//! variable `AZURE_STORAGE_CONNECTION_STRING`; else the other variables of the Azure tools, up to the
//! identity of a pod or machine. The endpoint of the configuration overrides theirs.

use std::net::IpAddr;

use base64ct::{Base64, Encoding};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

use super::StoreOptions;
use super::address::check_endpoint;
use super::connection_string::{self, Account};
use super::credentials::Credentials;
use super::words::Words;
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};

const NAMES: &[&str] = &["account_name", "account_key", "sas_token", "connection_string"];
const CONNECTION_STRING: &str = "AZURE_STORAGE_CONNECTION_STRING";
/// Variables of Azure's command line tool that object_store does not know.
const MORE_VARIABLES: [(&str, AzureConfigKey); 2] = [
    ("AZURE_STORAGE_ACCOUNT", AzureConfigKey::AccountName),
    ("AZURE_STORAGE_KEY", AzureConfigKey::AccessKey),
];

/// The credentials for the container, and its names in errors.
pub(super) fn builder(
    container: &str,
    options: &StoreOptions,
    url: &str,
) -> Result<(MicrosoftAzureBuilder, Words)> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut builder = match (&options.credentials_file, variable(CONNECTION_STRING)) {
        (Some(path), _) => {
            let file = Credentials::read(path, NAMES)?;
            of_account(in_file(&file)?, |why| file.wrong(why))?
        }
        (None, Some(text)) => {
            let wrong = |why: &str| Error::new(Kind::Config, format!("{CONNECTION_STRING}: {why}"));
            of_account(connection_string::parse(&text).map_err(|why| wrong(&why))?, wrong)?
        }
        (None, None) => MORE_VARIABLES.into_iter().fold(
            MicrosoftAzureBuilder::from_env(),
            |builder, (name, key)| match (builder.get_config_value(&key), variable(name)) {
                (None, Some(value)) => builder.with_config(key, value),
                _ => builder,
            },
        ),
    };
    let endpoint = options.endpoint.clone().or(builder.get_config_value(&AzureConfigKey::Endpoint));
    let mut account = builder.get_config_value(&AzureConfigKey::AccountName);
    if let Some(endpoint) = endpoint {
        check_endpoint(url, &endpoint, options.allow_http)?;
        let endpoint = endpoint.trim_end_matches('/');
        let named = account_of(endpoint, account.as_deref()).map_err(|why| no_account(url, &why))?;
        account.get_or_insert(named);
        builder = builder.with_endpoint(endpoint.to_owned());
    }
    let account = account.ok_or_else(|| no_account(url, "no storage account is given"))?;
    // Checked here: object_store's own error quotes the key that it cannot read.
    if let Some(key) = builder.get_config_value(&AzureConfigKey::AccessKey)
        && Base64::decode_vec(&key).is_err()
    {
        return Err(Error::new(
            Kind::Config,
            format!("the key of the storage account {account} is not base64"),
        )
        .next("copy it again from the portal, or with az storage account keys list"));
    }
    let words = Words {
        url: url.to_owned(),
        place: format!("the container {container} of the storage account {account}"),
        credentials: "repository.credentials_file, AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT and \
                      AZURE_STORAGE_KEY",
        expire: builder.get_config_value(&AzureConfigKey::SasKey).and_then(|sas| expiry(&sas)),
    };
    Ok((builder.with_account(account).with_container_name(container), words))
}

fn no_account(url: &str, why: &str) -> Error {
    Error::new(Kind::Config, format!("cannot open {url}: {why}")).next(
        "set account_name in repository.credentials_file, or the variable AZURE_STORAGE_ACCOUNT, or \
         repository.endpoint = \"https://ACCOUNT.blob.core.windows.net\"",
    )
}

fn in_file(file: &Credentials) -> Result<Account> {
    let (name, key, sas) = (file.get("account_name"), file.get("account_key"), file.get("sas_token"));
    match file.get("connection_string") {
        None => Ok(Account { name, key, sas, endpoint: None }),
        Some(text) if name.is_none() && key.is_none() && sas.is_none() => {
            connection_string::parse(&text).map_err(|why| file.wrong(&why))
        }
        Some(_) => {
            Err(file.wrong("connection_string already contains account and key: remove the other names"))
        }
    }
}

/// A builder that uses this account and nothing of the environment.
fn of_account(found: Account, wrong: impl Fn(&str) -> Error) -> Result<MicrosoftAzureBuilder> {
    let builder = MicrosoftAzureBuilder::new();
    let builder = match (found.key, found.sas) {
        (Some(key), None) => builder.with_access_key(key),
        (None, Some(sas)) if !is_sas(&sas) => {
            return Err(wrong("the SAS token has no sig=; copy the whole token, as sv=...&sig=..."));
        }
        (None, Some(sas)) => builder.with_config(AzureConfigKey::SasKey, sas),
        (None, None) => return Err(wrong("it has neither an account key nor a SAS token")),
        (Some(_), Some(_)) => return Err(wrong("it has an account key and a SAS token; remove one of them")),
    };
    let builder = match found.name {
        Some(name) => builder.with_account(name),
        None => builder,
    };
    Ok(match found.endpoint {
        Some(endpoint) => builder.with_endpoint(endpoint),
        None => builder,
    })
}

fn is_sas(token: &str) -> bool {
    let pairs: Vec<_> = token.trim_start_matches('?').split('&').map(|pair| pair.split_once('=')).collect();
    pairs.iter().all(Option::is_some) && pairs.iter().flatten().any(|(name, _)| *name == "sig")
}

/// When a token expires (`se`), where it contains a time.
fn expiry(token: &str) -> Option<Timestamp> {
    let end = token.trim_start_matches('?').split('&').find_map(|pair| pair.strip_prefix("se="))?;
    end.replace("%3A", ":").replace("%3a", ":").parse().ok()
}

/// The account that an endpoint names: the first part of its path, as with azurite, or of its host.
fn account_of(endpoint: &str, known: Option<&str>) -> Result<String, String> {
    let (_, rest) = endpoint.split_once("://").unwrap_or(("", endpoint));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    match (path.split('/').next().unwrap_or_default(), host.split_once('.')) {
        ("", Some((account, _))) if host.parse::<IpAddr>().is_err() => Ok(account.to_owned()),
        ("", _) => {
            let account = known.unwrap_or("ACCOUNT");
            Err(format!("endpoint {endpoint} does not name the storage account: write {endpoint}/{account}"))
        }
        (account, _) => Ok(account.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_names_its_account() {
        for (endpoint, account) in [
            ("https://acme.blob.core.windows.net", "acme"),
            ("https://acme.blob.core.chinacloudapi.cn", "acme"),
            ("http://127.0.0.1:10000/devstoreaccount1", "devstoreaccount1"),
            ("http://azurite:10000/dev", "dev"),
        ] {
            assert_eq!(account_of(endpoint, None).unwrap(), account);
        }
        for bare in ["http://127.0.0.1:10000", "http://azurite:10000", "http://[::1]:10000"] {
            let why = account_of(bare, Some("acme")).unwrap_err();
            assert!(why.ends_with(&format!("write {bare}/acme")), "{why}");
        }
    }

    #[test]
    fn a_file_gives_one_way_in_and_its_errors_no_secret() {
        let refused = |account: Account| {
            let error = of_account(account, |why| Error::new(Kind::Config, why.to_owned())).unwrap_err();
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        };
        let some = |text: &str| Some(text.to_owned());
        refused(Account::default());
        refused(Account { sas: some("hunter2"), ..Default::default() });
        refused(Account { sas: some("sv=1&hunter2"), ..Default::default() });
        refused(Account { key: some("aGk="), sas: some("sig=hunter2"), ..Default::default() });
        assert!(is_sas("?sv=2024-08-04&sig=a%2Fb%3D"));
        let end: Timestamp = "2026-11-28T15:00:00Z".parse().unwrap();
        assert_eq!(expiry("?sv=1&se=2026-11-28T15%3A00%3A00Z&sig=x"), Some(end));
        assert_eq!(expiry("sv=1&se=2026-11-28&sig=x"), None);
    }
}
