//! Reads a connection string of an Azure storage account: `Name=value` pairs, separated by semicolons.
//!
//! Its errors never quote a part of it: any part may be a key.

use std::fmt;

/// The longest one that is read, and how many pairs it may have; Azure's own have about 400 bytes and 6
/// pairs.
const BYTES_MAX: usize = 8 * 1024;
const PAIRS_MAX: usize = 32;
/// Azure's public cloud.
const SUFFIX: &str = "core.windows.net";

/// An account with the credentials for its blobs. Debug shows no secret.
#[derive(Default)]
pub(super) struct Account {
    pub(super) name: Option<String>,
    pub(super) key: Option<String>,
    pub(super) sas: Option<String>,
    pub(super) endpoint: Option<String>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({:?} at {:?})", self.name, self.endpoint)
    }
}

/// Reads it; the error says why it is invalid.
pub(super) fn parse(text: &str) -> Result<Account, String> {
    if text.len() > BYTES_MAX {
        return Err(format!("the connection string is longer than {BYTES_MAX} bytes"));
    }
    let mut found = Account::default();
    let (mut protocol, mut suffix) = (None, None);
    let pairs = text.split(';').map(str::trim).filter(|pair| !pair.is_empty());
    for (number, pair) in (1..).zip(pairs) {
        let wrong = |why: &str| format!("part {number} of the connection string {why}");
        if number > PAIRS_MAX {
            return Err(format!("the connection string has more than {PAIRS_MAX} parts"));
        }
        let (name, value) = pair.split_once('=').ok_or_else(|| wrong("is not of the form Name=value"))?;
        if value.is_empty() || !value.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(wrong("is empty or has a character that is not allowed"));
        }
        let slot = match name.trim().to_ascii_lowercase().as_str() {
            "accountname" => &mut found.name,
            "accountkey" => &mut found.key,
            "sharedaccesssignature" => &mut found.sas,
            "blobendpoint" => &mut found.endpoint,
            "defaultendpointsprotocol" => &mut protocol,
            "endpointsuffix" => &mut suffix,
            // Other services of the account, and copies of it in another region.
            other if other.ends_with("endpoint") => continue,
            "usedevelopmentstorage" => {
                return Err(wrong(
                    "means the emulator; write BlobEndpoint, AccountName and AccountKey instead",
                ));
            }
            _ => {
                return Err(wrong(
                    "has a name that is unknown in the connection string of a storage account",
                ));
            }
        };
        if slot.replace(value.to_owned()).is_some() {
            return Err(wrong("was already given"));
        }
    }
    if found.endpoint.is_none()
        && let Some(account) = &found.name
    {
        let protocol = protocol.as_deref().unwrap_or("https");
        let suffix = suffix.as_deref().unwrap_or(SUFFIX);
        found.endpoint = Some(format!("{protocol}://{account}.blob.{suffix}"));
    }
    match found.endpoint {
        None => Err("the connection string has neither AccountName nor BlobEndpoint".to_owned()),
        Some(_) => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_azure_writes_is_read() {
        let key =
            "DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=aGk=;EndpointSuffix=core.windows.net";
        let found = parse(key).unwrap();
        assert_eq!((found.name.as_deref(), found.key.as_deref()), (Some("acme"), Some("aGk=")));
        assert_eq!(found.endpoint.as_deref(), Some("https://acme.blob.core.windows.net"));
        assert!(!format!("{found:?}").contains("aGk="));

        let sas = "BlobEndpoint=https://acme.blob.core.windows.net/;QueueEndpoint=https://acme.queue.core.windows.net/;\
                   SharedAccessSignature=sv=2024-08-04&sig=a%2Fb%3D;";
        let found = parse(sas).unwrap();
        assert_eq!(found.sas.as_deref(), Some("sv=2024-08-04&sig=a%2Fb%3D"));
        assert_eq!(found.endpoint.as_deref(), Some("https://acme.blob.core.windows.net/"));

        let china = parse("accountname=acme;accountkey=aGk=;endpointsuffix=core.chinacloudapi.cn").unwrap();
        assert_eq!(china.endpoint.as_deref(), Some("https://acme.blob.core.chinacloudapi.cn"));
    }

    #[test]
    fn errors_name_the_part_and_never_its_text() {
        let long = format!("AccountName=a;AccountKey={}", "x".repeat(BYTES_MAX));
        let many = "QueueEndpoint=hunter2;".repeat(PAIRS_MAX + 1);
        for bad in [
            "",
            "hunter2",
            "AccountName=hunter2;AccountName=hunter2",
            "AccountName=a;AccountKey=hunter2\n2",
            "AccountName=a;hunter2=hunter2",
            "AccountKey=hunter2",
            "UseDevelopmentStorage=hunter2",
            &long,
            &many,
        ] {
            let why = parse(bad).unwrap_err();
            assert!(!why.contains("hunter2") && !why.contains("xxx"), "{why}");
        }
    }
}
