//! Where an Odoo answers.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

use crate::error::{Error, Kind, Result};

/// The address of an Odoo, without a path: `https://HOST`, or `http://` on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OdooUrl(Url);

impl OdooUrl {
    /// Checks it. Plain http sends the password readable for everybody on the way, so it is for this host
    /// alone, unless `allow_http`.
    ///
    /// # Errors
    /// `Usage` where it is no such address.
    pub fn parse(text: &str, allow_http: bool) -> Result<OdooUrl> {
        let refused = |why: &str| {
            Error::new(Kind::Usage, format!("--url: {why}"))
                .effect("nothing was sent")
                .next("name the Odoo of the restored tenant: --url http://127.0.0.1:8069")
        };
        let url = Url::parse(text).map_err(|e| refused("it is not a URL").because(e))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("it holds a user or a password").next("use --user and --password-file"));
        }
        if url.query().is_some() || url.fragment().is_some() || url.path() != "/" {
            return Err(refused("it has more than a host and a port"));
        }
        match url.scheme() {
            "https" => {}
            "http" if allow_http || is_loopback(&url) => {}
            "http" => {
                return Err(refused("http would send the password unencrypted over the network")
                    .next("use https, or allow it on a network that you trust: --allow-http"));
            }
            _ => return Err(refused("it begins with neither https:// nor http://")),
        }
        Ok(OdooUrl(url))
    }

    /// Whether it is encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Where calls go.
    pub(super) fn endpoint(&self) -> Url {
        let mut url = self.0.clone();
        url.set_path("/jsonrpc");
        url
    }
}

impl fmt::Display for OdooUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_does_not_leave_the_host_unencrypted() {
        for fine in
            ["https://odoo.example.com", "http://127.0.0.1:8069", "http://localhost:8069/", "http://[::1]"]
        {
            assert!(OdooUrl::parse(fine, false).is_ok(), "{fine}");
        }
        for refused in [
            "http://10.0.0.5:8069",
            "http://127.0.0.1.example.com",
            "ftp://127.0.0.1",
            "https://admin:secret@odoo.example.com",
            "https://odoo.example.com/web",
            "https://odoo.example.com/?db=x",
            "127.0.0.1:8069",
        ] {
            let error = OdooUrl::parse(refused, false).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(OdooUrl::parse("http://10.0.0.5:8069", true).is_ok());
    }
}
