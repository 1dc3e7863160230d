//! What `init`, `doctor`, `status` and `agent` do, called as functions: a page or a gate needs no command
//! line for it.

use std::fs;
use std::time::Duration;

use lifeboat::agent::{self, Calls};
use lifeboat::config::{Config, Inputs};
use lifeboat::doctor::{self, Outcome};
use lifeboat::error::Kind;
use lifeboat::inventory::standing::Standing;
use lifeboat::progress::Progress;
use lifeboat::repository::snapshots::Trust;
use lifeboat::setup::{self, Setup, SetupRequest};
use lifeboat::status::Status;
use lifeboat_tests::program::workspace_root;
use tokio_util::sync::CancellationToken;

/// How old a tenant's newest state may be.
const AGE_MAX: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_work_of_four_commands_needs_no_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lifeboat.toml");
    let inputs =
        Inputs { config: Some(file.clone()), instance: Some("prod".to_owned()), ..Inputs::default() };
    let data_dir = dir.path().join("odoo");
    fs::create_dir_all(data_dir.join("filestore")).unwrap();
    let off = ["wal.stream=false", "agent.follow_filestore=false", "postgres.port=1"].map(str::to_owned);
    let request =
        SetupRequest { data_dir: Some(data_dir), settings: off.to_vec(), ..SetupRequest::default() };

    let made = setup::run(&request, &inputs).await.unwrap();
    let json = serde_json::to_value(&made).unwrap();
    assert!(matches!(made, Setup::Written(_)) && json["config"] == file.to_str().unwrap(), "{json}");
    assert!(!json.to_string().contains("AGE-SECRET-KEY"), "no key is in what is returned");
    assert_eq!(setup::run(&request, &inputs).await.unwrap_err().kind(), Kind::AlreadyExists);
    let again = SetupRequest { if_missing: true, ..request };
    assert!(matches!(setup::run(&again, &inputs).await.unwrap(), Setup::Completed(_)));

    let report = doctor::check(Config::load(&inputs)).await;
    let of = |name: &str| report.checks.iter().find(|check| check.name == name).map(|check| check.status);
    assert_eq!((of("repository"), of("postgresql")), (Some(Outcome::Ok), Some(Outcome::Fail)));
    assert!(!report.ok);
    let lost = Inputs { config: Some(dir.path().join("none.toml")), ..Inputs::default() };
    let report = doctor::check(Config::load(&lost)).await;
    assert_eq!(report.checks.last().map(|check| check.status), Some(Outcome::NotChecked));

    let config = Config::load(&inputs).unwrap();
    let none = Status::take(&config, &Trust::Anyone, AGE_MAX).await;
    assert_eq!(none.unwrap_err().kind(), Kind::NotFound, "nothing is stored");
    let golden = workspace_root().join("tests/golden/format-1/repository");
    let golden = golden.to_str().unwrap().to_owned();
    let golden = Inputs { repository: Some(golden), instance: Some("golden".to_owned()), ..inputs.clone() };
    let status = Status::take(&Config::load(&golden).unwrap(), &Trust::Anyone, AGE_MAX).await.unwrap();
    assert!(!status.is_empty() && !status.is_well());
    assert!(status.tenants.iter().all(|tenant| tenant.standing == Standing::Late), "{status:?}");
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(json["tenants"].as_array().unwrap().len(), status.tenants.len());

    let calls = || Calls { arguments: Vec::new(), progress: Progress::unseen(), tell: &|_| {} };
    let stop = CancellationToken::new();
    assert_eq!(agent::run(&config, calls(), &stop).await.unwrap_err().kind(), Kind::Config, "nothing to do");
    let backup = ("LIFEBOAT_SCHEDULE_BACKUP".into(), "30 1 * * *".into());
    let mut config = Config::load(&Inputs { environment: vec![backup], ..inputs }).unwrap();
    config.agent.listen = None;
    stop.cancel();
    agent::run(&config, calls(), &stop).await.unwrap();
}
