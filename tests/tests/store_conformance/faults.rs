//! Servers that hang, refuse for a while, cut bodies or lose answers.

use std::time::{Duration, Instant};

use futures::TryStreamExt;
use hyper::Method;
use lifeboat::error::{Error, Kind};

use crate::broken::{self, Answer, Broken, byte};
use lifeboat_tests::children::HANGS;

use crate::content::bytes;
use crate::s3::{Fault, Server};
use crate::suite::PART_BYTES;

fn unreachable_soon(began: Instant, error: &Error) {
    assert_eq!(error.kind(), Kind::Unreachable, "{error:?}");
    assert!(began.elapsed() < HANGS, "it took {:?}", began.elapsed());
    assert!(error.what().contains("s3://bucket/p"), "{error}");
    assert!(error.next_text().is_some() && error.safe_text().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_ends_in_an_error() {
    let server = Broken::start(vec![Answer::Hang]).await;
    let began = Instant::now();
    let (get, put, large, head, list, up) = tokio::join!(
        server.store.get("a", 10),
        server.store.put_new("a", "x"),
        server.store.put_new("c", bytes(1, 300_000)), // with a timeout of its own
        server.store.head("a"),
        crate::suite::listed(&server.store, ""),
        async {
            let mut upload = server.store.upload("b").await?;
            upload.write(bytes(1, 100)).await?;
            upload.finish().await
        },
    );
    for error in [
        get.unwrap_err(),
        put.unwrap_err(),
        large.unwrap_err(),
        head.unwrap_err(),
        list.unwrap_err(),
        up.unwrap_err(),
    ] {
        unreachable_soon(began, &error);
        assert!(error.what().contains("(no answer; ") && error.what().contains(" in "), "{error}");
    }
    let error = server.store.clean_leftovers("").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_ends_in_an_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let store = broken::open(&endpoint);
    let began = Instant::now();
    unreachable_soon(began, &store.put_new("a", "x").await.unwrap_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_busy_for_a_while_is_asked_again() {
    let busy = Answer::Status(503, "<Error><Code>SlowDown</Code></Error>");
    let server = Broken::start(vec![busy.clone(), busy.clone(), Answer::Object(1000)]).await;
    assert_eq!(server.store.get("a", 1000).await.unwrap().len(), 1000);
    assert_eq!(server.connections(), 3);

    let server = Broken::start(vec![busy]).await;
    let began = Instant::now();
    let error = server.store.get("some/key", 10).await.unwrap_err();
    unreachable_soon(began, &error);
    assert!(error.what().contains("some/key") && error.what().contains("HTTP 503; "), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_follow_the_status() {
    for (status, body, kind) in [
        (403, "<Error><Code>AccessDenied</Code></Error>", Kind::Denied),
        (401, "", Kind::Denied),
        (404, "<Error><Code>NoSuchBucket</Code></Error>", Kind::Repository),
        (507, "", Kind::NoSpace),
        (400, "<Error><Code>AuthorizationHeaderMalformed</Code></Error>", Kind::Config),
        (301, "", Kind::Config),
    ] {
        let server = Broken::start(vec![Answer::Status(status, body)]).await;
        let errors = [
            server.store.get("k/x", 10).await.unwrap_err(),
            server.store.get_range("k/x", 0..9).await.unwrap_err(),
            server.store.put_new("k/x", "y").await.unwrap_err(),
            server.store.list_dirs("k/x").await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), kind, "{status} {body}: {error:?}");
            assert!(error.what().contains("k/x") && error.what().contains("s3://bucket/p"), "{error}");
        }
    }
    let server = Broken::start(vec![Answer::Status(403, "")]).await;
    assert_eq!(server.store.head("k").await.unwrap_err().kind(), Kind::Denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_cut_is_an_error() {
    for answer in [Answer::Cut { announced: 9000, sent: 4000 }, Answer::Stall { announced: 9000, sent: 4000 }]
    {
        let server = Broken::start(vec![answer.clone()]).await;
        let error = server.store.get("a", 10_000).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unreachable, "{answer:?}: {error:?}");
        assert!(error.what().contains("4000 of 9000"), "{error}");
        let (info, mut pieces) = server.store.get_stream("a").await.unwrap();
        let size = info.bytes;
        assert_eq!(size, 9000);
        let mut came = 0;
        let error = loop {
            match pieces.try_next().await {
                Ok(Some(piece)) => came += piece.len(),
                Ok(None) => panic!("the stream ended in silence after {came} bytes"),
                Err(e) => break e,
            }
        };
        assert_eq!((came, error.kind()), (4000, Kind::Unreachable));
        assert!(pieces.try_next().await.unwrap().is_none(), "nothing after the error");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_cut_is_resumed() {
    let cut = Answer::Cut { announced: 9000, sent: 4000 };
    let stall = Answer::Stall { announced: 9000, sent: 5000 };
    for first in [cut, stall] {
        let server = Broken::start(vec![first, Answer::Object(9000)]).await;
        let data = server.store.get("a", 9000).await.unwrap();
        assert!(data.iter().enumerate().all(|(at, b)| *b == byte(at)) && data.len() == 9000);
        assert_eq!(server.connections(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_whose_answer_is_lost_succeeds_once() {
    for fault in [Fault::LoseAnswer, Fault::Late(Duration::from_secs(20))] {
        let server = Server::start().await;
        let store =
            server.open_with("s3://bucket/p", "secret", |o| o.request_timeout = Duration::from_secs(1));
        server.fault(Method::PUT, fault);
        store.put_new("a", "mine").await.unwrap();
        assert!(server.requests() > 1, "{fault:?} had no effect");
        assert_eq!(store.get("a", 10).await.unwrap(), "mine");

        server.fault(Method::PUT, fault);
        let version = store.replace("lease", "one", None).await.unwrap();
        server.fault(Method::PUT, fault);
        let version = store.replace("lease", "two", Some(&version)).await.unwrap();
        store.replace("lease", "three", Some(&version)).await.unwrap();

        // Another writer's object is still refused, however the answers go.
        server.fault(Method::PUT, fault);
        assert_eq!(store.put_new("a", "other").await.unwrap_err().kind(), Kind::AlreadyExists);
        assert_eq!(store.get("a", 10).await.unwrap(), "mine");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_upload_bears_lost_answers_at_every_step() {
    let data = bytes(3, 2 * PART_BYTES + 5);
    for (method, fault) in [
        (Method::POST, Fault::Unavailable), // begin
        (Method::POST, Fault::LoseAnswer),
        (Method::PUT, Fault::Unavailable), // a part
        (Method::PUT, Fault::LoseAnswer),
    ] {
        let server = Server::start().await;
        let store = server.open("s3://bucket/p");
        server.fault(method, fault);
        let mut upload = store.upload("a").await.unwrap();
        upload.write(data.clone()).await.unwrap();
        upload.finish().await.unwrap();
        assert!(store.get("a", u64::MAX).await.unwrap() == data);
    }
    for fault in [Fault::Unavailable, Fault::LoseAnswer] {
        let server = Server::start().await;
        let store = server.open("s3://bucket/p");
        let mut upload = store.upload("a").await.unwrap();
        upload.write(data.clone()).await.unwrap();
        server.fault(Method::POST, fault); // completion
        assert_eq!(upload.finish().await.unwrap(), data.len() as u64, "{fault:?}");
        assert!(store.get("a", u64::MAX).await.unwrap() == data);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_keep_to_their_rate() {
    let server = Server::start().await;
    let store =
        server.open_with("s3://bucket/p", "secret", |o| o.upload_bytes_per_second_max = Some(200_000));
    let began = Instant::now();
    let mut upload = store.upload("a").await.unwrap();
    for n in 0..5 {
        upload.write(bytes(n, 100_000)).await.unwrap();
    }
    upload.finish().await.unwrap();
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1_950), "{took:?}");
}
