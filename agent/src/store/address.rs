//! Reads a repository's URL, and checks the address of a server.

use std::path::PathBuf;

use super::key;
use crate::error::{Error, Kind, Result};

/// Where a repository is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A directory, absolute.
    Local(PathBuf),
    /// A bucket or container, and the prefix in it.
    Bucket { service: Service, bucket: String, prefix: String },
}

/// The service of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    S3,
    Azure,
    Google,
}

impl Address {
    /// Reads `s3://bucket/prefix`, `az://container/prefix`, `gs://bucket/prefix`, `file:///dir`
    /// or a plain path.
    pub(super) fn parse(url: &str) -> Result<Address> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return local(url, url);
        };
        let service = match scheme {
            "file" => return local(url, rest),
            "s3" => Service::S3,
            "az" => Service::Azure,
            "gs" => Service::Google,
            _ => return Err(wrong(url, "the scheme must be s3, az, gs or file")),
        };
        if rest.contains(['@', '?']) {
            // Not shown: what is before the @ may be a password, what follows the ? a token.
            return Err(Error::new(Kind::Config, format!("a {scheme}:// URL contains credentials"))
                .next("put them into a file with mode 0600 and set credentials_file to its path"));
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let name = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if bucket.is_empty() || bucket.len() > 255 || !bucket.bytes().all(name) {
            return Err(wrong(
                url,
                "the name of the bucket or container is empty or has a character that is not allowed",
            ));
        }
        if !prefix.is_empty()
            && let Some(why) = key::fault(prefix)
        {
            return Err(wrong(url, &format!("its prefix is wrong: {why}")));
        }
        Ok(Address::Bucket { service, bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }

    /// The address as it is shown, without a trailing slash.
    pub(super) fn url(&self) -> String {
        match self {
            Address::Local(dir) => dir.display().to_string(),
            Address::Bucket { service, bucket, prefix } => {
                let scheme = match service {
                    Service::S3 => "s3",
                    Service::Azure => "az",
                    Service::Google => "gs",
                };
                key::join(&format!("{scheme}://{bucket}"), prefix)
            }
        }
    }
}

/// Refuses an endpoint without TLS where that was not allowed, and one that is invalid.
pub(super) fn check_endpoint(url: &str, endpoint: &str, allow_http: bool) -> Result<()> {
    let wrong = |why: String| Error::new(Kind::Config, format!("cannot open {url}: {why}"));
    if endpoint.contains(['?', '@', '#']) {
        // Not shown: it may hold a token.
        return Err(wrong("its endpoint contains more than https://HOST:PORT/PATH".to_owned())
            .next("put keys and tokens into a file with mode 0600 and set credentials_file to its path"));
    }
    match endpoint.split_once("://") {
        Some(("https", _)) => Ok(()),
        Some(("http", _)) if allow_http => Ok(()),
        Some(("http", _)) => Err(wrong(format!("endpoint {endpoint} has no TLS"))
            .next("use https, or set allow_http = true in a network that you trust")),
        _ => Err(wrong(format!("endpoint {endpoint} must begin with https:// or http://"))),
    }
}

fn local(url: &str, path: &str) -> Result<Address> {
    if path.is_empty() {
        return Err(wrong(url, "it is empty"));
    }
    if url != path && !path.starts_with('/') {
        return Err(wrong(url, "a file URL needs three slashes and an absolute path"));
    }
    // Absolute, so that a later change of the working directory does not move the repository.
    let path = std::path::absolute(path).map_err(|e| wrong(url, "it is not a path").because(e))?;
    Ok(Address::Local(path.components().collect()))
}

fn wrong(url: &str, why: &str) -> Error {
    Error::new(Kind::Config, format!("repository URL {url:?} is wrong: {why}"))
        .next("use s3://bucket/prefix, az://container/prefix, gs://bucket/prefix or a directory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_shown() {
        for (url, shown) in [
            ("s3://acme-dr/prod/", "s3://acme-dr/prod"),
            ("s3://acme-dr", "s3://acme-dr"),
            ("az://box/a/b", "az://box/a/b"),
            ("gs://b/a", "gs://b/a"),
            ("file:///srv/x/", "/srv/x"),
            ("/srv/x//", "/srv/x"),
        ] {
            assert_eq!(Address::parse(url).unwrap().url(), shown);
        }
        for bad in
            ["", "s3://", "s3:///x", "s3://b//x", "s3://b/../x", "file://", "file://host/x", "ftp://x/y"]
        {
            assert_eq!(Address::parse(bad).unwrap_err().kind(), Kind::Config, "{bad}");
        }
    }

    #[test]
    fn credentials_in_a_url_are_refused_and_not_shown() {
        for url in ["s3://key:hunter2@bucket/x", "az://box/x?sv=1&sig=hunter2"] {
            let error = Address::parse(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }
}
