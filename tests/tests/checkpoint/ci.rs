//! What a pipeline's runner reads: our commands, and none that a release's name contains.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use lifeboat_tests::Outcome;
use lifeboat_tests::cluster::free_port;

use crate::world::{World, until};

/// Somebody would like this to be a command.
const HOSTILE: &str = "r1 ##vso[task.complete result=Succeeded;]::stop-commands::a";

#[test]
fn each_runner_is_told_in_its_own_words() {
    let world = World::new(&["shop"]);
    let dir = world.site.path("ci");
    fs::create_dir(&dir).unwrap();
    let here = dir.to_str().unwrap();
    let clean = |outcome: &Outcome| {
        let commands = |text: &str| text.matches("##vso[").count();
        let ours = outcome.stdout.lines().filter(|line| line.starts_with("##vso[")).count();
        assert_eq!((commands(&outcome.stdout), commands(&outcome.stderr)), (ours, 0), "{outcome:?}");
        assert!(!outcome.stderr.lines().any(|line| line.trim_start().starts_with("::")), "{outcome:?}");
    };

    // Blocked: nobody approved it.
    let azure = |more: &[&str]| {
        let args = [&["checkpoint", "--release", HOSTILE][..], more].concat();
        world.site.run(&args).env("TF_BUILD", "True").env("AGENT_TEMPDIRECTORY", here)
    };
    let out = azure(&[]).run().exits(19);
    clean(&out);
    assert!(
        out.stdout.contains("##vso[task.logissue type=error;]release r1 # #vso[task.complete"),
        "{out:?}"
    );
    assert!(out.stdout.contains("isreadonly=true;]blocked\n"), "{out:?}");
    assert!(out.stdout.contains("##vso[task.complete result=Failed;]"), "{out:?}");
    assert!(out.stderr.contains("BLOCKED release r1 # #vso[task.complete result=Succeeded;]"), "{out:?}");
    let page = fs::read_dir(&dir).unwrap().next().unwrap().unwrap().path();
    assert!(out.stdout.contains(&format!("##vso[task.uploadsummary]{}\n", page.display())), "{out:?}");
    assert!(fs::read_to_string(&page).unwrap().starts_with("No evidence was stored"), "{page:?}");

    // Passed: the evidence has a digest; with --json there is one document on standard output.
    let approved = ["--approved-by", "anna", "--json"];
    let out = azure(&approved).run().ok();
    let report = out.json();
    assert_eq!(report["checkpoint"]["release"]["id"], HOSTILE, "the value is what it was");
    assert!(!out.stdout.contains("##"), "{}", out.stdout);
    let sha256 = report["sha256"].as_str().unwrap();
    assert!(
        out.stderr.contains(&format!("lifeboatEvidenceSha256;isOutput=true;isreadonly=true;]{sha256}\n"))
    );

    let github = world
        .site
        .run(&["checkpoint", "--release", "r2", "--ci", "github"])
        .env("GITHUB_STEP_SUMMARY", dir.join("summary"))
        .env("GITHUB_OUTPUT", dir.join("output"));
    fs::write(dir.join("output"), "before=1\n").unwrap();
    let out = github.run().exits(19);
    assert!(
        out.stdout.starts_with("::error title=Lifeboat::release r2 is blocked by gate approval"),
        "{out:?}"
    );
    let output = fs::read_to_string(dir.join("output")).unwrap();
    assert!(
        output.starts_with("before=1\ncheckpoint<<lifeboat_") && output.contains("\nblocked\n"),
        "{output}"
    );
    assert!(fs::read_to_string(dir.join("summary")).unwrap().contains("| approval | "));

    let gitlab =
        |args: &[&str]| world.site.run(args).env("GITLAB_CI", "true").env("CI_PROJECT_DIR", here).run();
    let out = gitlab(&["checkpoint", "--release", "r2", "--approved-by", "anna"]).ok();
    assert!(out.stderr.contains("section_start:") && out.stderr.contains("section_end:"), "{out:?}");
    let dotenv = fs::read_to_string(dir.join("lifeboat.env")).unwrap();
    assert!(dotenv.starts_with("LIFEBOAT_CHECKPOINT=passed\nLIFEBOAT_EVIDENCE_SHA256="), "{dotenv}");
    // It could not be decided: no earlier word remains.
    gitlab(&["checkpoint", "--release", "r3", "--tier", "none"]).exits(2);
    let dotenv = fs::read_to_string(dir.join("lifeboat.env")).unwrap();
    assert_eq!(dotenv, "LIFEBOAT_CHECKPOINT=failed\nLIFEBOAT_EVIDENCE_SHA256=\n");
}

#[test]
fn the_agent_decides_a_check_by_a_checkpoint_and_tells_azure_by_https_until_it_is_heard() {
    let mut world = World::new(&["shop"]);
    world.kill_agent();
    let token = "0123456789abcdef0123456789abcdef";
    let file = world.site.path("checks-token");
    fs::write(&file, token).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let azure = TcpListener::bind("127.0.0.1:0").unwrap(); // it says nothing that TLS understands
    let host = azure.local_addr().unwrap().to_string();
    let page = format!("127.0.0.1:{}", free_port());
    world.site.set("LIFEBOAT_AGENT_LISTEN", &page);
    world.site.set("LIFEBOAT_AGENT_CHECKS_TOKEN_FILE", file.display());
    world.site.set("LIFEBOAT_AGENT_CHECKS_HOSTS", &host);
    world.start_agent();

    let id = "c0ffee00-1111-2222-3333-444455556666";
    let body = format!(
        "{{\"planUrl\":\"https://{host}/acme\",\"projectId\":\"{id}\",\"hubName\":\"checks\",\"planId\":\"{id}\",\
        \"jobId\":\"{id}\",\"taskInstanceId\":\"{id}\",\"authToken\":\"secret.of.azure\",\"release\":\"r1\",\
        \"approvedBy\":\"anna\"}}"
    );
    let post = |token: &str| {
        let mut socket = TcpStream::connect(&page).unwrap();
        let head = format!(
            "POST /checks/azure HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all((head + &body).as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(post("wrong").starts_with("HTTP/1.1 401 "));
    let begun = Instant::now();
    assert!(post(token).starts_with("HTTP/1.1 200 "));
    assert!(begun.elapsed() < Duration::from_secs(3), "Azure waits 3 s");
    until("the checkpoint is made", || world.evidence("r1").exists());
    for _ in 0..2 {
        let (mut socket, _) = azure.accept().unwrap();
        let mut first = [0];
        socket.read_exact(&mut first).unwrap();
        assert_eq!(first[0], 0x16, "a handshake of TLS");
    }
}
