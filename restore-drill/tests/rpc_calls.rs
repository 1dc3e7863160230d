//! The calls of real flows, recorded on Odoo 17 and 18, as our client sends them; and JSON-2 of Odoo 19.

#![allow(clippy::unwrap_used)] // a test panics where it fails

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use lifeboat::disk;
use lifeboat::odoo::rpc::{Failure, OdooApi, OdooCall, OdooClient, OdooLogin, OdooUrl};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// A request: its path, its headers in small letters, its body.
type Request = (String, String, Value);

/// A server that answers each request, and tells it.
fn server(answer: impl Fn(&Request) -> (u16, Value) + Send + 'static) -> (OdooUrl, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (told, requests) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            while let Some(request) = read(&mut stream) {
                let (status, body) = answer(&request);
                let body = body.to_string();
                let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", body.len());
                if told.send(request).is_err() || stream.write_all((head + &body).as_bytes()).is_err() {
                    return; // the test is over
                }
            }
        }
    });
    (OdooUrl::parse(&url, false).unwrap(), requests)
}

fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut headers) = (String::new(), String::new());
    reader.read_line(&mut first).ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        headers.push_str(&line.to_lowercase());
    }
    let length =
        headers.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, headers, serde_json::from_slice(&body).unwrap_or_default()))
}

fn login() -> OdooLogin {
    OdooLogin { database: "drill".into(), user: "admin".into(), password: "secret".into() }
}

/// As Odoo's JSON-RPC: logs in, and answers each call with its method.
fn json_rpc((_, _, body): &Request) -> (u16, Value) {
    let params = &body["params"];
    let result = match params["method"].as_str().unwrap() {
        "version" => json!({"server_version": "17.0", "server_version_info": [17, 0, 0, "final", 0, ""]}),
        "authenticate" => json!(2),
        _ => params["args"][4].clone(),
    };
    (200, json!({"jsonrpc": "2.0", "id": body["id"], "result": result}))
}

/// Needs `trace17.json` and `trace18.json` in `TEST_ODOO_TENANTS`.
#[tokio::test]
async fn recorded_calls_are_sent_as_they_were_recorded() {
    for version in [17, 18] {
        let dir = std::env::var_os("TEST_ODOO_TENANTS").unwrap_or_default();
        let trace = Path::new(&dir).join(format!("trace{version}.json"));
        if disk::metadata(&trace).unwrap().is_none() {
            common::skip(module_path!(), "TEST_ODOO_TENANTS has no recorded calls");
            continue;
        }
        let calls: Vec<Value> = serde_json::from_str(&disk::read_text(&trace, 1 << 20).unwrap()).unwrap();
        let (url, requests) = server(json_rpc);
        let mut client = OdooClient::log_in(url, login(), &CancellationToken::new()).await.unwrap();
        assert_eq!(requests.iter().take(2).count(), 2);
        for call in &calls {
            let (model, method) = (call["model"].as_str().unwrap(), call["method"].as_str().unwrap());
            let answer = client.call(model, method, call["args"].clone(), call["kwargs"].clone()).await;
            assert_eq!(answer.unwrap(), json!(method));
            let (path, _, body) = requests.recv().unwrap();
            let sent = &body["params"];
            assert_eq!(
                (path.as_str(), &sent["service"], &sent["method"]),
                ("/jsonrpc", &json!("object"), &json!("execute_kw"))
            );
            let wanted = json!(["drill", 2, "secret", model, method, call["args"], call["kwargs"]]);
            assert_eq!(sent["args"], wanted);
        }
        assert_eq!(calls.len(), 40, "{}", trace.display());
    }
}

#[tokio::test]
async fn the_same_call_goes_by_position_before_19_and_by_name_from_19_on() {
    let call = || {
        let call = OdooCall::of("stock.move", "write").ids([7]).arg("vals", json!({"quantity": 2}));
        call.context("skip_sms", true)
    };
    let cancel = CancellationToken::new();
    let (url, requests) = server(json_rpc);
    let mut api = OdooApi::log_in(18, url, login(), "", &cancel).await.unwrap();
    api.set_context("allowed_company_ids", json!([3]));
    api.send(call()).await.unwrap();
    let context = json!({"skip_sms": true, "allowed_company_ids": [3]});
    let (_, _, body) = requests.iter().nth(2).unwrap();
    let wanted =
        json!(["drill", 2, "secret", "stock.move", "write", [[7], {"quantity": 2}], {"context": context}]);
    assert_eq!(body["params"]["args"], wanted);

    let (url, requests) = server(|(path, _, _)| match path.as_str() {
        "/json/2/stock.move/write" => (200, json!(true)),
        "/json/2/res.users/context_get" => (200, json!({"lang": "en_US"})),
        _ => {
            let message = "Nothing\nto do";
            (422, json!({"name": "odoo.exceptions.UserError", "message": message, "debug": "Traceback"}))
        }
    });
    let mut api = OdooApi::log_in(19, url, login(), "KEY", &cancel).await.unwrap();
    api.set_context("allowed_company_ids", json!([3]));
    assert_eq!(api.send(call()).await.unwrap(), json!(true));
    let (_, headers, body) = requests.iter().nth(1).unwrap();
    assert!(headers.contains("authorization: bearer key\r\n"), "{headers}");
    assert!(headers.contains("x-odoo-database: drill\r\n") && !headers.contains("secret"), "{headers}");
    assert_eq!(body, json!({"ids": [7], "vals": {"quantity": 2}, "context": context}));
    match api.send(OdooCall::of("sale.order", "action_confirm").ids([1])).await {
        Err(Failure::Fault(fault)) => assert_eq!(fault.message, "Nothing to do"),
        other => panic!("{other:?}"),
    }
}
