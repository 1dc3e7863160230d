//! The command line: arguments in; standard output, standard error and exit code out.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test panics, and touches files as a user does

mod called;
mod completions;
mod first_words;
mod pod;
mod printed;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use lifeboat_tests::children::HANGS;
use lifeboat_tests::{Cluster, Program, S3};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

const COMMANDS: [&str; 11] =
    ["init", "backup", "list", "show", "cat", "verify", "restore", "doctor", "completions", "man", "version"];
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

/// A directory with what `lifeboat init` writes for instance `prod`.
struct Site {
    dir: TempDir,
}

impl Site {
    fn new() -> Site {
        Site { dir: tempfile::tempdir().unwrap() }
    }

    fn with_init(args: &[&str]) -> Site {
        let site = Site::new();
        let data_dir = site.path("odoo");
        fs::create_dir_all(data_dir.join("filestore")).unwrap();
        let data_dir = data_dir.to_str().unwrap().to_owned();
        site.run(&["init", "--instance", "prod", "--data-dir", &data_dir]).args(args.to_vec()).run().ok();
        site
    }

    fn with_file(text: &str) -> Site {
        let site = Site::new();
        fs::write(site.path("lifeboat.toml"), text).unwrap();
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Program {
        Program::lifeboat().cwd(self.dir.path()).args(args.to_vec())
    }

    fn files(&self) -> Vec<String> {
        let names = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The checks of `doctor --json` that have this name: status and text with the next step.
    fn doctor(&self, name: &str, env: &[(&str, &str)]) -> Vec<(String, String)> {
        let outcome = self.run(&["doctor", "--json"]).envs(env.to_vec()).run();
        let report = outcome.json();
        let checks = report["checks"].as_array().unwrap();
        let failed = checks.iter().any(|check| check["status"] == "fail");
        assert_eq!(outcome.code, Some(if failed { 3 } else { 0 }), "{outcome}");
        assert_eq!(report["ok"], Value::Bool(!failed), "{outcome}");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        checks
            .iter()
            .filter(|check| check["name"] == name)
            .map(|check| {
                (text(&check["status"]), format!("{} -> {}", text(&check["text"]), text(&check["next"])))
            })
            .collect()
    }

    #[track_caller]
    fn doctor_says(&self, name: &str, status: &str, part: &str) {
        let found = self.doctor(name, &[]);
        assert!(
            found.iter().any(|(was, text)| was == status && text.contains(part)),
            "expected {name}: {status} with {part:?}, got {found:?}"
        );
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn init_writes_private_keys_and_a_configuration_that_holds() {
    let site = Site::new();
    let outcome = site.run(&["init", "--instance", "prod", "--json"]).run().ok();
    let facts = outcome.json();
    let identity = fs::read_to_string(site.path("lifeboat-identity.txt")).unwrap();
    let recipient = identity.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    assert!(identity.lines().any(|line| line.starts_with("AGE-SECRET-KEY-1")));
    assert_eq!(facts["recipients"][0], recipient);
    assert!(!outcome.stdout.contains("AGE-SECRET") && !outcome.stderr.contains("AGE-SECRET"));
    let signing = fs::read_to_string(site.path("lifeboat-signing-key")).unwrap();
    assert!(signing.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"));
    for name in ["lifeboat.toml", "lifeboat-identity.txt", "lifeboat-signing-key"] {
        assert_eq!(mode(&site.path(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&site.path("lifeboat-state")), 0o700);
    let config = fs::read_to_string(site.path("lifeboat.toml")).unwrap();
    assert!(config.contains(recipient) && config.contains(facts["trusted_key"].as_str().unwrap()));
    assert!(!config.contains("AGE-SECRET"));
    site.doctor_says("configuration", "ok", "instance prod");
    site.doctor_says("signing key", "ok", "its public half is trusted");
    site.doctor_says("identity", "warn", "lifeboat-identity.txt is on a host that stores archives");
    fs::remove_file(site.path("lifeboat-identity.txt")).unwrap();
    site.doctor_says("identity", "ok", "none here");
}

#[test]
fn the_keys_are_what_stock_tools_make() {
    let site = Site::with_init(&[]);
    let public = Command::new("age-keygen").arg("-y").arg(site.path("lifeboat-identity.txt")).output();
    let public = public.expect("age-keygen is installed (package age)");
    let config = fs::read_to_string(site.path("lifeboat.toml")).unwrap();
    assert!(public.status.success());
    assert!(config.contains(String::from_utf8(public.stdout).unwrap().trim()));
    let public =
        Command::new("ssh-keygen").arg("-y").arg("-f").arg(site.path("lifeboat-signing-key")).output();
    let public = public.expect("ssh-keygen is installed (package openssh-client)");
    assert!(public.status.success());
    assert!(config.contains(String::from_utf8(public.stdout).unwrap().trim()));
}

#[test]
fn init_tells_where_the_identity_belongs_and_where_not() {
    let site = Site::new();
    let text = site.run(&["init", "--instance", "prod"]).run().ok().stdout;
    for part in [
        "Keep the identity in a password manager",
        "Do not keep it on this host",
        "escrow",
        "lifeboat doctor",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[test]
fn init_takes_recipients_paths_and_settings() {
    let site = Site::with_init(&[
        "--config",
        "etc/lifeboat.toml",
        "--repository",
        "repo",
        "--state-dir",
        "state",
        "--signing-key",
        "keys/sign",
        "--recipient",
        RECIPIENT,
        "--set",
        "postgres.port=5433",
        "--set",
        "odoo.exclude=a, b",
        "--set",
        "backup.pack_bytes=32MiB",
    ]);
    assert_eq!(site.files(), ["etc", "keys", "odoo", "repo", "state"], "no identity was made");
    let config = fs::read_to_string(site.path("etc/lifeboat.toml")).unwrap();
    for line in ["port = 5433", "  \"a\",\n  \"b\",", "pack_bytes = \"32MiB\"", RECIPIENT] {
        assert!(config.contains(line), "{line:?} is not in\n{config}");
    }
    let outcome = site.run(&["doctor", "--config", "etc/lifeboat.toml"]).run().exits(3);
    let repository = format!("repository {}", site.path("repo").display());
    assert!(outcome.stdout.contains(&repository), "{outcome}");
}

#[test]
fn init_refuses_to_overwrite_anything() {
    for name in ["lifeboat.toml", "lifeboat-identity.txt", "lifeboat-signing-key", "lifeboat-state"] {
        let site = Site::new();
        fs::write(site.path(name), "mine").unwrap();
        let outcome = site.run(&["init", "--instance", "prod", "--json"]).run().exits(17);
        outcome.json()["error"]["effect"].as_str().unwrap();
        assert_eq!(outcome.json()["error"]["kind"], "already-exists");
        assert!(outcome.stderr.starts_with("error[already-exists]: "), "{outcome}");
        assert!(
            outcome.stderr.contains(name) && outcome.stderr.contains("\n  effect: nothing was written"),
            "{outcome}"
        );
        assert_eq!(site.files(), [name], "nothing else was written");
        assert_eq!(fs::read_to_string(site.path(name)).unwrap(), "mine");
    }
}

#[test]
fn init_that_fails_leaves_nothing() {
    let site = Site::new();
    for (args, says) in [
        (&["--set", "backup.workers=99"][..], "backup.workers = 99: it takes a whole number from 1 to 64"),
        (&["--set", "backup.worker=9"], "did you mean backup.workers?"),
        (&["--set", "nonsense"], "does not have the form KEY=VALUE"),
        (&["--recipient", "age1nonsense"], "\"age1nonsense\" is not a valid recipient"),
        (&["--instance", "A B"], "instance name \"A B\""),
        (&["--repository", "ftp://x/y"], "file://, s3://, az://, gs://"),
    ] {
        site.run(&["init"]).args(args.to_vec()).run().exits(2).says(says);
        assert_eq!(site.files(), [""; 0], "{args:?}");
    }
    fs::write(site.path("file"), "").unwrap();
    let outcome = site.run(&["init", "--signing-key", "file/below"]).run();
    assert!(outcome.code != Some(0) && outcome.stderr.starts_with("error["), "{outcome}");
    assert!(site.files().iter().all(|name| name == "file" || name == "lifeboat-state"), "{:?}", site.files());
}

#[test]
fn an_error_of_the_file_names_file_line_key_value_and_what_is_allowed() {
    let good = "instance = \"prod\"\nrepository.url = \"repo\"\n";
    let cases = [
        (
            "[backup]\nworkers = 99\n",
            "lifeboat.toml:4: backup.workers = 99: it takes a whole number from 1 to 64",
        ),
        (
            "[backup]\nworker = 2\n",
            "lifeboat.toml:4: backup.worker is not a known key; did you mean backup.workers?",
        ),
        (
            "[backups]\nworkers = 2\n",
            "lifeboat.toml:3: [backups] is not a known section; did you mean [backup]?",
        ),
        (
            "[backup]\npack_bytes = \"64MB\"\n",
            "backup.pack_bytes = \"64MB\": it takes a size from \"1MiB\" to \"1GiB\"",
        ),
        ("[postgres]\nconnect_timeout = \"11m\"\n", "it takes a duration from \"1s\" to \"10min\""),
        ("[postgres]\npassword = \"hunter2\"\n", "lifeboat.toml:4: postgres.password holds a secret"),
        ("[backup\n", "lifeboat.toml:3: this is not TOML"),
    ];
    for (text, says) in cases {
        let site = Site::with_file(&format!("{good}{text}"));
        site.doctor_says("configuration", "fail", says);
        site.doctor_says("everything else", "not-checked", "");
        assert!(!site.run(&["doctor"]).run().exits(3).to_string().contains("hunter2"));
    }
    let site = Site::with_file("instance = \"prod\"\n");
    site.doctor_says("configuration", "fail", "repository.url is required, but");
}

#[test]
fn every_command_that_needs_the_configuration_refuses_a_wrong_one() {
    let site = Site::with_file("instance = \"prod\"\nrepository.url = \"repo\"\n[backup]\nworkers = 99\n");
    let says = "lifeboat.toml:4: backup.workers = 99: it takes a whole number from 1 to 64";
    let id = "20200101T000000Z-dump-00000000";
    let commands: [&[&str]; 6] = [
        &["list"],
        &["show", id],
        &["cat", id, "dump.pgc", "--identity", "x"],
        &["verify"],
        &["backup"],
        &["restore", "--tenant", "shop", "--identity", "x"],
    ];
    for args in commands {
        let outcome = site.run(args).arg("--json").run().exits(4).says(says);
        assert_eq!(outcome.json()["error"]["kind"], "config", "{outcome}");
    }
}

#[test]
fn an_error_of_the_environment_names_the_variable() {
    let site = Site::with_file("instance = \"prod\"\nrepository.url = \"repo\"\n");
    for (name, value, says) in [
        (
            "LIFEBOAT_BACKUP_WORKERS",
            "many",
            "environment variable LIFEBOAT_BACKUP_WORKERS = \"many\": it takes",
        ),
        ("LIFEBOAT_BACKUP_WORKER", "2", "did you mean LIFEBOAT_BACKUP_WORKERS?"),
        ("LIFEBOAT_POSTGRES_PASSWORD", "hunter2", "LIFEBOAT_POSTGRES_PASSWORD holds a secret"),
        (
            "LIFEBOAT_CONFIG",
            "absent.toml",
            "environment variable LIFEBOAT_CONFIG names absent.toml, but there is no such",
        ),
    ] {
        let found = site.doctor("configuration", &[(name, value)]);
        assert!(found[0].0 == "fail" && found[0].1.contains(says), "{name}={value}: {found:?}");
        assert!(!found[0].1.contains("hunter2"));
    }
    site.run(&["version"])
        .env("LIFEBOAT_LOG", "a=b=c")
        .run()
        .exits(4)
        .says("error[config]: environment variable LIFEBOAT_LOG");
}

#[test]
fn flags_beat_the_environment_and_the_environment_the_file() {
    let site = Site::with_file("instance = \"file\"\nrepository.url = \"repo\"\n");
    let configuration = |env: &[(&str, &str)]| site.doctor("configuration", env)[0].1.clone();
    assert!(configuration(&[]).contains("instance file"));
    assert!(configuration(&[("LIFEBOAT_INSTANCE", "variable")]).contains("instance variable"));
    let outcome = site.run(&["--instance", "flag", "doctor"]).env("LIFEBOAT_INSTANCE", "variable").run();
    assert!(outcome.stdout.contains("instance flag"), "{outcome}");
    let nowhere = Site::new();
    let outcome = nowhere.run(&["doctor", "--instance", "a", "--repository", "r"]).run().exits(3);
    assert!(outcome.stdout.contains("flags and environment, no file: instance a"), "{outcome}");
}

#[test]
fn a_missing_file_is_named() {
    let site = Site::new();
    site.doctor_says(
        "configuration",
        "fail",
        "neither ./lifeboat.toml nor /etc/lifeboat/lifeboat.toml exists",
    );
    let outcome = site.run(&["doctor", "--config", "absent.toml"]).run().exits(3);
    assert!(outcome.stdout.contains("--config names absent.toml, but there is no such file"), "{outcome}");
}

#[test]
fn keys_that_are_too_open_or_do_not_fit_are_found() {
    let site = Site::with_init(&["--recipient", RECIPIENT]);
    site.doctor_says("recipients", "warn", "escrow");
    set_mode(&site.path("lifeboat-signing-key"), 0o644);
    site.doctor_says("signing key", "fail", "can be read by others: it belongs to ");
    site.doctor_says("signing key", "fail", "-> chmod 600");
    set_mode(&site.path("lifeboat-signing-key"), 0o600);
    let config = fs::read_to_string(site.path("lifeboat.toml")).unwrap();
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti other";
    let trusted = config.lines().find(|line| line.starts_with("  \"ssh-ed25519 ")).unwrap();
    fs::write(site.path("lifeboat.toml"), config.replace(trusted, &format!("  {other:?},"))).unwrap();
    site.doctor_says("signing key", "fail", "is not in signing.trusted_keys");
    set_mode(&site.path("lifeboat-state"), 0o755);
    site.doctor_says("state directory", "fail", "is open to others (mode 755)");
    fs::write(site.path("password"), "hunter2").unwrap();
    set_mode(&site.path("password"), 0o644);
    let password = site.path("password");
    let found = site.doctor("password", &[("LIFEBOAT_POSTGRES_PASSWORD_FILE", password.to_str().unwrap())]);
    assert!(found[0].0 == "fail" && found[0].1.contains("chmod 600"), "{found:?}");
}

#[test]
fn a_restore_host_needs_an_identity_and_no_server() {
    let backup = Site::with_init(&[]);
    let site = Site::with_file("instance = \"prod\"\nrepository.url = \"repo\"\n");
    site.doctor_says("signing key", "warn", "this host can restore and verify");
    site.doctor_says("identity", "warn", "give --identity FILE");
    site.doctor_says("postgresql", "warn", "");
    fs::copy(backup.path("lifeboat-identity.txt"), site.path("id")).unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(site.path("lifeboat.toml")).unwrap();
    file.write_all(b"seal.identity_files = [\"id\"]\n").unwrap();
    site.doctor_says("identity", "ok", "1 files can be read");
    set_mode(&site.path("id"), 0o644);
    site.doctor_says("identity", "fail", "can be read by others");
    site.doctor_says("identity", "fail", "-> chmod 600");
}

#[test]
fn doctor_finds_a_server_its_tools_and_its_tenants() {
    let cluster = Cluster::start_default();
    let site = Site::with_init(&[
        "--recipient",
        RECIPIENT,
        "--recipient",
        RECIPIENT,
        "--set",
        &format!("postgres.host={}", cluster.host()),
        "--set",
        &format!("postgres.port={}", cluster.port()),
        "--set",
        &format!("postgres.user={}", cluster.user()),
    ]);
    site.doctor_says("tenants", "fail", "none among");
    cluster.create_db("shop");
    cluster.psql("shop", "create table ir_module_module (name text, state text, latest_version text)");
    cluster.psql("shop", "create table ir_attachment (id int)");
    fs::create_dir(site.path("odoo/filestore/shop")).unwrap();
    site.doctor_says("postgresql", "ok", "superuser");
    site.doctor_says("pg_dump", "ok", &cluster.major().to_string());
    site.doctor_says("server clock", "ok", "");
    site.doctor_says("tenants", "ok", "1 found");
    assert_eq!(site.doctor("tenant", &[]), []);
    cluster.psql("postgres", "create role reader login");
    let reader = [("LIFEBOAT_POSTGRES_USER", "reader")];
    let found = site.doctor("tenants", &reader);
    assert!(found[0].0 == "fail" && found[0].1.contains("permission denied"), "{found:?}");
    cluster.psql("shop", "grant select on ir_module_module to reader");
    let found = site.doctor("tenant", &reader);
    assert!(
        found[0].0 == "fail" && found[0].1.contains("may not read tables \"public\".\"ir_attachment\""),
        "{found:?}"
    );
    cluster.psql("shop", "grant select on ir_attachment to reader");
    let found = site.doctor("tenant", &reader);
    assert!(found[0].0 == "warn" && found[0].1.contains("may not lock ir_attachment"), "{found:?}");
    let found = site.doctor("tenants", &[("LIFEBOAT_ODOO_TENANTS", "shop,absent")]);
    assert!(found.iter().any(|(status, text)| status == "fail" && text.contains("absent")), "{found:?}");
    cluster.stop();
    site.doctor_says("postgresql", "fail", "cannot connect");
    site.doctor_says("tenants", "not-checked", "it needs the connection");
}

#[test]
fn doctor_looks_at_the_repository() {
    let site = Site::with_init(&["--recipient", RECIPIENT]);
    let description = fs::read(site.path("lifeboat-repository/lifeboat.json")).unwrap();
    let s3 = S3::start();
    let s3_checks = |name: &str| {
        let env: Vec<(String, String)> = s3.env();
        let mut env: Vec<(&str, &str)> =
            env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (url, endpoint) = (s3.url("odoo"), s3.endpoint());
        env.extend([
            ("LIFEBOAT_REPOSITORY_URL", url.as_str()),
            ("LIFEBOAT_REPOSITORY_ENDPOINT", endpoint.as_str()),
            ("LIFEBOAT_REPOSITORY_ALLOW_HTTP", "true"),
        ]);
        site.doctor(name, &env)
    };
    let found = s3_checks("repository");
    assert!(found[0].0 == "fail" && found[0].1.contains("is not initialised"), "{found:?}");
    fs::create_dir_all(s3.object("odoo/lifeboat.json").parent().unwrap()).unwrap();
    fs::write(s3.object("odoo/lifeboat.json"), &description).unwrap();
    assert_eq!(s3_checks("repository")[0].0, "ok");
    assert_eq!(s3_checks("overwriting")[0].0, "ok");
    assert_eq!(s3.keys("odoo/probes"), [""; 0], "the probe is removed again");

    let elsewhere = site.path("elsewhere");
    let local = |name: &str| site.doctor(name, &[("LIFEBOAT_REPOSITORY_URL", elsewhere.to_str().unwrap())]);
    assert!(local("repository")[0].1.contains("does not exist -> "));
    fs::create_dir(&elsewhere).unwrap();
    assert!(local("repository")[0].1.contains("is not initialised"));
    fs::write(elsewhere.join("lifeboat.json"), "{}").unwrap();
    assert!(local("repository")[0].1.contains("cannot be read"));
    fs::write(elsewhere.join("lifeboat.json"), &description).unwrap();
    assert_eq!((local("repository")[0].0.as_str(), local("overwriting")[0].0.as_str()), ("ok", "ok"));
}

#[test]
fn a_repository_of_a_newer_format_is_left_alone() {
    let site = Site::with_init(&["--recipient", RECIPIENT]);
    let file = site.path("lifeboat-repository/lifeboat.json");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("\"format\": 1"), "{text}");
    set_mode(&file, 0o600);
    fs::write(&file, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
    for command in
        [&["list"][..], &["verify"], &["status"], &["backup"], &["restore", "--tenant", "shop", "--yes"]]
    {
        site.run(command).run().exits(9).says("has format 2; this program reads format 1");
    }
    assert!(site.doctor("repository", &[])[0].1.contains("has format 2"));
}

#[test]
fn usage_errors_exit_2_and_say_so_in_json_too() {
    let site = Site::new();
    let cases: [&[&str]; 5] = [
        &["nonsense"],
        &["doctor", "--colour"],
        &["doctor", "-q", "-v"],
        &["completions"],
        &["init", "--recipient"],
    ];
    for args in cases {
        let outcome = site.run(args).arg("--json").run().exits(2);
        assert_eq!(outcome.json()["error"]["kind"], "usage", "{outcome}");
        assert!(outcome.stderr.starts_with("error: "), "{outcome}");
        assert_eq!(site.run(args).run().exits(2).stdout, "", "nothing on standard output without --json");
    }
    site.run(&[]).run().exits(2).says("Usage: lifeboat");
    let both = ["init", "--recipient", RECIPIENT, "--identity-file", "x"];
    site.run(&both).run().exits(2).says("cannot be used with");
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let site = Site::new();
    let all = site.run(&["--help"]).run().ok();
    assert_eq!(all.stderr, "");
    assert!(all.stdout.contains("--config <FILE>"), "{all}");
    for command in COMMANDS {
        assert!(all.stdout.contains(&format!("\n  {command} ")), "{command} is not in {all}");
        let help = site.run(&[command, "--help"]).run().ok();
        assert!(
            help.stdout.contains("Example") && help.stdout.contains(&format!("lifeboat {command}")),
            "{help}"
        );
        assert!(!help.stdout.contains("--config <FILE>"), "it stands in the program's own help: {help}");
        assert!(help.stdout.ends_with("\nOptions of every command: lifeboat --help\n"), "{help}");
        let short = site.run(&[command, "-h"]).run().ok();
        assert!(short.stdout.lines().count() < help.stdout.lines().count(), "{short}");
        assert_eq!(site.run(&["help", command]).run().ok().stdout, help.stdout);
    }
}

#[test]
fn help_fits_the_terminal_that_it_is_read_on() {
    let site = Site::new();
    for columns in [60, 80, 100] {
        for args in [&["--help"][..], &["restore", "--help"], &["restore", "-h"], &["wal", "push", "--help"]]
        {
            let help = site.run(args).env("COLUMNS", columns.to_string()).run().ok().stdout;
            let options = help.split("\nExample").next().unwrap();
            let wide = options.lines().find(|line| line.chars().count() > columns);
            assert_eq!(wide, None, "{args:?} in {columns} columns");
        }
    }
}

#[test]
fn both_programs_say_which_build_they_are_and_what_they_work_with() {
    let site = Site::new();
    let drill = |args: &[&str]| Program::restore_drill().args(args.to_vec()).run().ok();
    for (name, facts) in [
        ("lifeboat", site.run(&["version", "--json"]).run().ok().json()),
        ("restore-drill", drill(&["version", "--json"]).json()),
    ] {
        assert_eq!(facts["program"], name);
        assert_eq!(facts["archive_format"], 1);
        assert_eq!(facts["postgresql_majors"], serde_json::json!([13, 14, 15, 16, 17, 18]));
        let (version, commit) = (facts["version"].as_str().unwrap(), facts["commit"].as_str().unwrap());
        let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(is_commit || commit == "unknown", "{facts}");
        for args in [&["version"][..], &["--version"]] {
            let said = if name == "lifeboat" { site.run(args).run().ok() } else { drill(args) }.stdout;
            assert!(said.starts_with(&format!("{name} {version} (")), "{said}");
            for part in [commit, "archive format  1", "PostgreSQL      13 to 18"] {
                assert!(said.contains(part), "{part} is not in {said}");
            }
        }
        let short = if name == "lifeboat" { site.run(&["-V"]).run().ok() } else { drill(&["-V"]) };
        assert_eq!(short.stdout, format!("{name} {version}\n"));
    }
}

#[test]
fn every_command_of_both_programs_has_a_manual_page() {
    let site = Site::new();
    fs::create_dir(site.path("man1")).unwrap();
    site.run(&["man", "man1"]).run().ok();
    Program::restore_drill().cwd(site.dir.path()).args(["man", "man1"]).run().ok();
    let read = |name: &str| fs::read_to_string(site.path("man1").join(format!("{name}.1"))).unwrap();
    for command in COMMANDS {
        let page = read(&format!("lifeboat-{command}"));
        assert!(page.contains(".SH EXAMPLES") && page.contains("SEE ALSO"), "{page}");
    }
    assert!(read("lifeboat").contains("lifeboat\\-restore(1)"));
    assert!(read("restore-drill-run").contains(".SH \"EXIT CODES\""));
    read("lifeboat-wal-push");
    let mode = fs::metadata(site.path("man1/lifeboat.1")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "everybody may read manual pages");
    site.run(&["man", "nowhere"]).run().exits(5).says("does not exist");
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let program = lifeboat_tests::program::bin_dir().join("lifeboat");
    let mut child = Command::new(program)
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let outcome = child.wait_with_output().unwrap();
    assert!(outcome.status.success() && outcome.stderr.is_empty(), "{outcome:?}");
}

#[test]
fn a_signal_stops_a_command_that_waits_and_its_memory_is_its_own() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap(); // accepts, and never answers
    let port = silent.local_addr().unwrap().port();
    let site = Site::with_init(&[
        "--recipient",
        RECIPIENT,
        "--set",
        "postgres.host=127.0.0.1",
        "--set",
        &format!("postgres.port={port}"),
        "--set",
        "postgres.connect_timeout=10min",
    ]);
    for signal in [Signal::TERM, Signal::INT] {
        let running = site.run(&["doctor", "--json"]).spawn();
        let (_connection, _) = silent.accept().unwrap();
        let limits = fs::read_to_string(format!("/proc/{}/limits", running.pid())).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
        let status = fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
        assert!(status.lines().any(|line| line == "Umask:\t0077"), "{status}");
        let begun = Instant::now();
        running.signal(signal);
        let outcome = running.finish().exits(18).says("stopping; once more to stop at once");
        assert!(begun.elapsed() < HANGS, "{outcome}");
        assert_eq!(outcome.json()["error"]["kind"], "interrupted");
    }
}
