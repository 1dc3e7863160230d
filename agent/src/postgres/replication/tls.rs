//! TLS to the server, as far as the configuration wants it.

use std::sync::Arc;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::wire::Socket;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::postgres::connect::{PostgresOptions, Tls};

/// Largest file of certificates that is read.
const CA_BYTES_MAX: u64 = 4 << 20;

/// The socket, encrypted where server and configuration agree on it.
///
/// # Errors
/// `Postgres` where the server offers no TLS that is demanded, or is not who it should be.
pub async fn secure(
    options: &PostgresOptions,
    mut socket: TcpStream,
    place: &str,
) -> Result<Box<dyn Socket>> {
    if options.tls == Tls::Disable {
        return Ok(Box::new(socket));
    }
    let failed = |e: std::io::Error| {
        Error::new(Kind::Postgres, format!("TLS failed: {place}"))
            .because(e)
            .next("check postgres.tls and postgres.tls_ca_file against the server's certificate")
    };
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    socket.write_all(&request).await.map_err(failed)?;
    match (socket.read_u8().await.map_err(failed)?, options.tls) {
        (b'S', _) => {}
        (b'N', Tls::Prefer) => return Ok(Box::new(socket)),
        _ => {
            return Err(Error::new(Kind::Postgres, format!("the server offers no TLS: {place}"))
                .next("turn ssl on there, or set postgres.tls = \"disable\" where nobody can listen"));
        }
    }
    let name =
        ServerName::try_from(options.host_text().to_owned()).map_err(|e| failed(std::io::Error::other(e)))?;
    let stream = TlsConnector::from(Arc::new(config(options)?)).connect(name, socket).await;
    Ok(Box::new(stream.map_err(failed)?))
}

fn config(options: &PostgresOptions) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::new(Kind::Internal, "cannot set up TLS").because(e))?;
    Ok(match options.tls {
        Tls::VerifyCa | Tls::VerifyFull => {
            builder.with_root_certificates(roots(options)?).with_no_client_auth()
        }
        _ => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
            .with_no_client_auth(),
    })
}

fn roots(options: &PostgresOptions) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(file) = &options.tls_root_cert else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let bad = |e: String| {
        Error::new(Kind::Config, format!("{} holds no certificates that can be used", file.display()))
            .because(e)
    };
    let pem = disk::read(file, CA_BYTES_MAX)?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| bad(e.to_string()))?;
        roots.add(certificate).map_err(|e| bad(e.to_string()))?;
    }
    match roots.is_empty() {
        true => Err(bad("there is none in it".to_owned())),
        false => Ok(roots),
    }
}

/// For `prefer` and `require`, which encrypt and do not look who answers, as libpq's.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
