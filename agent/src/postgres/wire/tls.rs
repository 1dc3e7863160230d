//! TLS to the server, as configured; the same for every connection.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, InconsistentKeys, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::message::Socket;
use super::verify::{Anyone, Known};
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::postgres::connect::{PostgresOptions, Tls};

/// Largest file of certificates or keys that is read.
const PEM_BYTES_MAX: u64 = 4 << 20;

/// The socket, encrypted if the configuration wants it and the server offers it; and whether it is encrypted.
///
/// # Errors
/// `Postgres` if TLS is required but the server offers none, or if its certificate is refused.
pub async fn secure(
    options: &PostgresOptions,
    mut socket: TcpStream,
    place: &str,
) -> Result<(Box<dyn Socket>, bool)> {
    let version_1 = Arc::new(AtomicBool::new(false));
    let failed = |e: std::io::Error| {
        let next = next(options, &e, version_1.load(Ordering::Relaxed));
        Error::new(Kind::Postgres, format!("TLS failed: {place}")).because(e).next(next)
    };
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    socket.write_all(&request).await.map_err(failed)?;
    match (socket.read_u8().await.map_err(failed)?, options.tls) {
        (b'S', _) => {}
        (b'N', Tls::Prefer) => return Ok((Box::new(socket), false)),
        _ => {
            return Err(Error::new(Kind::Postgres, format!("the server offers no TLS: {place}"))
                .next("turn on ssl in the server, or set postgres.tls = \"disable\" if nobody can listen on the network"));
        }
    }
    let mut config = config(options, version_1.clone())?;
    let name = match (ServerName::try_from(options.host_text().to_owned()), options.tls) {
        (Ok(name), _) => name,
        (Err(e), Tls::VerifyFull) => return Err(failed(std::io::Error::other(e))),
        (Err(_), _) => {
            config.enable_sni = false; // not a name that a certificate could have, and names are not checked
            ServerName::try_from("localhost").map_err(|e| failed(std::io::Error::other(e)))?
        }
    };
    let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await;
    Ok((Box::new(stream.map_err(failed)?), true))
}

/// What to do about a failed handshake.
fn next(options: &PostgresOptions, e: &std::io::Error, version_1: bool) -> String {
    use CertificateError::{Expired, ExpiredContext, NotValidForName, NotValidForNameContext, UnknownIssuer};
    let host = options.host_text();
    if version_1 {
        return format!(
            "the server's certificate has X.509 version 1, which cannot be verified: create one of version 3, \
             openssl x509 -req -in server.csr -CA root.crt -CAkey root.key -CAcreateserial -days 365 \
             -extfile <(echo subjectAltName=DNS:{host}) -out server.crt"
        );
    }
    let tls = e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => format!(
            "create a certificate with subjectAltName=DNS:{host}, connect by a name in the certificate, or set \
             postgres.tls = \"verify-ca\""
        ),
        Some(rustls::Error::InvalidCertificate(UnknownIssuer)) => {
            "set postgres.tls_ca_file to the certificate of the authority that signed the server's certificate".to_owned()
        }
        Some(rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. })) => {
            "renew the server's certificate".to_owned()
        }
        Some(rustls::Error::AlertReceived(_)) => {
            "the server refused: see its log; if it requires a client certificate, set postgres.tls_cert_file and \
             postgres.tls_key_file"
                .to_owned()
        }
        _ => "check postgres.tls and postgres.tls_ca_file against the server's certificate".to_owned(),
    }
}

fn config(options: &PostgresOptions, version_1: Arc<AtomicBool>) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let cannot = |e: String| Error::new(Kind::Internal, "cannot set up TLS").because(e);
    let verifier: Arc<dyn ServerCertVerifier> = match options.tls {
        Tls::VerifyCa | Tls::VerifyFull => {
            let roots = Arc::new(roots(options)?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
                .build()
                .map_err(|e| cannot(e.to_string()))?;
            Arc::new(Known { verifier, by_name: options.tls == Tls::VerifyFull, version_1 })
        }
        _ => Arc::new(Anyone(provider.clone())),
    };
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| cannot(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let (Some(cert), Some(key)) = (&options.tls_cert, &options.tls_key) else {
        return Ok(builder.with_no_client_auth());
    };
    let unfit = |e: rustls::Error| {
        Error::new(Kind::Config, format!("{} and {} cannot be used", cert.display(), key.display()))
            .because(e.to_string())
            .next(
                "set postgres.tls_key_file to the key of the certificate in postgres.tls_cert_file: RSA, ECDSA or \
                 Ed25519, without a passphrase",
            )
    };
    let signer = provider.key_provider.load_private_key(private_key(key)?).map_err(unfit)?;
    let ours = CertifiedKey::new(certificates(cert)?, signer);
    // Ignore other errors: the server may accept what this library cannot read, such as X.509 version 1.
    if let Err(e @ rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) = ours.keys_match() {
        return Err(unfit(e));
    }
    Ok(builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(ours))))
}

fn roots(options: &PostgresOptions) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(file) = &options.tls_root_cert else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|e| unusable(file, "certificates").because(e.to_string()))?;
    }
    Ok(roots)
}

fn unusable(file: &Path, what: &str) -> Error {
    Error::new(Kind::Config, format!("{} contains no usable {what}", file.display()))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = disk::read(file, PEM_BYTES_MAX)?;
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|e| unusable(file, "certificates").because(e.to_string()))?;
    match found.is_empty() {
        true => Err(unusable(file, "certificates").because("it contains none")),
        false => Ok(found),
    }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>> {
    // libpq has the same rule: PostgreSQL's programs would fail later and with a worse message
    let pem = disk::read_secret("key", file, PEM_BYTES_MAX)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|e| {
        unusable(file, "private key").because(e.to_string()).next(
            "a key with a passphrase cannot be used: write it without one: openssl pkey -in KEY -out NEW",
        )
    })
}
