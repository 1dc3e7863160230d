//! Certificates: what each mode checks, and that client certificates serve all connections alike.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use lifeboat_tests::installed::hand_over;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, small_tenant};

/// An authority, and what it signed.
struct Authority {
    dir: tempfile::TempDir,
}

impl Authority {
    fn new() -> Authority {
        let dir = tempfile::Builder::new().prefix("lbc-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
        let made = Authority { dir };
        made.openssl("req -new -x509 -days 30 -nodes -subj /CN=authority -keyout ca.key -out ca.crt");
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn openssl(&self, args: &str) {
        let done =
            Command::new("openssl").args(args.split(' ')).current_dir(self.dir.path()).output().unwrap();
        assert!(done.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// As PostgreSQL's manual does it: version 1 without `names`, version 3 with.
    fn sign(&self, name: &str, names: Option<&str>) {
        self.openssl(&format!("req -new -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"));
        let mut sign = format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out {name}.crt"
        );
        if let Some(names) = names {
            fs::write(self.path("names"), format!("subjectAltName={names}\n")).unwrap();
            sign.push_str(" -extfile names");
        }
        self.openssl(&sign);
        fs::set_permissions(self.path(&format!("{name}.key")), PermissionsExt::from_mode(0o600)).unwrap();
    }
}

/// Gives the server a certificate, and 127.0.0.1 a line of pg_hba.conf.
fn serve(cluster: &Cluster, authority: &Authority, name: &str, hba: &str) {
    for (from, to) in [(format!("{name}.crt"), "server.crt"), (format!("{name}.key"), "server.key")] {
        copy(&authority.path(&from), &cluster.data_dir().join(to));
    }
    copy(&authority.path("ca.crt"), &cluster.data_dir().join("root.crt"));
    let conf = cluster.data_dir().join("postgresql.conf");
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, format!("{text}\nssl = on\nssl_ca_file = 'root.crt'\n")).unwrap();
    let file = cluster.data_dir().join("pg_hba.conf");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{hba}\n{text}")).unwrap();
    cluster.restart();
}

fn copy(from: &Path, to: &Path) {
    fs::write(to, fs::read(from).unwrap()).unwrap();
    fs::set_permissions(to, PermissionsExt::from_mode(0o600)).unwrap();
    hand_over(to);
}

fn over_tcp(cluster: &Cluster, site: &Site, tls: &str) {
    site.edit(&format!("host = \"{}\"", cluster.host()), "host = \"127.0.0.1\"");
    site.edit("[postgres]\n", &format!("[postgres]\ntls = \"{tls}\"\n"));
}

#[test]
fn a_certificate_of_version_1_is_fine_where_nothing_is_checked_and_named_where_it_is() {
    let cluster = Cluster::start_default();
    let mut site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "acme", 17);
    let authority = Authority::new();
    authority.sign("localhost", None);
    serve(
        &cluster,
        &authority,
        "localhost",
        "hostssl all,replication all 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 reject",
    );
    over_tcp(&cluster, &site, "prefer");
    for tls in ["prefer", "require"] {
        site.set("LIFEBOAT_POSTGRES_TLS", tls);
        site.back_up(&[]);
        site.backup(&["--kind", "base"]).env("LIFEBOAT_BACKUP_BASE_SOURCE", "protocol").run().ok();
    }
    site.set("LIFEBOAT_POSTGRES_TLS_CA_FILE", authority.path("ca.crt").display());
    for tls in ["verify-ca", "verify-full"] {
        site.set("LIFEBOAT_POSTGRES_TLS", tls);
        site.backup(&[]).run().exits(13).says("X.509 version 1").says("-extfile <(echo subjectAltName=");
    }
}

#[test]
fn verify_ca_checks_the_authority_and_verify_full_the_name_too() {
    let cluster = Cluster::start_default();
    let mut site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "acme", 19);
    let (authority, other) = (Authority::new(), Authority::new());
    authority.sign("db", Some("DNS:db.example"));
    serve(&cluster, &authority, "db", "hostssl all,replication all 127.0.0.1/32 trust");
    over_tcp(&cluster, &site, "verify-ca");
    site.set("LIFEBOAT_POSTGRES_TLS_CA_FILE", authority.path("ca.crt").display());
    site.back_up(&[]);
    site.backup(&["--kind", "base"]).env("LIFEBOAT_BACKUP_BASE_SOURCE", "protocol").run().ok();
    site.set("LIFEBOAT_POSTGRES_TLS", "verify-full");
    site.backup(&[]).run().exits(13).says("subjectAltName=").says("verify-ca");
    site.set("LIFEBOAT_POSTGRES_TLS", "verify-ca");
    site.set("LIFEBOAT_POSTGRES_TLS_CA_FILE", other.path("ca.crt").display());
    site.backup(&[]).run().exits(13).says("postgres.tls_ca_file");
}

#[test]
fn a_client_certificate_serves_sessions_programs_and_replication_or_none_of_them() {
    let cluster = Cluster::start_default();
    let mut site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "acme", 23);
    let authority = Authority::new();
    authority.sign("server", None);
    authority.sign("postgres", None);
    serve(
        &cluster,
        &authority,
        "server",
        "hostssl all,replication postgres 127.0.0.1/32 cert\nhost all postgres 127.0.0.1/32 reject\n\
         hostssl all all 127.0.0.1/32 scram-sha-256",
    );
    over_tcp(&cluster, &site, "require");
    let (cert, key) = (authority.path("postgres.crt"), authority.path("postgres.key"));
    // what reaches libpq alone would make one of them green: it reaches nobody, and doctor says so
    let with_env = |args: &[&str]| site.run(args).env("PGSSLCERT", &cert).env("PGSSLKEY", &key);
    with_env(&["backup"]).run().exits(13).says("28000");
    let outcome = with_env(&["doctor"]).run().exits(3);
    assert!(
        outcome.stdout.contains("PGSSLCERT, PGSSLKEY: set for libpq, but no connection of Lifeboat"),
        "{outcome}"
    );
    site.set("LIFEBOAT_POSTGRES_TLS_CERT_FILE", cert.display());
    site.set("LIFEBOAT_POSTGRES_TLS_KEY_FILE", key.display());
    let troubles = super::doctor(&site);
    assert!(!troubles.contains("postgresql") && !troubles.contains("\"tenant"), "{troubles}");
    site.back_up(&[]);
    site.backup(&["--kind", "base"]).env("LIFEBOAT_BACKUP_BASE_SOURCE", "protocol").run().ok();
    super::restore(&site, &["--tenant", "acme", "--as", "copy"]).run().ok();
    fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    site.backup(&[]).run().exits(4).says("can be read by others");
}

#[test]
fn prefer_goes_on_in_the_clear_where_the_server_wants_that_and_require_does_not() {
    let cluster = Cluster::start_default();
    let mut site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "acme", 29);
    let authority = Authority::new();
    authority.sign("localhost", None);
    serve(
        &cluster,
        &authority,
        "localhost",
        "hostnossl all all 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 reject",
    );
    over_tcp(&cluster, &site, "prefer");
    site.back_up(&[]);
    site.set("LIFEBOAT_POSTGRES_TLS", "require");
    site.backup(&[]).run().exits(13).says("28000").says("postgres.tls = \"require\"");
}
