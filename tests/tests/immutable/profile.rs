//! Credentials of a profile of `~/.aws`, for a server that checks them.

use lifeboat_tests::{Program, S3};

#[test]
fn a_profile_gives_the_credentials() {
    let s3 = S3::start();
    let value = |name: &str| s3.env().into_iter().find(|(n, _)| n == name).unwrap().1;
    let home = tempfile::Builder::new().prefix("lbhome-").tempdir().unwrap();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    let config = format!(
        "[default]\naws_access_key_id = AKWRONG\naws_secret_access_key = wrong\n\
         [profile keys]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        value("AWS_ACCESS_KEY_ID"),
        value("AWS_SECRET_ACCESS_KEY"),
    );
    std::fs::write(home.path().join(".aws/config"), config).unwrap();
    let init = |profile: &str, name: &str| {
        let dir = home.path().join(name);
        std::fs::create_dir(&dir).unwrap();
        let mut program = Program::lifeboat().cwd(&dir).env("HOME", home.path());
        program = program.args(["init", "--instance", "prod", "--repository", &s3.url(name)]);
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
    };
    init("keys", "a").ok();
    assert!(s3.keys("a/").contains(&"a/lifeboat.json".to_owned()), "{:?}", s3.keys(""));
    let outcome = init("default", "b");
    assert_eq!(outcome.code, Some(6), "{outcome:?}");
    let outcome = init("absent", "c").says("the profile absent gives no credentials");
    assert_ne!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(s3.keys("b/").len() + s3.keys("c/").len(), 0);
}
