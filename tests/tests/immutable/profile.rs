//! Credentials of a profile of `~/.aws`, for a server that checks them: keys, a role, and SSO. Amazon's
//! services that give the last two are `amazon.py`, which answers as Amazon documents it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use lifeboat_tests::outcome::Outcome;
use lifeboat_tests::{Program, S3, skip};
use tempfile::TempDir;

/// A home directory with this `~/.aws/config`.
fn home(config: &str) -> TempDir {
    let home = tempfile::Builder::new().prefix("lbhome-").tempdir().unwrap();
    fs::create_dir(home.path().join(".aws")).unwrap();
    fs::write(home.path().join(".aws/config"), config).unwrap();
    home
}

/// `lifeboat init` with the credentials of this profile.
fn init(s3: &S3, home: &Path, profile: &str, prefix: &str, env: &[(&str, String)]) -> Outcome {
    let dir = home.join(prefix);
    fs::create_dir(&dir).unwrap();
    let mut program = Program::lifeboat().cwd(&dir).env("HOME", home).envs(env.to_vec());
    program = program.args(["init", "--instance", "prod", "--repository", &s3.url(prefix)]);
    for setting in [
        format!("repository.endpoint={}", s3.endpoint()),
        "repository.allow_http=true".to_owned(),
        "repository.region=us-east-1".to_owned(),
        "repository.retry_deadline=3s".to_owned(),
        format!("repository.profile={profile}"),
    ] {
        program = program.args(["--set".to_owned(), setting]);
    }
    program.run()
}

fn value(s3: &S3, name: &str) -> String {
    s3.env().into_iter().find(|(n, _)| n == name).unwrap().1
}

fn is_stored(s3: &S3, prefix: &str) -> bool {
    s3.keys(prefix).contains(&format!("{prefix}/lifeboat.json"))
}

#[test]
fn a_profile_gives_the_credentials() {
    let s3 = S3::start();
    let home = home(&format!(
        "[default]\naws_access_key_id = AKWRONG\naws_secret_access_key = wrong\n\
         [profile keys]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        value(&s3, "AWS_ACCESS_KEY_ID"),
        value(&s3, "AWS_SECRET_ACCESS_KEY"),
    ));
    let init = |profile: &str, prefix: &str| init(&s3, home.path(), profile, prefix, &[]);
    init("keys", "a").ok();
    assert!(is_stored(&s3, "a"), "{:?}", s3.keys(""));
    let outcome = init("default", "b");
    assert_eq!(outcome.code, Some(6), "{outcome:?}");
    let outcome = init("absent", "c").says("the profile absent gives no credentials");
    assert_ne!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(s3.keys("b/").len() + s3.keys("c/").len(), 0);
}

/// Amazon's services. They end with this.
struct Amazon {
    child: Child,
    _stdin: ChildStdin,
    lines: BufReader<std::process::ChildStdout>,
    /// What a program needs to find them.
    env: Vec<(&'static str, String)>,
}

impl Amazon {
    fn start(s3: &S3, dir: &Path) -> Result<Amazon, String> {
        let [certificate, key] = ["certificate", "key"].map(|name| dir.join(name).display().to_string());
        let names = "subjectAltName=DNS:sts.us-east-1.amazonaws.com,DNS:portal.sso.us-east-1.amazonaws.com";
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=amazon"]);
        openssl.args(["-addext", names, "-addext", "basicConstraints=critical,CA:FALSE"]);
        openssl.args(["-keyout", &key, "-out", &certificate]);
        let made = openssl.output().map_err(|e| format!("openssl: {e}"))?;
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let keys = [value(s3, "AWS_ACCESS_KEY_ID"), value(s3, "AWS_SECRET_ACCESS_KEY")];
        let mut python = Command::new("python3");
        python.args(["-c", include_str!("amazon.py"), &certificate, &key]).args(keys);
        python.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().map_err(|e| format!("python3: {e}"))?;
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut amazon = Amazon { child, _stdin: stdin, lines: BufReader::new(stdout), env: Vec::new() };
        let proxy = format!("http://127.0.0.1:{}", amazon.line());
        amazon.env = vec![("HTTPS_PROXY", proxy), ("SSL_CERT_FILE", certificate)];
        Ok(amazon)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.lines.read_line(&mut line).unwrap() > 0, "it ended");
        line.trim_end().to_owned()
    }
}

impl Drop for Amazon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_profile_takes_a_role_or_what_a_login_allows() {
    let s3 = S3::start();
    let home = home(
        "[profile keys]\naws_access_key_id = AKOTHER\naws_secret_access_key = other\n\
         [profile role]\nrole_arn = arn:aws:iam::123456789012:role/backup\nsource_profile = keys\n\
         [profile login]\nsso_session = office\nsso_account_id = 123456789012\nsso_role_name = backup\n\
         [sso-session office]\nsso_start_url = https://acme.awsapps.com/start\nsso_region = us-east-1\n",
    );
    let mut amazon = match Amazon::start(&s3, home.path()) {
        Ok(amazon) => amazon,
        Err(why) => skip!("{why}"),
    };
    let env = amazon.env.clone();
    let init = |profile: &str, prefix: &str| init(&s3, home.path(), profile, prefix, &env);
    init("role", "a").ok();
    assert_eq!(amazon.line(), "sts.us-east-1.amazonaws.com POST / Action=AssumeRole -");
    assert!(is_stored(&s3, "a"), "{:?}", s3.keys(""));

    // Before `aws sso login`.
    let outcome = init("login", "b").says("the profile login gives no credentials");
    assert_ne!(outcome.code, Some(0), "{outcome:?}");
    // As that leaves it: the name is the SHA-1 of the session's.
    let cache = home.path().join(".aws/sso/cache");
    fs::create_dir_all(&cache).unwrap();
    let token = "{\"accessToken\": \"from-a-login\", \"expiresAt\": \"2999-01-01T00:00:00Z\"}";
    fs::write(cache.join("e6427457497fe0f4f93a7334d2203b8e17ee82df.json"), token).unwrap();
    init("login", "c").ok();
    assert_eq!(
        amazon.line(),
        "portal.sso.us-east-1.amazonaws.com GET \
         /federation/credentials?role_name=backup&account_id=123456789012 - from-a-login"
    );
    assert!(is_stored(&s3, "c") && s3.keys("b/").is_empty(), "{:?}", s3.keys(""));
}
