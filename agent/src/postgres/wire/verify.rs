//! Verifies the server's certificate, as far as `postgres.tls` requires it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// For `prefer` and `require`, which encrypt but do not check who answers: any certificate is accepted.
///
/// Even the handshake's signature is not checked. It would only prove that the peer has the key of the
/// certificate that it sent; an attacker can send a certificate of its own. And the library cannot read
/// certificates of X.509 version 1, which the commands in PostgreSQL's manual create.
#[derive(Debug)]
pub struct Anyone(pub Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// For `verify-ca` and `verify-full`: checks the authority, and for the latter the host name too.
#[derive(Debug)]
pub struct Known {
    /// The verifier.
    pub verifier: Arc<WebPkiServerVerifier>,
    /// Whether the host name is checked.
    pub by_name: bool,
    /// Set if the refused certificate has X.509 version 1.
    pub version_1: Arc<AtomicBool>,
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        match self.verifier.verify_server_cert(certificate, between, name, ocsp, now) {
            Err(Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }))
                if !self.by_name =>
            {
                Ok(ServerCertVerified::assertion())
            }
            Err(e) => {
                self.version_1.store(is_version_1(certificate), Ordering::Relaxed);
                Err(e)
            }
            known => known,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Whether a certificate has X.509 version 1: its first element is not the version `[0]`, which is left
/// out in version 1 (RFC 5280, 4.1).
fn is_version_1(certificate: &[u8]) -> bool {
    let inside = |der: &[u8]| -> Option<usize> {
        let length = *der.get(1)?;
        (*der.first()? == 0x30).then_some(2 + if length < 0x80 { 0 } else { usize::from(length & 0x7f) })
    };
    let first = || {
        let certificate = certificate.get(inside(certificate)?..)?;
        certificate.get(inside(certificate)?).copied()
    };
    first().is_some_and(|tag| tag != 0xa0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_without_a_version_is_of_version_1() {
        // SEQUENCE { SEQUENCE { [0] { INTEGER 2 }, INTEGER 1 … and the same without [0], lengths short and
        // long
        assert!(!is_version_1(&[0x30, 0x0a, 0x30, 0x08, 0xa0, 0x03, 0x02, 0x01, 0x02, 0x02, 0x01, 0x01]));
        assert!(!is_version_1(&[0x30, 0x82, 0x01, 0x00, 0x30, 0x81, 0xf0, 0xa0, 0x03]));
        assert!(is_version_1(&[0x30, 0x82, 0x01, 0x00, 0x30, 0x81, 0xf0, 0x02, 0x01]));
        for nonsense in [&[][..], &[0x30], &[0x31, 0x00, 0x30], &[0x30, 0x84]] {
            assert!(!is_version_1(nonsense));
        }
    }
}
