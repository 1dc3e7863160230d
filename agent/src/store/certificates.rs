//! What to do where TLS to a store fails for its certificate: neither the network nor the endpoint is wrong
//! then. object_store tells the cause by its text only.

use std::error::Error as StdError;

/// rustls-platform-verifier's words where the system has no certificate authorities.
const NO_AUTHORITIES: &str = "No CA certificates were loaded";
/// rustls' words for a certificate that it refuses.
const REFUSED: &str = "invalid peer certificate";
/// Its words for one of an authority that is not installed; `BadSignature` where another one of the same name
/// is.
const UNKNOWN: [&str; 2] =
    ["invalid peer certificate: UnknownIssuer", "invalid peer certificate: BadSignature"];
/// Causes that are looked at.
const CAUSES_MAX: usize = 20;

/// The next step, if a certificate is the cause.
pub(super) fn next(error: &(dyn StdError + 'static)) -> Option<&'static str> {
    let mut at = Some(error);
    for _ in 0..CAUSES_MAX {
        let cause = at?;
        if let Some(next) = of(&cause.to_string()) {
            return Some(next);
        }
        at = cause.source();
    }
    None
}

fn of(text: &str) -> Option<&'static str> {
    match text {
        t if t.contains(NO_AUTHORITIES) => Some(
            "install the package ca-certificates, or set SSL_CERT_FILE to a file with CA certificates (PEM)",
        ),
        t if UNKNOWN.iter().any(|words| t.contains(words)) => Some(
            "install the CA certificate that signed the store's certificate (package ca-certificates, update-ca-certificates), or set SSL_CERT_FILE to a file that contains it (PEM)",
        ),
        t if t.contains(REFUSED) => Some(
            "correct the name of the endpoint, the store's certificate or this machine's clock, then run again",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use object_store::Error as Raw;
    use rustls::{CertificateError, Error as Tls};

    use super::*;
    use crate::error::{Error, Kind};

    /// As a store's client reports it: below other errors.
    fn shown(tls: Tls) -> Option<&'static str> {
        let connect = Error::new(Kind::Io, "client error (Connect)").because(std::io::Error::other(tls));
        next(&Raw::Generic { store: "S3", source: Box::new(connect) })
    }

    #[test]
    fn a_certificate_is_told_from_a_network_that_fails() {
        let none = Tls::General("No CA certificates were loaded from the system".to_owned());
        assert!(shown(none).unwrap().contains("the package ca-certificates"));
        for unknown in [CertificateError::UnknownIssuer, CertificateError::BadSignature] {
            let text = shown(unknown.into()).unwrap();
            assert!(text.contains("SSL_CERT_FILE"), "{text}");
        }
        for other in [CertificateError::NotValidForName, CertificateError::Expired] {
            let text = shown(other.into()).unwrap();
            assert!(text.contains("the store's certificate"), "{text}");
        }
        assert_eq!(shown(Tls::General("connection reset".to_owned())), None);
    }
}
