//! From the configuration to what the doors below it take.

use crate::config::{Config, Tls};
use crate::postgres::connect::{self, PostgresOptions};
use crate::store::StoreOptions;

/// How the configured repository is reached.
pub fn store(config: &Config) -> StoreOptions {
    let repository = &config.repository;
    StoreOptions {
        endpoint: repository.endpoint.clone(),
        region: repository.region.clone(),
        allow_http: repository.allow_http,
        virtual_hosted: repository.virtual_hosted,
        credentials_file: repository.credentials_file.clone(),
        request_timeout: repository.request_timeout,
        retry_deadline: repository.retry_deadline,
        retries_max: repository.retries_max,
        upload_bytes_per_second_max: config.backup.upload_bytes_per_second_max,
        ..StoreOptions::default()
    }
}

/// How the configured server is reached.
pub fn postgres(config: &Config) -> PostgresOptions {
    let postgres = config.postgres.clone();
    let (tls, tls_root_cert) = match postgres.tls {
        Tls::Disable => (connect::Tls::Disable, None),
        Tls::Prefer => (connect::Tls::Prefer, None),
        Tls::Require => (connect::Tls::Require, None),
        Tls::VerifyFull { ca_file } => (connect::Tls::VerifyFull, ca_file),
    };
    PostgresOptions {
        host: postgres.host,
        port: postgres.port,
        user: postgres.user,
        password_file: postgres.password_file,
        passfile: postgres.passfile,
        tls,
        tls_root_cert,
        bin_dir: postgres.bin_dir,
        connect_timeout: postgres.connect_timeout,
        maintenance_database: postgres.maintenance_database,
    }
}
