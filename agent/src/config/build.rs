//! From given values to the typed configuration: which key fills which field, and the rules that
//! span several keys.

use std::net::SocketAddr;
use std::path::Path;

use super::LockMode;
use super::given::wrong_so;
use super::public_keys::{recipient, trusted_key};
use super::read::{Reader, schedule_line, tenant};
use super::{
    Agent, Backup, BaseSource, BaseTrust, Config, Configuration, Expire, Inputs, Odoo, Postgres, Prices,
    Rates, Repository, Restore, Schedules, Seal, Signing, Tls, Wal, Watch, place,
};
use crate::names::InstanceName;
use hyper::http::uri::Authority;

use crate::crontab;
use crate::error::Result;

/// The schemes of repositories.
const SCHEMES: &[&str] = &["file", "s3", "az", "gs"];

/// Applies every key's rule, and the rules between keys.
pub fn build(file: &Path, read: &Reader<'_>, inputs: &Inputs) -> Result<Config> {
    let missing = |name: &str, flag: &str, example: &str| {
        if file.as_os_str().is_empty() {
            return super::file::none(&format!(
                "{name} is set neither by its environment variable nor by {flag}"
            ));
        }
        let what = format!("{name} is required, but {} does not set it", place(file));
        wrong_so(what, format!("write `{example}`, or pass {flag}; `lifeboat init` writes a complete file"))
    };
    let instance: InstanceName = read
        .parsed("instance")?
        .ok_or_else(|| missing("instance", "--instance", "instance = \"production\""))?;
    let state_dir = read.path("state_dir")?.unwrap_or_default();
    let kubectl_cache = state_dir.join(instance.as_str()).join("kubectl");
    let url = read
        .url("repository.url", SCHEMES)?
        .ok_or_else(|| missing("repository.url", "--repository", "url = \"...\" under [repository]"))?;
    let classes = super::classes::build(read)?;
    let prices = Prices {
        gb_month: read.decimal("rates.gb_month")?,
        retrieval_gb: read.decimal("rates.retrieval_gb")?,
        minimum_days: read.integer("rates.minimum_days")? as u32,
    };
    Ok(Config {
        file: file.to_owned(),
        instance,
        state_dir,
        cold: super::cold::build(read, &prices, &url, &classes)?,
        repository: Repository {
            url,
            endpoint: endpoint(read)?,
            region: read.text("repository.region")?,
            allow_http: read.flag("repository.allow_http")?,
            virtual_hosted: read.flag("repository.virtual_hosted")?,
            credentials_file: read.path("repository.credentials_file")?,
            as_of: inputs.as_of,
            profile: read.text("repository.profile")?,
            lock: match read.word("repository.lock")?.as_str() {
                "governance" => Some(LockMode::Governance),
                "compliance" => Some(LockMode::Compliance),
                _ => None,
            },
            request_timeout: read.duration("repository.request_timeout")?,
            retry_deadline: read.duration("repository.retry_deadline")?,
            retries_max: read.count("repository.retries_max")?,
        },
        postgres: postgres(read, inputs)?,
        odoo: Odoo {
            data_dir: read.path("odoo.data_dir")?,
            tenants: read.list("odoo.tenants", tenant)?,
            exclude: read.list("odoo.exclude", tenant)?,
        },
        seal: Seal {
            recipients: read.list("seal.recipients", recipient)?,
            recipients_file: read.path("seal.recipients_file")?,
            identity_files: read.paths("seal.identity_files")?,
            passphrase_file: read.path("seal.passphrase_file")?,
        },
        signing: Signing {
            key_file: read.path("signing.key_file")?,
            trusted_keys: read.list("signing.trusted_keys", trusted_key)?,
        },
        backup: backup(read)?,
        wal: Wal {
            stream: read.flag("wal.stream")?,
            slot: read.parsed("wal.slot")?.unwrap_or_default(),
            piece_interval: read.duration("wal.piece_interval")?,
            workers: read.count("wal.workers")?,
            batch: read.count("wal.batch")?,
            stall_max: read.duration("wal.stall_max")?,
            slot_warn_percent: read.integer("wal.slot_warn_percent")? as u8,
        },
        configuration: Configuration {
            files: read.paths("configuration.files")?,
            exclude: read.list("configuration.exclude", |text| Ok(text.to_owned()))?,
            namespaces: read.list("configuration.namespaces", namespace)?,
            kubectl: read.word("configuration.kubectl")?,
            kubeconfig: read.path("configuration.kubeconfig")?,
            kubectl_cache,
        },
        restore: Restore {
            workers: read.count("restore.workers")?,
            work_dir: read.path("restore.work_dir")?,
            jobs: read.count("restore.jobs")?,
        },
        agent: agent(read)?,
        watch: watch(read)?,
        schedule: schedule(read)?,
        checkpoint: super::checkpoint::build(read)?,
        rates: Rates { currency: read.word("rates.currency")?, prices },
        expire: Expire {
            grace: read.duration("expire.grace")?,
            max_percent: read.integer("expire.max_percent")? as u8,
            key_file: read.path("expire.key_file")?,
            trusted_keys: read.list("expire.trusted_keys", trusted_key)?,
            drills: read.duration("expire.drills")?,
        },
        classes,
    })
}

fn endpoint(read: &Reader<'_>) -> Result<Option<String>> {
    let Some(endpoint) = read.url("repository.endpoint", &["https", "http"])? else { return Ok(None) };
    match endpoint.split_once("://") {
        None => Err(read.refused("repository.endpoint", "it takes a URL that starts with https://")),
        Some(("http", _)) if !read.flag("repository.allow_http")? => Err(read.refused(
            "repository.endpoint",
            "an endpoint without TLS is refused unless repository.allow_http = true",
        )),
        Some(_) => Ok(Some(endpoint)),
    }
}

fn postgres(read: &Reader<'_>, inputs: &Inputs) -> Result<Postgres> {
    let ca_file = read.path("postgres.tls_ca_file")?;
    let tls = match read.word("postgres.tls")?.as_str() {
        "verify-ca" => Tls::VerifyCa { ca_file },
        "verify-full" => Tls::VerifyFull { ca_file },
        _ if ca_file.is_some() => {
            return Err(read.refused(
                "postgres.tls_ca_file",
                "it is only used with postgres.tls = \"verify-ca\" or \"verify-full\"",
            ));
        }
        "disable" => Tls::Disable,
        "require" => Tls::Require,
        _ => Tls::Prefer,
    };
    if read.is_given("postgres.password_file") && read.is_given("postgres.passfile") {
        return Err(read.refused("postgres.passfile", "set postgres.password_file or this, not both"));
    }
    let (tls_cert_file, tls_key_file) =
        (read.path("postgres.tls_cert_file")?, read.path("postgres.tls_key_file")?);
    match (&tls_cert_file, &tls_key_file) {
        (Some(_), None) => {
            return Err(read.refused("postgres.tls_cert_file", "it needs postgres.tls_key_file"));
        }
        (None, Some(_)) => {
            return Err(read.refused("postgres.tls_key_file", "it needs postgres.tls_cert_file"));
        }
        (Some(_), _) if tls == Tls::Disable => {
            return Err(
                read.refused("postgres.tls_cert_file", "it is not used with postgres.tls = \"disable\"")
            );
        }
        _ => {}
    }
    let user = match read.text("postgres.user")? {
        Some(user) => user,
        None => inputs.variable("USER")?.unwrap_or_else(|| "odoo".to_owned()),
    };
    Ok(Postgres {
        host: read.text("postgres.host")?,
        port: read.integer("postgres.port")? as u16,
        user,
        password_file: read.path("postgres.password_file")?,
        passfile: read.path("postgres.passfile")?,
        bin_dir: read.path("postgres.bin_dir")?,
        maintenance_database: read.word("postgres.maintenance_database")?,
        connect_timeout: read.duration("postgres.connect_timeout")?,
        tls,
        tls_cert_file,
        tls_key_file,
    })
}

fn backup(read: &Reader<'_>) -> Result<Backup> {
    Ok(Backup {
        workers: read.count("backup.workers")?,
        zstd_level: read.integer("backup.zstd_level")? as i32,
        pack_bytes: read.size("backup.pack_bytes")?,
        read_bytes_per_second_max: read.rate("backup.read_bytes_per_second_max")?,
        upload_bytes_per_second_max: read.rate("backup.upload_bytes_per_second_max")?,
        low_priority: read.flag("backup.low_priority")?,
        release_file: read.path("backup.release_file")?,
        fence_seconds_max: read.integer("backup.fence_seconds_max")?,
        dump_readback: read.flag("backup.dump_readback")?,
        filestore_chain_max: read.integer("backup.filestore_chain_max")? as u32,
        filestore_compact: read.integer("backup.filestore_compact")? as u8,
        filestore_compact_max: read.size("backup.filestore_compact_max")?,
        base_chain_max: read.integer("backup.base_chain_max")? as u32,
        base_source: match read.word("backup.base_source")?.as_str() {
            "files" => BaseSource::Files,
            "protocol" => BaseSource::Protocol,
            _ => BaseSource::Auto,
        },
        base_trust: match read.word("backup.base_trust")?.as_str() {
            "content" => BaseTrust::Content,
            _ => BaseTrust::Times,
        },
    })
}

fn agent(read: &Reader<'_>) -> Result<Agent> {
    let (listen, checks_token_file) = (listen(read)?, read.path("agent.checks_token_file")?);
    if listen.is_none() && checks_token_file.is_some() {
        let why = "checks are taken on agent.listen, which is \"off\"";
        return Err(read.refused("agent.checks_token_file", why));
    }
    let host = |text: &str| match text.parse::<Authority>() {
        Ok(_) if !text.contains('@') && !text.ends_with(":443") => Ok(text.to_owned()),
        _ => Err("is not a host, or a host and a port other than 443".to_owned()),
    };
    Ok(Agent {
        listen,
        checks_token_file,
        checks_hosts: read.list("agent.checks_hosts", host)?,
        follow_filestore: read.flag("agent.follow_filestore")?,
        follow_interval: read.duration("agent.follow_interval")?,
        follow_scan: read.duration("agent.follow_scan")?,
    })
}

fn listen(read: &Reader<'_>) -> Result<Option<SocketAddr>> {
    let text = read.word("agent.listen")?;
    if text == "off" {
        return Ok(None);
    }
    text.parse::<SocketAddr>().map(Some).map_err(|_| {
        let why = "it takes an address and a port, such as \"127.0.0.1:9345\" or \"[::]:9345\" (every address of this host), or \"off\"";
        read.refused("agent.listen", why)
    })
}

fn watch(read: &Reader<'_>) -> Result<Watch> {
    let pause_drop_percent = read.integer("watch.pause_drop_percent")?;
    let rollback_drop_percent = read.integer("watch.rollback_drop_percent")?;
    if rollback_drop_percent < pause_drop_percent {
        return Err(read.refused(
            "watch.rollback_drop_percent",
            &format!("it is smaller than watch.pause_drop_percent ({pause_drop_percent})"),
        ));
    }
    Ok(Watch {
        pause_drop_percent,
        rollback_drop_percent,
        failures_max: read.integer("watch.failures_max")?,
        lock_wait_max: read.duration("watch.lock_wait_max")?,
        least: read.integer("watch.least")?,
        read_time_max: read.duration("watch.read_time_max")?,
    })
}

fn schedule(read: &Reader<'_>) -> Result<Schedules> {
    let zone = crontab::zone(&read.word("schedule.time_zone")?)
        .map_err(|why| read.refused("schedule.time_zone", &why))?;
    let line = |name| schedule_line(read, name, &zone);
    let configuration = line("schedule.configuration")?;
    let is_configured = !read.paths("configuration.files")?.is_empty()
        || !read.list("configuration.namespaces", namespace)?.is_empty();
    if configuration.is_some() && !is_configured {
        let why = "there is nothing to capture: set configuration.files or configuration.namespaces";
        return Err(read.refused("schedule.configuration", why));
    }
    let expire = line("schedule.expire")?;
    if expire.is_some() && read.path("expire.key_file")?.is_none() {
        let why = "expire.key_file is not set: a key of its own signs what will be deleted";
        return Err(read.refused("schedule.expire", why));
    }
    let verify = line("schedule.verify")?;
    if verify.is_some() && read.list("signing.trusted_keys", trusted_key)?.is_empty() {
        let why = "signing.trusted_keys is empty: no snapshot could be told from a forged one";
        return Err(read.refused("schedule.verify", why));
    }
    let (drill, drill_plan) = (line("schedule.drill")?, read.path("schedule.drill_plan")?);
    if drill.is_some() && read.paths("seal.identity_files")?.is_empty() {
        let why = "seal.identity_files is empty: a drill decrypts, so it belongs on a restore host";
        return Err(read.refused("schedule.drill", why));
    }
    if drill.is_some() && drill_plan.is_none() {
        return Err(read.refused("schedule.drill", "schedule.drill_plan is not set"));
    }
    Ok(Schedules {
        backup: line("schedule.backup")?,
        filestore: line("schedule.filestore")?,
        base: line("schedule.base")?,
        base_full: line("schedule.base_full")?,
        configuration,
        expire,
        verify,
        drill,
        drill_plan,
        verify_sample: read.integer("schedule.verify_sample")? as u8,
        jitter_max: read.duration("schedule.jitter_max")?,
        deadline: read.duration("schedule.deadline")?,
        retries_max: read.integer("schedule.retries_max")? as u32,
        retry_delay: read.duration("schedule.retry_delay")?,
        zone,
    })
}

/// A DNS label (RFC 1123), as Kubernetes wants it.
fn namespace(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = text.len() <= 63
        && text.chars().all(|c| plain(c) || c == '-')
        && text.starts_with(plain)
        && text.ends_with(plain);
    fits.then(|| text.to_owned()).ok_or_else(|| "is not a namespace (1-63 of a-z 0-9 -)".to_owned())
}
