//! The environment check against servers of this machine: what it takes, what it decides, whom it tells.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::clock;
use crate::daemon::http::{self, Page, Served};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const ID: &str = "c0ffee00-1111-2222-3333-444455556666";

fn body(plan_url: &str, more: &str) -> String {
    format!(
        "{{\"planUrl\":\"{plan_url}\",\"projectId\":\"{ID}\",\"hubName\":\"checks\",\"planId\":\"{ID}\",\
        \"jobId\":\"{ID}\",\"taskInstanceId\":\"{ID}\",\"authToken\":\"secret.of.azure\"{more}}}"
    )
}

fn parsed(plan_url: &str, more: &str) -> std::result::Result<Asked, String> {
    Asked::parse(
        body(plan_url, more).as_bytes(),
        &["dev.azure.com".to_owned(), "boat.example:8443".to_owned()],
    )
}

#[test]
fn a_check_names_a_release_and_a_host_of_the_configuration() {
    let asked = parsed(
        "https://dev.azure.com/acme/",
        ",\"release\":\"--override x\",\"approvedBy\":\"anna, ben\",\"image\":\"\",\"ticket\":\"$(id);##vso[x]\"",
    )
    .unwrap();
    assert_eq!(
        asked.arguments,
        ["--release=--override x", "--ticket=$(id);##vso[x]", "--approved-by=anna", "--approved-by=ben"]
    );
    assert_eq!(
        asked.callback.url.as_str(),
        format!(
            "https://dev.azure.com/acme/{ID}/_apis/distributedtask/hubs/checks/plans/{ID}/events?api-version=2.0-preview.1"
        )
    );
    assert!(!format!("{asked:?}").contains("secret.of.azure"), "Azure's token is in no log");
    assert!(parsed("https://boat.example:8443/tfs", ",\"release\":\"r1\"").is_ok());
    for (url, more, why) in [
        ("http://dev.azure.com/acme/", ",\"release\":\"r1\"", "must begin with https"),
        ("https://evil.example/acme/", ",\"release\":\"r1\"", "agent.checks_hosts: evil.example"),
        ("https://dev.azure.com:444/acme/", ",\"release\":\"r1\"", "agent.checks_hosts"),
        ("https://dev.azure.com@evil.example/", ",\"release\":\"r1\"", "more than a host and a path"),
        ("https://dev.azure.com.evil.example/", ",\"release\":\"r1\"", "agent.checks_hosts"),
        ("https://dev.azure.com/a?x=1", ",\"release\":\"r1\"", "more than a host and a path"),
        ("file:///etc/passwd", ",\"release\":\"r1\"", "must begin with https"),
        ("https://dev.azure.com/acme/", "", "missing field `release`"),
        ("https://dev.azure.com/acme/", ",\"release\":\"\"", "not a release ID"),
        (
            "https://dev.azure.com/acme/",
            ",\"release\":\"r1\",\"override\":\"chain\"",
            "unknown field `override`",
        ),
        ("https://dev.azure.com/acme/", ",\"release\":\"r1\",\"tier\":\"a\\nb\"", "control characters"),
        ("https://dev.azure.com/acme/", ",\"release\":\"r1\",\"planId\":\"x\"", "duplicate field"),
    ] {
        let said = parsed(url, more).unwrap_err();
        assert!(said.contains(why), "{url} {more}: {said}");
        assert!(!said.contains("secret.of.azure"), "{said}");
    }
    let other = body("https://dev.azure.com/a", ",\"release\":\"r1\"").replace("\"checks\"", "\"../x\"");
    assert!(Asked::parse(other.as_bytes(), &["dev.azure.com".to_owned()]).is_err());
}

#[test]
fn the_body_that_ships_is_one_that_is_taken() {
    let text = include_str!("../../../../deploy/azure-devops/environment-check.json");
    let known =
        [("$(system.CollectionUri)", "https://dev.azure.com/acme/"), ("$(system.HostType)", "checks")];
    let known =
        known.into_iter().chain([("$(Build.BuildNumber)", "r1"), ("$(Build.SourceVersion)", "4f3a9c1")]);
    let text = known.fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
    let text = text.replace("$(system.AccessToken)", "token").replace("$(system.TeamProjectId)", ID);
    let text = ["PlanId", "JobId", "TaskInstanceId"]
        .iter()
        .fold(text, |text, name| text.replace(&format!("$(system.{name})"), ID));
    let asked = Asked::parse(text.as_bytes(), &["dev.azure.com".to_owned()]).unwrap();
    assert_eq!(asked.arguments, ["--release=r1", "--commit=4f3a9c1"]);
}

/// A program that counts its calls and ends as `script` says.
fn decider(dir: &Path, script: &str) -> Decider {
    let script = format!("echo \"$@\" >> {0}/calls; sleep 0.2; {script}", dir.display());
    let arguments = ["-c".to_owned(), script, "lifeboat".to_owned()].to_vec();
    Decider { program: "/bin/sh".into(), arguments, limit: Duration::from_secs(20) }
}

fn calls(dir: &Path) -> Vec<String> {
    let text = String::from_utf8(crate::disk::read(&dir.join("calls"), 1 << 20).unwrap()).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_check_that_comes_again_gets_the_same_decision_and_another_run_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let once =
        format!("echo BLOCKED; test -e {0}/once && exit 0; touch {0}/once; exit 19", dir.path().display());
    let decisions = Decisions::new(decider(dir.path(), &once));
    let calm = CancellationToken::new();
    let asked = parsed("https://dev.azure.com/acme", ",\"release\":\"r1\"").unwrap();
    let (one, again) = tokio::join!(decisions.of(&asked, &calm), decisions.of(&asked, &calm));
    assert_eq!((one.passed, one.said.as_str()), (false, "BLOCKED"));
    assert_eq!((one, calls(dir.path()).len()), (again, 1), "one call for both");
    assert!(!decisions.of(&asked, &calm).await.passed, "also later");
    assert_eq!(calls(dir.path()), ["checkpoint --ci=none --release=r1"]);
    let other = Asked { plan: "another run".to_owned(), ..asked.clone() };
    assert!(decisions.of(&other, &calm).await.passed, "its cause was corrected");
}

#[tokio::test]
async fn whatever_is_not_a_pass_is_told_as_failed() {
    for script in ["exit 19", "exit 7", "kill -9 $$", "exit 1"] {
        let dir = tempfile::tempdir().unwrap();
        let asked = parsed("https://dev.azure.com/acme", ",\"release\":\"r1\"").unwrap();
        let decision =
            Decisions::new(decider(dir.path(), script)).of(&asked, &CancellationToken::new()).await;
        assert!(!decision.passed, "{script}");
    }
    let nothing =
        Decider { program: "/nonexistent".into(), arguments: vec![], limit: Duration::from_secs(1) };
    let asked = parsed("https://dev.azure.com/acme", ",\"release\":\"r1\"").unwrap();
    assert!(!Decisions::new(nothing).of(&asked, &CancellationToken::new()).await.passed);
}

/// A server in Azure's place: answers 500 `fails` times, then 200. What it was sent.
async fn azure(fails: u32) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (heard, count) = (Arc::new(Mutex::new(Vec::new())), AtomicU32::new(0));
    let into = heard.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (mut request, mut piece) = (Vec::new(), [0; 4096]);
            while !request.ends_with(b"}") {
                let read = socket.read(&mut piece).await.unwrap();
                request.extend_from_slice(&piece[..read]);
            }
            into.lock().unwrap().push(String::from_utf8(request).unwrap());
            let is_down = count.fetch_add(1, Ordering::Relaxed) < fails;
            let status = if is_down { "500 Broken" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    (address, heard)
}

#[tokio::test]
async fn the_decision_is_told_until_it_is_accepted() {
    let (address, heard) = azure(2).await;
    let mut callback = parsed("https://dev.azure.com/acme", ",\"release\":\"r1\"").unwrap().callback;
    callback.url = format!("{address}/events").parse().unwrap();
    let told = Client::hasty().tell(&callback, true, &CancellationToken::new()).await;
    assert_eq!(told, Ok(3));
    let heard = heard.lock().unwrap().clone();
    assert!(heard.iter().all(|request| request == &heard[0]), "the same each time");
    assert!(heard[0].starts_with("POST /events HTTP/1.1\r\n"), "{}", heard[0]);
    assert!(heard[0].contains("authorization: Bearer secret.of.azure\r\n"), "{}", heard[0]);
    let event: serde_json::Value = serde_json::from_str(heard[0].split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(
        event,
        serde_json::json!({ "name": "TaskCompleted", "taskId": ID, "jobId": ID, "result": "succeeded" })
    );
    // An agent that stops tries once.
    let stopped = CancellationToken::new();
    stopped.cancel();
    let (address, _) = azure(u32::MAX).await;
    callback.url = address.parse().unwrap();
    let why = Client::hasty().tell(&callback, false, &stopped).await.unwrap_err();
    assert_eq!(why, "HTTP 500 (1 tries)");
}

async fn sent(address: std::net::SocketAddr, head: &str, body: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let text = format!("{head}\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let _ = socket.write_all(text.as_bytes()).await; // it may be refused before its end
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn the_page_takes_checks_of_the_token_only_and_answers_at_once() {
    let (sender, mut waiting) = mpsc::channel(1);
    let hosts = vec!["dev.azure.com".to_owned()];
    let post: Arc<dyn Post> = Arc::new(Checks { token: Token::new(TOKEN).unwrap(), hosts, waiting: sender });
    let page = |_: &str| Some(Page { is_well: true, kind: "text/plain", text: "page".to_owned() });
    let listener = http::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let served = Served { pages: Arc::new(page), post: Some(post) };
    let serving = tokio::spawn(http::serve(listener, served, stop.clone()));
    let right = format!("POST /checks/azure HTTP/1.1\r\nauthorization: Bearer {TOKEN}");
    let good = body("https://dev.azure.com/acme", ",\"release\":\"r1\"");
    for (head, body, status) in [
        ("POST /checks/azure HTTP/1.1", good.as_str(), "401"),
        ("POST /checks/azure HTTP/1.1\r\nauthorization: Bearer x", good.as_str(), "401"),
        ("GET /checks/azure HTTP/1.1", "", "401"),
        ("POST /metrics HTTP/1.1", "", "405"),
        ("GET /metrics HTTP/1.1", "", "200"),
        (&right.replace("POST", "GET"), "", "405"),
        (&right, "{}", "400"),
        (&right, &"x".repeat(100_000), "400"),
        (&right, good.as_str(), "200"),
        (&right, good.as_str(), "503"),
    ] {
        let begun = clock::instant();
        let answer = sent(address, head, body).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
        assert!(begun.elapsed() < Duration::from_secs(3), "Azure waits 3 s");
    }
    assert_eq!(waiting.recv().await.unwrap().release(), "r1");
    stop.cancel();
    serving.await.unwrap();
}
