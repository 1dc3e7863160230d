//! Where a history takes place: a copy of the template in a directory or on S3, under a clock of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use lifeboat_tests::compare::walk;
use lifeboat_tests::{Program, S3};

use crate::promised::Class;
use crate::template::Template;

pub struct Place<'a> {
    template: &'a Template,
    pub s3: Option<&'a S3>,
    prefix: String,
    /// Configuration, keys and state of this history.
    dir: PathBuf,
    /// The folder of the repository.
    stored: PathBuf,
    /// How far its clock is ahead.
    pub ahead: Duration,
}

impl<'a> Place<'a> {
    pub fn new(template: &'a Template, s3: Option<&'a S3>, number: u64) -> Place<'a> {
        let dir = template.site.path(&format!("history-{number}"));
        fs::create_dir(&dir).unwrap();
        let prefix = format!("h{number}");
        let stored = s3.map_or(dir.join("repo"), |s3| s3.object(&prefix));
        copy(&template.site.stored, &stored);
        copy(&template.site.path("lifeboat-state"), &dir.join("lifeboat-state"));
        let place = Place { template, s3, prefix, dir, stored, ahead: Duration::ZERO };
        if let Some(s3) = s3 {
            // A directory is locked otherwise.
            for lease in ["lease", "wal/lease"] {
                let _ = fs::remove_file(place.instance().join(lease));
            }
            s3.faults().clear();
            s3.faults().clear_log();
            s3.faults().set_clock(Duration::ZERO);
        }
        place
    }

    /// Gives it this class.
    pub fn set_class(&self, class: &Class) {
        self.set_classes(&class.text());
    }

    /// Gives it these classes.
    pub fn set_classes(&self, classes: &str) {
        let text = fs::read_to_string(self.template.site.config()).unwrap();
        fs::write(self.config(), text + classes).unwrap();
    }

    /// Beside that of the template, as paths in it are relative to it.
    fn config(&self) -> PathBuf {
        self.template.site.path(&format!("{}.toml", self.prefix))
    }

    /// A command under this history's clock.
    pub fn run(&self, args: &[&str]) -> Program {
        let ahead = format!("+{}s", self.ahead.as_secs());
        let run = self.template.site.run(args).arg("--config").arg(self.config()).off_by(&ahead);
        let run = run
            .env("LIFEBOAT_STATE_DIR", self.dir.join("lifeboat-state"))
            .env("LIFEBOAT_EXPIRE_GRACE", "1h")
            .env("LIFEBOAT_EXPIRE_MAX_PERCENT", "100");
        let Some(s3) = self.s3 else { return run.env("LIFEBOAT_REPOSITORY_URL", &self.stored) };
        let keys = self.dir.join("s3-keys");
        if !keys.exists() {
            write_keys(s3, &keys);
        }
        run.env("LIFEBOAT_REPOSITORY_URL", s3.url(&self.prefix))
            .env("LIFEBOAT_REPOSITORY_ENDPOINT", s3.endpoint())
            .env("LIFEBOAT_REPOSITORY_ALLOW_HTTP", "true")
            .env("LIFEBOAT_REPOSITORY_CREDENTIALS_FILE", keys)
            .env("LIFEBOAT_REPOSITORY_REQUEST_TIMEOUT", "5s")
            .env("LIFEBOAT_REPOSITORY_RETRY_DEADLINE", "10s")
    }

    pub fn identity(&self) -> PathBuf {
        self.template.site.path("lifeboat-identity.txt")
    }

    pub fn instance(&self) -> PathBuf {
        self.stored.join("instances/prod")
    }

    /// Seconds since 1970.
    pub fn now(&self) -> u64 {
        (SystemTime::now() + self.ahead).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
    }

    /// Lets time pass, for the store, too.
    pub fn pass(&mut self, time: Duration) {
        self.ahead += time;
        if let Some(s3) = self.s3 {
            s3.faults().set_clock(self.ahead);
        }
    }

    /// Runs this while what is stored gets the times of this history's clock at once.
    pub fn while_dated<T>(&self, run: impl FnOnce() -> T) -> T {
        let (begun, is_done) = (SystemTime::now(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Ordering::SeqCst) {
                    self.date(begun);
                    std::thread::sleep(Duration::from_millis(2));
                }
            });
            let done = run();
            is_done.store(true, Ordering::SeqCst);
            done
        })
    }

    /// What was stored since `begun` was stored by this history's clock.
    pub fn date(&self, begun: SystemTime) {
        let now = SystemTime::now() + self.ahead;
        walk(&self.stored, &mut |path| {
            let modified = || path.metadata().and_then(|of| of.modified());
            let is_new = path.is_file()
                && modified().is_ok_and(|at| at >= begun && at < begun + Duration::from_secs(900));
            // It may be gone again.
            if let (true, Ok(file)) = (is_new, fs::File::options().append(true).open(path)) {
                file.set_modified(now).unwrap();
            }
        });
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
        let _ = fs::remove_file(self.config());
        let _ = fs::remove_dir_all(&self.stored);
    }
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success(), "cp {} {}", from.display(), to.display());
}

fn write_keys(s3: &S3, path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let value = |name: &str| s3.env().into_iter().find(|(n, _)| n == name).unwrap().1;
    let (id, secret) = (value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY"));
    fs::write(path, format!("access_key_id = {id}\nsecret_access_key = {secret}\n")).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}
