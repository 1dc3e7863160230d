//! The agent's scheduled jobs: which `lifeboat` command each line of `[schedule]`, or of a class, runs.

use std::path::Path;

use crate::config::{Config, Scheduled, Work};
use crate::daemon::due::Job;

/// Whether a job backs up databases.
pub fn backs_up(job: &Job) -> bool {
    !["filestore", "configuration", "expire", "verify", "drill"].contains(&job.name.as_str())
}

/// Whether a job runs beside the others: it only reads, and a long backup must not delay its report.
pub fn runs_beside(job: &Job) -> bool {
    job.name == "verify"
}

/// Whether a job is a restore drill.
pub fn drills(job: &Job) -> bool {
    job.drill_program.is_some()
}

/// Warnings about a schedule that is allowed but is probably a mistake.
pub fn notes(config: &Config, jobs: &[Job]) -> Vec<String> {
    let only_drills = !jobs.is_empty() && jobs.iter().all(drills) && !config.wal.stream;
    if jobs.iter().any(backs_up) || only_drills {
        return Vec::new();
    }
    let restores = match config.wal.stream {
        true => "WAL is streamed, but without a base backup nothing can be restored from it",
        false => "without a dump or a base backup no tenant can be restored",
    };
    vec![format!(
        "this agent never backs up a database: schedule.backup, schedule.base and schedule.base_full are \
        not set; {restores}. Set schedule.backup = \"30 1 * * *\" and schedule.base = \"0 2 * * *\", or \
        run `lifeboat backup` from cron or a timer"
    )]
}

/// The jobs of the schedules, those of classes among them; each runs `lifeboat` with `arguments` before its
/// own, but for drills, whose plan says all.
pub fn jobs(config: &Config, arguments: &[String], drill_program: Option<&Path>) -> Vec<Job> {
    let job = |scheduled: Scheduled<'_>| {
        let is_drill = scheduled.work == Work::Drill;
        let mut arguments = if is_drill { Vec::new() } else { arguments.to_vec() };
        arguments.extend(words(config, scheduled.work));
        let drill_program = drill_program.filter(|_| is_drill).map(Path::to_owned);
        let key = scheduled.key;
        let name = key.strip_prefix("schedule.").unwrap_or(&key).to_owned();
        Job { name, schedule: scheduled.schedule.clone(), arguments, drill_program }
    };
    config.scheduled().into_iter().map(job).collect()
}

/// The command for this work, and its arguments.
fn words(config: &Config, work: Work<'_>) -> Vec<String> {
    let sample = config.schedule.verify_sample.to_string();
    let plan = config.schedule.drill_plan.as_deref().unwrap_or(Path::new("")).to_string_lossy();
    let words = match work {
        Work::Backup => {
            let others = config.classes_with_backup().flat_map(|class| ["--all-but-class", class]);
            ["backup"].into_iter().chain(others).collect::<Vec<&str>>()
        }
        Work::Class(class) => vec!["backup", "--class", class],
        Work::Filestore => vec!["backup", "--kind", "filestore"],
        Work::Base => vec!["backup", "--kind", "base"],
        Work::BaseFull => vec!["backup", "--kind", "base", "--full"],
        Work::Configuration => vec!["backup", "--kind", "config"],
        Work::Expire => vec!["expire", "--yes"],
        Work::Verify if config.schedule.verify_sample == 0 => vec!["verify", "--quick"],
        Work::Verify => vec!["verify", "--sample", &sample],
        Work::Drill => vec!["run", &plan],
    };
    words.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Inputs;

    const TRUSTED: &str = "signing.trusted_keys = [\"ssh-ed25519 \
        AAAAC3NzaC1lZDI1NTE5AAAAIIk1CVy8M+xF/CBN7ZjbiaNJ0vGBx/XBr7cZSxSZJepu\"]\n";

    fn config(schedule: &str) -> Config {
        let text = format!("instance = \"prod\"\nrepository.url = \"/r\"\n{schedule}");
        Config::parse("lifeboat.toml".as_ref(), &text, &Inputs::default()).unwrap()
    }

    #[test]
    fn each_schedule_is_a_call_of_the_program_and_files_alone_are_worth_a_note() {
        let files = config("schedule.filestore = \"0 * * * *\"\n");
        let called = jobs(&files, &["--config".to_owned(), "/etc/l.toml".to_owned()], None);
        assert_eq!(called[0].arguments, ["--config", "/etc/l.toml", "backup", "--kind", "filestore"]);
        assert!(!backs_up(&called[0]) && notes(&files, &called)[0].contains("never backs up a database"));
        let both = config("schedule.filestore = \"0 * * * *\"\nschedule.base = \"0 2 * * *\"\n");
        let called = jobs(&both, &[], None);
        assert_eq!(called.iter().map(|job| job.name.as_str()).collect::<Vec<_>>(), ["filestore", "base"]);
        assert!(notes(&both, &called).is_empty());
        let captured =
            config("configuration.files = [\"/etc/odoo\"]\nschedule.configuration = \"7 * * * *\"\n");
        let called = jobs(&captured, &[], None);
        assert_eq!(called[0].arguments, ["backup", "--kind", "config"]);
        let expires = config("expire.key_file = \"/k\"\nschedule.expire = \"7 5 * * *\"\n");
        let called = jobs(&expires, &[], None);
        assert_eq!(
            (called[0].name.as_str(), called[0].arguments.join(" ").as_str()),
            ("expire", "expire --yes")
        );
        assert!(!backs_up(&called[0]) && !runs_beside(&called[0]));
        for (more, expected) in
            [("", "verify --quick"), ("schedule.verify_sample = 5\n", "verify --sample 5")]
        {
            let verifies = config(&format!("{TRUSTED}schedule.verify = \"*/15 * * * *\"\n{more}"));
            let called = jobs(&verifies, &[], None);
            assert_eq!(called[0].arguments.join(" "), expected);
            assert!(!backs_up(&called[0]) && runs_beside(&called[0]));
        }
        let drills_only = config(
            "wal.stream = false\nseal.identity_files = [\"/id\"]\nschedule.drill = \"0 3 * * 6\"\nschedule.drill_plan = \"/etc/plan.toml\"\n",
        );
        let drill = jobs(&drills_only, &["--config".to_owned()], Some(Path::new("/usr/bin/restore-drill")));
        assert_eq!(drill[0].arguments.join(" "), "run /etc/plan.toml");
        assert!(drills(&drill[0]) && !backs_up(&drill[0]) && notes(&drills_only, &drill).is_empty());
        assert!(!backs_up(&called[0]) && notes(&captured, &called)[0].contains("never backs up a database"));
    }

    #[test]
    fn a_class_with_a_backup_of_its_own_is_left_out_of_the_others_and_base_backups_are_of_all() {
        let config = config(
            "[schedule]\nbackup = '30 1 * * *'\nbase = '0 2 * * *'\n\
             [class.a]\ntenants = ['a']\nbackup = '0 * * * *'\nbase = '0 */6 * * *'\n\
             [class.b]\ntenants = ['b']\nbackup = '0 3 * * 6'\nbase = '0 2 * * *'\n\
             [class.c]\ntenants = ['*']\nbase_full = '0 2 * * *'\n",
        );
        let called = jobs(&config, &[], None);
        let shown: Vec<String> =
            called.iter().map(|job| format!("{}: {}", job.name, job.arguments.join(" "))).collect();
        assert_eq!(
            shown,
            [
                "backup: backup --all-but-class a --all-but-class b",
                "base: backup --kind base",
                "class.a.backup: backup --class a",
                "class.a.base: backup --kind base",
                "class.b.backup: backup --class b",
                "class.c.base_full: backup --kind base --full",
            ],
            "the base backups of class b are those of [schedule]"
        );
        assert!(called.iter().all(backs_up));
    }
}
