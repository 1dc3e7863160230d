//! `restore-drill list`, `show`, `compare` and `report`, on what is stored: signed, unsigned, forged, of old.

#![allow(clippy::unwrap_used)] // a test panics where it fails

mod common;
#[path = "common/sample.rs"]
mod sample;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use lifeboat::archive::digest::Sha256;
use lifeboat::archive::drill;
use lifeboat::archive::signature::{SigningKey, TrustedKeys};
use lifeboat::disk;
use lifeboat::repository::Repository;
use lifeboat::store::{Store, StoreOptions};
use restore_drill::history;
use restore_drill::report::Report;
use restore_drill::report::publish::Files;
use restore_drill::vault::Vault;
use serde_json::Value;

struct Host {
    dir: tempfile::TempDir,
    key: SigningKey,
    vault: Vault,
}

impl Host {
    async fn new() -> Host {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let key = SigningKey::generate("test").unwrap();
        let (url, signing) = (at("repository").display().to_string(), at("signing").display().to_string());
        disk::write_new_durable(&at("signing"), key.to_openssh().unwrap().as_bytes()).unwrap();
        let config = format!(
            "instance = \"production\"\n[repository]\nurl = \"{url}\"\n[signing]\nkey_file = \"{signing}\"\n\
             trusted_keys = [{:?}]\n",
            key.public_text().unwrap()
        );
        disk::write_new_durable(&at("lifeboat.toml"), config.as_bytes()).unwrap();
        Store::create_local_root(&url).unwrap();
        let store = Store::open(&url, &StoreOptions::default()).unwrap();
        Repository::init(&store).await.unwrap();
        let repository = Repository::open(store, "production".parse().unwrap()).await.unwrap();
        repository.bind(Some("1")).await.unwrap();
        let vault = Vault::open(&at("lifeboat.toml")).await.unwrap();
        Host { dir, key, vault }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn folder(&self, drill: &str) -> PathBuf {
        self.at("repository/instances/production/drills").join(drill)
    }

    /// Stores a report as `restore-drill run` does, but of a drill that found no snapshot: so none must be
    /// stored.
    async fn store(&self, mut report: Report, number: u32, key: Option<&SigningKey>) -> Report {
        report.drill = format!("20261130T04000{number}Z-drill-{number:08x}");
        (report.snapshot, report.manifests) = (None, Vec::new());
        (report.previous, report.history, report.others) = (None, Vec::new(), Vec::new());
        history::complete(&mut report, &self.vault).await;
        let files = Files::of(&mut report, Some(self.vault.repository()), key).unwrap();
        self.vault.publish(&report.drill, &files).await.unwrap();
        report
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_restore-drill"));
        command.args(arguments).arg("--config").arg(self.at("lifeboat.toml")).env("COLUMNS", "80");
        command.env_remove("LIFEBOAT_CONFIG").stdin(Stdio::null()).output().await.unwrap()
    }

    async fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    async fn refuses(&self, arguments: &[&str], code: i32, words: &str) {
        let output = self.run(arguments).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}{}", text(&output.stdout));
        assert!(told.split_whitespace().collect::<Vec<_>>().join(" ").contains(words), "{words:?}: {told}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn replace(path: &Path, bytes: &[u8]) {
    let _ = disk::remove_file(path);
    disk::write_new_durable(path, bytes).unwrap();
}

#[tokio::test]
async fn drills_are_listed_shown_compared_and_exported() {
    let host = Host::new().await;
    let passed = host.store(sample::passed(), 1, Some(&host.key)).await;
    let mut other = sample::could_not_run();
    other.tenant = Some("retail_south".parse().unwrap());
    let other = host.store(other, 2, Some(&host.key)).await;
    let failed = host.store(sample::failed(), 3, Some(&host.key)).await;

    // A report knows the ones before it.
    let json = disk::read(&host.folder(&passed.drill).join("report.json"), 1 << 22).unwrap();
    let previous = failed.previous.as_ref().unwrap();
    assert_eq!((&previous.drill, previous.sha256), (&passed.drill, Sha256::of(&json)));
    assert_eq!(failed.history.iter().map(|past| &past.drill).collect::<Vec<_>>(), [&passed.drill]);
    assert_eq!(failed.others.iter().map(|past| &past.drill).collect::<Vec<_>>(), [&other.drill]);
    assert!(passed.previous.is_none() && other.previous.is_none(), "of another tenant");

    let list = host.says(&["list"]).await;
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines[0].starts_with("DRILL ") && lines.len() == 4, "{list}");
    assert!(
        lines[1].starts_with("00000003  ") && lines[1].contains("  FAILED   2 h 2 min  32 min 0 s "),
        "{list}"
    );
    assert!(lines[2].contains("  UNKNOWN  ") && lines[3].contains("  passed   "), "{list}");
    assert!(lines[3].ends_with("8/11   retail_north"), "{list}");
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{list}");
    let list: Value =
        serde_json::from_str(&host.says(&["list", "--json", "--tenant", "retail_south"]).await).unwrap();
    assert_eq!(list["drills"].as_array().unwrap().len(), 1);
    assert_eq!(list["drills"][0]["signed"], true);

    let shown = host.says(&["show", "latest"]).await;
    assert!(shown.starts_with("FAILED: 8 of 11 parts exercised, tenant retail_north\n"), "{shown}");
    for words in ["signed by a trusted key", "stored as it was then", "objective 30 min 0 s: MISSED"] {
        assert!(shown.contains(words), "{words:?} is not in {shown}");
    }
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let shown: Value = serde_json::from_str(&host.says(&["show", "00000003", "--json"]).await).unwrap();
    assert_eq!(shown["report"], serde_json::to_value(&failed).unwrap());

    let compared = host.says(&["compare", &passed.drill, "latest"]).await;
    assert!(compared.contains("WORSE    verdict: passed -> failed\n"), "{compared}");
    let compared = host.says(&["compare", "latest", &passed.drill, "--json"]).await;
    assert!(compared.contains("\"way\": \"better\"") && !compared.contains("\"worse\""), "{compared}");

    for (format, name) in
        [("html", "report.html"), ("md", "report.md"), ("junit", "junit.xml"), ("json", "report.json")]
    {
        let stored = disk::read(&host.folder(&failed.drill).join(name), 1 << 22).unwrap();
        let output = host.run(&["report", &failed.drill, "--format", format]).await;
        assert_eq!((output.status.code(), &output.stdout), (Some(0), &stored), "{name}");
        let path = host.at(name);
        host.says(&["report", "latest", "--format", format, "--output", path.to_str().unwrap()]).await;
        assert_eq!(disk::read(&path, 1 << 22).unwrap(), stored, "{name}");
    }
}

#[tokio::test]
async fn what_a_stranger_put_there_counts_for_nothing_and_what_nobody_signed_is_marked() {
    let host = Host::new().await;
    host.refuses(&["show", "latest"], 4, "no drill \"latest\" is stored").await;
    let first = host.store(sample::passed(), 1, Some(&host.key)).await;
    let second = host.store(sample::passed(), 2, Some(&host.key)).await;

    // Nobody signed it.
    host.store(sample::passed(), 3, None).await;
    assert!(host.says(&["show", "latest"]).await.contains("NOT SIGNED"));
    assert_eq!(host.says(&["list"]).await.lines().nth(2).unwrap().trim(), "not signed");
    let next = host.store(sample::passed(), 4, Some(&host.key)).await;
    assert_eq!(
        next.previous.as_ref().unwrap().drill,
        second.drill,
        "an unsigned report is no link of the chain"
    );

    // A stranger signed it.
    let stranger = SigningKey::generate("stranger").unwrap();
    let forged = host.store(sample::passed(), 5, Some(&stranger)).await;
    host.refuses(&["show", &forged.drill], 4, "not in signing.trusted_keys").await;
    assert!(host.says(&["list"]).await.contains(&format!("no report: {}:", forged.drill)));
    disk::remove_tree(&host.folder(&forged.drill)).unwrap();

    // A file that was altered; a report whose signature is gone, or that is another one's.
    let page = host.folder(&second.drill).join("report.html");
    replace(&page, b"<h1>PASSED</h1>");
    host.refuses(&["report", &second.drill, "--format", "html"], 4, "report.html of drill").await;
    host.says(&["report", &second.drill, "--format", "md"]).await;
    let json = host.folder(&second.drill).join("report.json");
    let bytes = disk::read(&json, 1 << 22).unwrap();
    let altered = text(&bytes).replacen("passed", "failed", 1);
    replace(&json, altered.as_bytes());
    host.refuses(&["show", &second.drill], 4, "does not match").await;
    assert!(host.says(&["show", &next.drill]).await.contains("ALTERED"));
    let signature = host.folder(&second.drill).join("report.json.sig");
    disk::remove_file(&signature).unwrap();
    host.refuses(&["show", &second.drill], 4, "it was signed, and its signature is missing").await;
    replace(&json, &disk::read(&host.folder(&first.drill).join("report.json"), 1 << 22).unwrap());
    replace(&signature, &disk::read(&host.folder(&first.drill).join("report.json.sig"), 1 << 22).unwrap());
    host.refuses(&["show", &second.drill], 4, "it is that of another drill").await;
    disk::remove_tree(&host.folder(&second.drill)).unwrap();
    assert!(host.says(&["show", &next.drill]).await.contains("not stored any more"));

    // A path is no name.
    for name in ["../../x-drill-0", "20261130T040001Z-drill-00000001/../x", "/etc/passwd-drill-1"] {
        host.refuses(&["show", name], 2, "is not the name of a drill").await;
        host.refuses(&["report", name, "--format", "json"], 2, "is not the name of a drill").await;
    }
}

#[tokio::test]
async fn a_report_of_an_older_version_is_still_read() {
    let host = Host::new().await;
    let report = host.store(sample::failed(), 1, Some(&host.key)).await;
    // As version 2 was stored: the bare report, with report.md beside it, and without the keys of today.
    let mut old = serde_json::to_value(&report).unwrap();
    let object = old.as_object_mut().unwrap();
    for key in ["commit", "run_by", "approved_by", "owner", "due", "plan_sha256", "manifests", "recipients"] {
        object.remove(key);
    }
    for key in ["previous", "history", "others"] {
        object.remove(key);
    }
    old["schema_version"] = 2.into();
    old["stored"]["files"].as_array_mut().unwrap().retain(|file| file["name"] == "report.md");
    let folder = host.folder(&report.drill);
    disk::remove_file(&folder.join("report.html")).unwrap();
    let bytes = serde_json::to_vec_pretty(&old).unwrap();
    replace(&folder.join("report.json"), &bytes);
    replace(&folder.join("report.json.sig"), host.key.sign(&bytes).unwrap().as_bytes());
    let trusted = TrustedKeys::parse([host.key.public_text().unwrap().as_str()]).unwrap();
    trusted.verify("report", &bytes, host.key.sign(&bytes).unwrap().as_bytes()).unwrap();
    assert_eq!(drill::read::<Value>(&bytes).unwrap()["verdict"], "failed");

    assert!(host.says(&["list"]).await.contains("FAILED"));
    assert!(host.says(&["show", "latest"]).await.contains("run by        not recorded"));
    let page = host.says(&["report", "latest", "--format", "html"]).await;
    assert!(page.contains("<p class=\"word\">FAILED</p>"), "made of the report");
    // Its keys are not known: still listed, and its Markdown is there.
    old.as_object_mut().unwrap().remove("findings");
    let bytes = serde_json::to_vec_pretty(&old).unwrap();
    replace(&folder.join("report.json"), &bytes);
    replace(&folder.join("report.json.sig"), host.key.sign(&bytes).unwrap().as_bytes());
    assert!(host.says(&["list"]).await.contains("FAILED"));
    host.refuses(&["show", "latest"], 4, "--format md shows it as it was written").await;
    assert!(host.says(&["report", "latest", "--format", "md"]).await.starts_with("# Restore drill FAILED"));
}
