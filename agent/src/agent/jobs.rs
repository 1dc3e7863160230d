//! The agent's scheduled jobs: which `lifeboat` command each line of `[schedule]` runs.

use crate::config::Config;
use crate::crontab::Schedule;
use crate::daemon::due::Job;

/// The jobs that back up databases.
const BACKS_UP: [&str; 3] = ["backup", "base", "base_full"];

/// Whether a job backs up databases.
pub fn backs_up(job: &Job) -> bool {
    BACKS_UP.contains(&job.name)
}

/// Warnings about a schedule that is allowed but is probably a mistake.
pub fn notes(config: &Config, jobs: &[Job]) -> Vec<String> {
    if jobs.iter().any(backs_up) {
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

/// The jobs of the schedules; each runs `lifeboat` with `arguments` before its own.
pub fn jobs(config: &Config, arguments: &[String]) -> Vec<Job> {
    let job = |name, schedule: &Option<Schedule>, more: &[&str]| {
        let schedule = schedule.clone()?;
        let arguments = arguments.iter().cloned().chain(["backup".to_owned()]);
        let arguments = arguments.chain(more.iter().map(|&word| word.to_owned())).collect();
        Some(Job { name, schedule, arguments })
    };
    let schedule = &config.schedule;
    let all = [
        job("backup", &schedule.backup, &[]),
        job("filestore", &schedule.filestore, &["--kind", "filestore"]),
        job("base", &schedule.base, &["--kind", "base"]),
        job("base_full", &schedule.base_full, &["--kind", "base", "--full"]),
        job("configuration", &schedule.configuration, &["--kind", "config"]),
    ];
    all.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Inputs;

    fn config(schedule: &str) -> Config {
        let text = format!("instance = \"prod\"\nrepository.url = \"/r\"\n{schedule}");
        Config::parse("lifeboat.toml".as_ref(), &text, &Inputs::default()).unwrap()
    }

    #[test]
    fn each_schedule_is_a_call_of_the_program_and_files_alone_are_worth_a_note() {
        let files = config("schedule.filestore = \"0 * * * *\"\n");
        let called = jobs(&files, &["--config".to_owned(), "/etc/l.toml".to_owned()]);
        assert_eq!(called[0].arguments, ["--config", "/etc/l.toml", "backup", "--kind", "filestore"]);
        assert!(!backs_up(&called[0]) && notes(&files, &called)[0].contains("never backs up a database"));
        let both = config("schedule.filestore = \"0 * * * *\"\nschedule.base = \"0 2 * * *\"\n");
        let called = jobs(&both, &[]);
        assert_eq!(called.iter().map(|job| job.name).collect::<Vec<_>>(), ["filestore", "base"]);
        assert!(notes(&both, &called).is_empty());
        let captured =
            config("configuration.files = [\"/etc/odoo\"]\nschedule.configuration = \"7 * * * *\"\n");
        let called = jobs(&captured, &[]);
        assert_eq!(called[0].arguments, ["backup", "--kind", "config"]);
        assert!(!backs_up(&called[0]) && notes(&captured, &called)[0].contains("never backs up a database"));
    }
}
