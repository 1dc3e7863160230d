//! The configuration as a whole: what it reads, and what it says when it cannot.

use super::*;
use crate::error::Kind;

const MINIMAL: &str = "instance = \"prod\"\nrepository.url = \"repo\"\n";

fn inputs(environment: &[(&str, &str)]) -> Inputs {
    let environment = environment.iter().map(|(n, v)| (OsString::from(n), OsString::from(v))).collect();
    Inputs { environment, ..Inputs::default() }
}

fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config> {
    Config::parse(Path::new("/etc/boat/lifeboat.toml"), text, &inputs(environment))
}

fn refusal(text: &str, environment: &[(&str, &str)]) -> String {
    let error = parse(text, environment).expect_err("this configuration must be refused");
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.next_text().is_some(), "every refusal says what next");
    error.what().to_owned()
}

#[test]
fn the_template_is_the_defaults_and_so_is_every_line_it_comments_out() {
    let required = [Setting::text("instance", "prod"), Setting::text("repository.url", "repo")];
    let defaults = parse(MINIMAL, &[]).unwrap();
    assert_eq!(parse(&template(&required), &[]).unwrap(), defaults);
    let every: Vec<Setting> = keys::KEYS
        .iter()
        .filter_map(|key| Some(Setting { name: key.name.into(), value: key.default?.into() }))
        .chain(required)
        .collect();
    assert_eq!(parse(&template(&every), &[]).unwrap(), defaults);
}

const OWN_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIk1CVy8M+xF/CBN7ZjbiaNJ0vGBx/XBr7cZSxSZJepu";

#[test]
fn the_examples_are_valid() {
    let every: Vec<Setting> = keys::KEYS
        .iter()
        .filter(|key| key.name != "postgres.passfile") // one of two that exclude each other
        .map(|key| Setting { name: key.name.into(), value: key.default.unwrap_or(key.example).into() })
        .map(|setting| match setting.name.as_str() {
            "postgres.tls" => Setting::text("postgres.tls", "verify-full"),
            "signing.trusted_keys" => Setting::list("signing.trusted_keys", [OWN_KEY]), // for schedule.verify
            "seal.identity_files" => Setting::list("seal.identity_files", ["/id.txt"]), // for schedule.drill
            "configuration.files" => Setting::list("configuration.files", ["/etc/odoo"]),
            _ => setting,
        })
        .collect();
    let config = parse(&template(&every), &[]).unwrap();
    let ca_file = Some(PathBuf::from("/etc/lifeboat/postgres-ca.pem"));
    assert_eq!(config.postgres.tls, Tls::VerifyFull { ca_file });
}

/// The tables of docs/configuration.md, as the table of keys gives them.
fn tables() -> String {
    let mut text = String::from("## At the top\n");
    for section in [("", "")].iter().chain(keys::SECTIONS) {
        if !section.0.is_empty() {
            text += &format!("\n## `[{}]`\n{}\n", section.0.replace('*', "NAME"), section.1);
        }
        text += "\n| key | default | takes | |\n|---|---|---|---|\n";
        for key in
            keys::KEYS.iter().filter(|key| key.name.rsplit_once('.').map_or("", |(s, _)| s) == section.0)
        {
            let default = key.default.map_or("-".to_owned(), |default| format!("`{default}`"));
            text += &format!("| `{}` | {default} | {} | {} |\n", key.shown(), key.takes, key.help);
        }
    }
    text
}

/// Rewrites the tables where `UPDATE` is set: `UPDATE=1 cargo test -p lifeboat --lib documentation`.
#[test]
fn the_documentation_lists_every_key_and_variable() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let doc = std::fs::read_to_string(page).unwrap();
    let now = format!("{}{}", &doc[..doc.find("## At the top").unwrap()], tables());
    if std::env::var_os("UPDATE").is_some() {
        crate::disk::replace_durable(Path::new(page), now.as_bytes()).unwrap();
        return;
    }
    let differs = doc.lines().zip(now.lines()).find(|(a, b)| a != b);
    assert!(
        doc == now,
        "docs/configuration.md differs from the table of keys (UPDATE=1 rewrites it): {differs:?}"
    );
    for variable in environment::OTHERS {
        assert!(doc.contains(&format!("`{variable}`")), "docs/configuration.md does not list {variable}");
    }
}

#[test]
fn flags_beat_environment_beats_file_beats_default() {
    let text = "instance = \"prod\"\n[repository]\nurl = \"repo\"\n[backup]\nworkers = 3\nzstd_level = 5\n";
    let config = parse(text, &[("LIFEBOAT_BACKUP_WORKERS", "4"), ("LIFEBOAT_INSTANCE", "two")]).unwrap();
    assert_eq!((config.backup.workers, config.backup.zstd_level, config.restore.workers), (4, 5, 2));
    assert_eq!(config.instance.as_str(), "two");
    let mut flags = inputs(&[("LIFEBOAT_INSTANCE", "two")]);
    flags.instance = Some("three".into());
    flags.repository = Some("s3://b/p".into());
    let config = Config::parse(Path::new("/etc/boat/lifeboat.toml"), text, &flags).unwrap();
    assert_eq!((config.instance.as_str(), config.repository.url.as_str()), ("three", "s3://b/p"));
    let config = parse(text, &[("LIFEBOAT_BACKUP_WORKERS", "")]).unwrap();
    assert_eq!(config.backup.workers, 3, "an empty variable is not given");
}

#[test]
fn values_keep_their_units_and_paths_their_base() {
    let text = "instance = 'p'\n[repository]\nurl = './repo'\nrequest_timeout = '2min'\n[backup]\n\
        pack_bytes = '1GiB'\nread_bytes_per_second_max = '50MiB/s'\n[seal]\nidentity_files = ['../id', '/abs/id']\n";
    let config = parse(text, &[("LIFEBOAT_ODOO_TENANTS", "a, b")]).unwrap();
    assert_eq!(config.repository.url, "/etc/boat/repo");
    assert_eq!(config.repository.request_timeout, Duration::from_secs(120));
    assert_eq!(config.backup.pack_bytes, 1 << 30);
    assert_eq!(config.backup.read_bytes_per_second_max, Some(50 << 20));
    assert_eq!(config.backup.upload_bytes_per_second_max, None);
    assert_eq!(config.seal.identity_files, [Path::new("/etc/boat/../id"), Path::new("/abs/id")]);
    assert_eq!(config.odoo.tenants.len(), 2);
    assert_eq!(config.data_dir().unwrap_err().kind(), Kind::Config);
}

#[test]
fn the_user_is_given_or_the_environments_or_odoo() {
    assert_eq!(parse(MINIMAL, &[]).unwrap().postgres.user, "odoo");
    assert_eq!(parse(MINIMAL, &[("USER", "me")]).unwrap().postgres.user, "me");
    assert_eq!(
        parse(MINIMAL, &[("USER", "me"), ("LIFEBOAT_POSTGRES_USER", "x")]).unwrap().postgres.user,
        "x"
    );
}

#[test]
fn an_error_names_place_key_value_and_what_is_allowed() {
    let file = "/etc/boat/lifeboat.toml";
    let cases = [
        (
            "[backup]\n\nworkers = 99\n",
            format!("{file}:5: backup.workers = 99: it takes a whole number from 1 to 64 (default 2)"),
        ),
        ("[backup]\nworkers = -1\n", format!("{file}:4: backup.workers = -1: it takes a whole number")),
        ("[backup]\nworkers = \"2\"\n", format!("{file}:4: backup.workers = \"2\": it takes a whole number")),
        (
            "[backup]\npack_bytes = 1024\n",
            format!("{file}:4: backup.pack_bytes = 1024: it takes a size from \"1MiB\" to \"1GiB\""),
        ),
        ("[backup]\npack_bytes = \"2GiB\"\n", "pack_bytes = \"2GiB\": it takes a size from".into()),
        ("[backup]\nlow_priority = \"yes\"\n", "low_priority = \"yes\": it takes true or false".into()),
        (
            "[backup]\nread_bytes_per_second_max = \"5MB/s\"\n",
            "it takes a rate from \"64KiB/s\" to \"1TiB/s\", or \"unlimited\"".into(),
        ),
        (
            "[postgres]\nconnect_timeout = \"5 minutes\"\n",
            "it takes a duration from \"1s\" to \"10min\"".into(),
        ),
        (
            "[postgres]\ntls = \"on\"\n",
            "it takes one of \"disable\", \"prefer\", \"require\", \"verify-ca\", \"verify-full\"".into(),
        ),
        (
            "[postgres]\ntls_ca_file = \"x\"\n",
            "it is only used with postgres.tls = \"verify-ca\" or \"verify-full\"".into(),
        ),
        ("[odoo]\ndata_dir = \"~/odoo\"\n", "odoo.data_dir = \"~/odoo\": only a shell expands ~".into()),
        ("[odoo]\ntenants = [\"a/b\"]\n", "\"a/b\" is not a database name".into()),
        ("[odoo]\ntenants = \"a\"\n", "it takes a list of database names".into()),
        ("[seal]\nrecipients = [\"age1nonsense\"]\n", "\"age1nonsense\" is not a valid recipient".into()),
        ("[signing]\ntrusted_keys = [\"ssh-ed25519 AAAA\"]\n", "is not a public key".into()),
        (
            "[backup]\nworker = 2\n",
            format!("{file}:4: backup.worker is not a known key; did you mean backup.workers?"),
        ),
        (
            "[backups]\nworkers = 2\n",
            format!("{file}:3: [backups] is not a known section; did you mean [backup]?"),
        ),
        ("[backup]\ncolour = 2\n", "known keys of this section: workers, zstd_level".into()),
        ("[backup\n", format!("{file}:3: this is not TOML")),
        ("[backup]\nworkers = 1\nworkers = 2\n", format!("{file}:5: this is not TOML: duplicate key")),
        ("backup = 1\n", "backup is a section: write [backup]".into()),
        (
            "\n[[class]]\ntenants = ['*']\n",
            format!("{file}:4: [[class]]: no section is a list; write [class.NAME] with a name of yours"),
        ),
        ("[[class.a]]\ntenants = ['*']\n", "[[class.a]]: no section is a list; write [class.a], once".into()),
        ("[[backup]]\nworkers = 1\n", "write [backup], once".into()),
        ("[[backups]]\nworkers = 1\n", "did you mean [backup]?".into()),
        ("repository.endpoint = \"http://x\"\n", "refused unless repository.allow_http = true".into()),
    ];
    for (text, expected) in cases {
        let said = refusal(&format!("{MINIMAL}{text}"), &[]);
        assert!(said.contains(&expected), "{text:?}\n said:     {said}\n expected: {expected}");
    }
    assert!(refusal("", &[]).contains("instance is required"));
    assert!(refusal("instance = \"a\"\n", &[]).contains("repository.url is required"));
    assert!(
        refusal("instance = \"A B\"\n", &[])
            .contains("lifeboat.toml:1: instance = \"A B\": it takes 1-64 of")
    );
    let ftp = refusal("instance = \"a\"\nrepository.url = \"ftp://x/y\"\n", &[]);
    assert!(ftp.contains("file://, s3://, az://, gs://"), "{ftp}");
}

#[test]
fn an_error_of_the_environment_names_the_variable() {
    let cases = [
        (
            "LIFEBOAT_BACKUP_WORKERS",
            "many",
            "environment variable LIFEBOAT_BACKUP_WORKERS = \"many\": it takes a whole",
        ),
        ("LIFEBOAT_BACKUP_WORKER", "2", "did you mean LIFEBOAT_BACKUP_WORKERS?"),
        ("LIFEBOAT_CONFG", "x", "did you mean LIFEBOAT_CONFIG?"),
        ("LIFEBOAT_BACKUP_COLOUR_OF_BOAT", "2", "matches no known key"),
    ];
    for (name, value, expected) in cases {
        let said = refusal(MINIMAL, &[(name, value)]);
        assert!(said.contains(expected), "{name}={value}: {said}");
    }
    let kubernetes = [
        ("LIFEBOAT_SERVICE_HOST", "10.0.0.1"),
        ("LIFEBOAT_PORT", "tcp://10.0.0.1:80"),
        ("LIFEBOAT_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("LIFEBOAT_REPOSITORY_SERVICE_PORT", "80"),
        ("LIFEBOAT_REPOSITORY_PORT_80_TCP", "tcp://10.0.0.1:80"),
    ];
    parse(MINIMAL, &kubernetes).unwrap();
}

#[test]
fn a_secret_is_refused_and_never_repeated() {
    let secret = "AGE-SECRET-KEY-1QQQQ";
    let cases = [
        format!("[seal]\nidentity_files = [\"{secret}\"]\n"),
        format!("[seal]\nidentity = \"{secret}\"\n"),
        "[postgres]\npassword = \"hunter2\"\n".to_owned(),
        "[repository]\nsecret_access_key = \"hunter2\"\n".to_owned(),
        "[signing]\nkey = \"-----BEGIN OPENSSH PRIVATE KEY-----hunter2\"\n".to_owned(),
    ];
    for text in cases {
        let error = parse(&format!("instance = 'a'\n{text}"), &[]).unwrap_err();
        assert!(error.what().contains(":3: ") && error.what().contains("holds a secret"), "{error}");
        let all = format!("{error:?}{:?}{:?}", error.next_text(), error.effect_text());
        assert!(!all.contains("hunter2") && !all.contains(secret), "{all}");
    }
    assert!(
        refusal(MINIMAL, &[("LIFEBOAT_POSTGRES_PASSWORD", "hunter2")])
            .contains("LIFEBOAT_POSTGRES_PASSWORD holds")
    );
    for url in ["s3://key:hunter2@bucket/x", "https://acme.blob.core.windows.net/box?sv=1&sig=hunter2"] {
        for key in ["url", "endpoint"] {
            let text = format!("instance = 'a'\nrepository.url = 's3://b'\nrepository.{key} = '{url}'\n");
            let text = text.replacen("repository.url = 's3://b'\n", "", usize::from(key == "url"));
            let said = refusal(&text, &[]);
            assert!(said.contains("holds a secret") && !said.contains("hunter2"), "{said}");
        }
    }
}

#[test]
fn sections_that_a_person_names_are_read_and_their_errors_name_them() {
    let text = format!(
        "{MINIMAL}[checkpoint]\ntime_zone = 'Europe/Berlin'\n[cohort.wave1]\ntenants = ['a', 'b']\n\
         [freeze.peak]\nfrom = '2026-11-27T00:00'\nto = '2026-11-30T06:00'\nreason = 'sales'\n\
         [freeze.month_end]\nschedule = '0 18 L * *'\nlasts = '36h'\n\
         [tier.standard]\napprovals = 2\noverride = ['freeze']\n"
    );
    let checkpoint = parse(&text, &[]).unwrap().checkpoint;
    assert_eq!(checkpoint.cohorts["wave1"].len(), 2);
    let tier = &checkpoint.tiers["standard"];
    assert_eq!((checkpoint.tiers.len(), tier.approvals, tier.overridable.len()), (1, 2, 1));
    let at = |text: &str| text.parse::<crate::clock::Timestamp>().unwrap();
    let open = |name: &str, time: &str| {
        let freeze = checkpoint.freezes.iter().find(|freeze| freeze.name == name).unwrap();
        freeze.open_at(at(time)).map(|until| until.to_string())
    };
    // midnight in Berlin is 23:00 UTC
    assert_eq!(open("peak", "2026-11-26T22:59:59Z"), None);
    assert_eq!(open("peak", "2026-11-26T23:00:00Z").as_deref(), Some("2026-11-30T05:00:00Z"));
    assert_eq!(open("peak", "2026-11-30T05:00:00Z"), None);
    assert_eq!(open("month_end", "2026-11-30T16:59:00Z"), None);
    assert_eq!(open("month_end", "2026-12-01T12:00:00Z").as_deref(), Some("2026-12-02T05:00:00Z"));
    assert_eq!(open("month_end", "2026-12-02T06:00:00Z"), None);

    let says = |text: &str, wanted: &str| {
        let told = refusal(&format!("{MINIMAL}{text}"), &[]);
        assert!(told.contains(wanted), "{told}");
    };
    says(
        "[cohort.wave1]\ntenant = ['a']\n",
        "cohort.wave1.tenant is not a known key; did you mean cohort.NAME.tenants?",
    );
    says("[cohort]\nwave1 = ['a']\n", "write [cohort.NAME]");
    says("[cohort.'Wave 1']\ntenants = ['a']\n", "a name has 1 to 40 of");
    says("[cohorts.wave1]\ntenants = ['a']\n", "did you mean [cohort.NAME]?");
    says("[freeze.x]\nfrom = '2026-11-27T00:00'\n", "freeze.x.to: a freeze window has from and to");
    says("[freeze.x]\nfrom = '2026-11-27T00:00Z'\nto = '2026-11-28T00:00'\n", "freeze.x.from = ");
    says("[freeze.x]\nschedule = '0 0 30 2 *'\nlasts = '1h'\n", "never comes due");
    says("[tier.fast]\noverride = ['chain']\n[checkpoint]\ntier = 'fast'\n", "chain cannot be overridden");
    says(
        "[tier.fast]\nnot_required = ['rehearsal']\n[checkpoint]\ntier = 'fast'\n",
        "it must pass or be overridden",
    );
    says("[tier.fast]\napprovals = 1\n", "there is no [tier.standard]; known tiers: fast");
}
