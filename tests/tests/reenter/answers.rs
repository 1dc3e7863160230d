//! What a real Odoo cannot easily show: a wrong password, a right that is missing, a connection that is cut,
//! an answer without end. The answers have the form that a real Odoo 17 gave.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_tests::{Outcome, Program};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What the server does instead of answering a method.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    WrongPassword,
    NoDatabase,
    AccessError,
    Cut,
    TooLong,
    NotOdoo,
}

/// A server with one sale order of the point (id 5) and nothing else.
struct FakeOdoo {
    url: String,
    /// `model.method` of each call, and what was made: the external ID, and the row as it was sent.
    seen: Arc<Mutex<Vec<String>>>,
    made: Arc<Mutex<Vec<Vec<String>>>>,
}

impl FakeOdoo {
    fn start(fault: Fault) -> FakeOdoo {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let odoo = FakeOdoo {
            url: format!("http://{}", listener.local_addr().unwrap()),
            seen: Arc::default(),
            made: Arc::default(),
        };
        let (seen, made) = (odoo.seen.clone(), odoo.made.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, made) = (seen.clone(), made.clone());
                std::thread::spawn(move || serve(stream.unwrap(), fault, &seen, &made));
            }
        });
        odoo
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    fn made(&self) -> Vec<Vec<String>> {
        self.made.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    fault: Fault,
    seen: &Mutex<Vec<String>>,
    made: &Mutex<Vec<Vec<String>>>,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let request: Value = serde_json::from_slice(&body).ok()?;
        let args = &request["params"]["args"];
        let name = match request["params"]["service"].as_str()? {
            "common" => request["params"]["method"].as_str()?.to_owned(),
            _ => format!("{}.{}", args[3].as_str()?, args[4].as_str()?),
        };
        seen.lock().unwrap().push(name.clone());
        let is_load = name == "sale.order.load";
        let answer = match (fault, is_load) {
            (Fault::NotOdoo, _) => return send(&mut stream, "<html>Welcome</html>").ok(),
            (Fault::WrongPassword, _) if name == "authenticate" => json!({ "result": false }),
            (Fault::NoDatabase, _) if name == "authenticate" => {
                refusal("psycopg2.OperationalError", "connection failed: database \"gone\" does not exist")
            }
            (Fault::AccessError, true) => refusal(
                "odoo.exceptions.AccessError",
                "You are not allowed to create 'Sales Order' (sale.order) records.\n\nContact your administrator",
            ),
            (Fault::Cut, true) => {
                // Odoo did it, and the answer was lost
                load(args, made);
                return None;
            }
            (Fault::TooLong, true) => {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"result\": \"";
                stream.write_all(head.as_bytes()).ok()?;
                while stream.write_all(&[b'x'; 1 << 16]).is_ok() {}
                return None;
            }
            _ => answer(&name, args, made),
        };
        let mut whole = json!({ "jsonrpc": "2.0", "id": request["id"] });
        whole.as_object_mut()?.extend(answer.as_object()?.clone());
        send(&mut stream, &whole.to_string()).ok()?;
    }
}

fn send(stream: &mut TcpStream, body: &str) -> std::io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn refusal(name: &str, message: &str) -> Value {
    json!({ "error": { "code": 200, "message": "Odoo Server Error",
        "data": { "name": name, "message": message, "arguments": [message], "debug": "Traceback" } } })
}

/// Notes a record with its mark.
fn load(args: &Value, made: &Mutex<Vec<Vec<String>>>) -> i64 {
    let mut made = made.lock().unwrap();
    let cells = args[5][1][0].as_array().unwrap();
    made.push(cells.iter().map(|cell| cell.as_str().unwrap().to_owned()).collect());
    100 + made.len() as i64
}

fn answer(name: &str, args: &Value, made: &Mutex<Vec<Vec<String>>>) -> Value {
    let result = match name {
        "version" => {
            json!({ "server_version": "17.0-20240709", "server_version_info": [17, 0, 0, "final", 0, ""] })
        }
        "authenticate" => json!(2),
        "ir.model.data.check_object_reference" => {
            let mark = format!("lifeboat_salvage.{}", args[5][1].as_str().unwrap());
            match made.lock().unwrap().iter().position(|row| row[0] == mark) {
                Some(at) => json!(["sale.order", 101 + at]),
                None => {
                    return refusal(
                        "builtins.ValueError",
                        &format!("External ID not found in the system: {mark}"),
                    );
                }
            }
        }
        "sale.order.fields_get" => fields(&["order_line", "partner_id", "date_order", "origin", "state"]),
        "sale.order.line.fields_get" => {
            fields(&["name", "product_id", "product_uom", "product_uom_qty", "price_unit", "tax_id"])
        }
        "res.partner.fields_get" => fields(&["name", "email"]),
        "sale.order.check_access_rights" | "sale.order.line.check_access_rights" => json!(true),
        "res.users.search_read" => json!([{ "id": 2, "login": "u", "email": "u@example.com" }]),
        "sale.order.load" => json!({ "ids": [load(args, made)], "messages": [], "nextrow": 0 }),
        "res.partner.search_read" => json!([{ "id": 3, "name": "A", "email": "a@example.com" }]),
        "sale.order.line.search_read" => json!([{ "id": 1, "product_uom_qty": 2.0 }]),
        "sale.order.search_read" if args[5][0][0][1] == "in" => {
            json!([{ "id": 5, "create_date": "2026-11-28 09:00:00" }])
        }
        "sale.order.search_read" => json!([{ "id": args[5][0][0][2], "name": "S00101", "state": "draft",
            "amount_untaxed": 10.1, "amount_total": 12.12, "currency_id": [1, "EUR"], "order_line": [1] }]),
        _ => return refusal("builtins.KeyError", name),
    };
    json!({ "result": result })
}

fn fields(names: &[&str]) -> Value {
    names
        .iter()
        .map(|name| ((*name).to_owned(), json!({ "type": "char" })))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// An export with one quotation.
fn export(created: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let summary = json!({ "format": 1, "release": "7", "tenant": "shop", "from": "shop", "against": "shop_before_7",
        "point": "2026-11-28T09:30:00Z" });
    std::fs::write(out.join("summary.json"), summary.to_string()).unwrap();
    std::fs::write(out.join("changed.jsonl"), "").unwrap();
    let order = json!({ "kind": "sale-orders", "document": "sale-order", "id": 5, "name": "S00005",
        "total": { "amount": "12.12", "currency": "EUR" },
        "values": { "state": "draft", "create_date": created, "date_order": created, "partner_id": 3,
            "amount_untaxed": "10.10", "amount_total": "12.12" },
        "links": { "partner_id": { "table": "res_partner", "id": 3, "at_point": true,
            "key": { "name": "A", "email": "a@example.com" } } },
        "lines": { "sale_order_line": [{ "id": 9, "links": {}, "taxes": [],
            "values": { "name": "x", "product_uom_qty": "2", "price_unit": "5.05" } }] } });
    std::fs::write(out.join("sale-orders.jsonl"), format!("{order}\n")).unwrap();
    let password = dir.path().join("password");
    std::fs::write(&password, "s3cret\n").unwrap();
    std::fs::set_permissions(&password, PermissionsExt::from_mode(0o600)).unwrap();
    dir
}

fn reenter(dir: &Path, url: &str, more: &[&str]) -> Outcome {
    let args =
        ["rollback", "reenter", "--release", "7", "--from", "out", "--database", "shop", "--user", "u"];
    let run = Program::lifeboat().cwd(dir).args(args).args(["--url", url, "--password-file", "password"]);
    let done = run.args(more.to_vec()).limit(Duration::from_secs(120)).run();
    assert!(!format!("{done}").contains("s3cret"), "the password was printed: {done}");
    done
}

const MADE: &str = "2026-11-28T10:00:00.123456Z";

#[test]
fn an_answer_that_is_lost_leaves_the_order_entered_once() {
    let dir = export(MADE);
    let odoo = FakeOdoo::start(Fault::Cut);
    let lost = reenter(dir.path(), &odoo.url, &["--yes"]).exits(7).says("nothing is entered twice");
    assert!(lost.stderr.contains("not known"), "{lost}");
    let made = odoo.made();
    assert_eq!(made.len(), 1, "one call is sent once");
    assert!(
        made[0][0].starts_with("lifeboat_salvage.s") && made[0][0].ends_with("_sale_order_5"),
        "{made:?}"
    );
    let report = std::fs::read_to_string(dir.path().join("out/reentered.json")).unwrap();
    assert!(report.contains("\"not-known\"") && !report.contains("s3cret"), "{report}");

    let again = FakeOdoo::start(Fault::None);
    *again.made.lock().unwrap() = made;
    let report = reenter(dir.path(), &again.url, &["--yes", "--json"]).ok().json();
    assert_eq!(report["documents"][0]["outcome"], "entered-before", "{report:#}");
    assert_eq!(report["documents"][0]["new_name"], "S00101");
    assert!(!again.seen().iter().any(|name| name.ends_with(".load")), "{:?}", again.seen());
}

#[test]
fn a_plan_reads_only_and_a_run_enters_and_compares() {
    let dir = export(MADE);
    let odoo = FakeOdoo::start(Fault::None);
    reenter(dir.path(), &odoo.url, &["--dry-run"]).ok();
    let reads = [
        "version",
        "authenticate",
        "check_object_reference",
        "check_access_rights",
        "fields_get",
        "search_read",
    ];
    for name in odoo.seen() {
        assert!(reads.contains(&name.rsplit('.').next().unwrap()), "{name} in a dry run");
    }
    let done = reenter(dir.path(), &odoo.url, &["--yes"]).ok();
    assert!(done.stdout.contains("sale order S00005 -> S00101, 12.12 EUR"), "{done}");
}

#[test]
fn what_odoo_refuses_is_the_reason_and_the_exit_code_says_so() {
    let dir = export(MADE);
    let odoo = FakeOdoo::start(Fault::AccessError);
    let refused = reenter(dir.path(), &odoo.url, &["--yes"]).exits(3);
    assert!(
        refused.stdout.contains("access denied: You are not allowed to create 'Sales Order'"),
        "{refused}"
    );
    let run = |fault: Fault| reenter(dir.path(), &FakeOdoo::start(fault).url, &["--yes"]);
    run(Fault::WrongPassword).exits(6).says("refuses user u for database shop");
    run(Fault::NoDatabase).exits(5).says("cannot open database shop");
    run(Fault::NotOdoo).exits(7).says("no whole answer");
    run(Fault::TooLong).exits(7).says("bytes of answer");
    reenter(dir.path(), "http://127.0.0.1:1", &["--yes"]).exits(7).says("nothing was read or written");
}

#[test]
fn the_source_is_recognized_by_what_is_in_it() {
    let dir = export("2026-11-28T09:00:00.5Z");
    let odoo = FakeOdoo::start(Fault::None);
    reenter(dir.path(), &odoo.url, &["--yes"]).exits(16).says("is the one that was exported");
    assert!(odoo.made().is_empty());
}

#[test]
fn an_export_that_somebody_altered_is_refused_before_anything_is_sent() {
    let odoo = FakeOdoo::start(Fault::None);
    let with = |name: &str, text: String, code: i32, says: &str| {
        let dir = export(MADE);
        std::fs::write(dir.path().join("out").join(name), text).unwrap();
        reenter(dir.path(), &odoo.url, &["--yes"]).exits(code).says(says);
    };
    with("summary.json", "{}".into(), 10, "is not what a salvage writes");
    with("sale-orders.jsonl", "{\"id\": 5}\n".into(), 10, "line 1");
    with("sale-orders.jsonl", "x".repeat(17 << 20), 10, "line 1 has more than");
    let twice = json!({ "id": 5, "name": "x", "total": null, "values": { "create_date": MADE } });
    with("sale-orders.jsonl", format!("{twice}\n{twice}\n"), 10, "a second document has id 5");
    let undated = json!({ "id": 5, "name": "x", "total": null, "values": {} });
    with("sale-orders.jsonl", format!("{undated}\n"), 10, "no create_date");
    let dir = export(MADE);
    std::fs::remove_file(dir.path().join("out/summary.json")).unwrap();
    reenter(dir.path(), &odoo.url, &["--yes"]).exits(5).says("summary.json does not exist");
    assert!(odoo.seen().is_empty(), "{:?}", odoo.seen());
    reenter(export(MADE).path(), "http://10.0.0.1:8069", &["--yes"]).exits(2).says("unencrypted");
}

#[test]
fn a_second_run_at_the_same_time_is_refused() {
    let dir = export(MADE);
    let odoo = FakeOdoo::start(Fault::None);
    let lock = std::fs::File::create(dir.path().join("out/reenter.lock")).unwrap();
    lock.lock().unwrap();
    reenter(dir.path(), &odoo.url, &["--yes"]).exits(15).says("another run");
    assert!(odoo.seen().is_empty());
    reenter(dir.path(), &odoo.url, &["--dry-run"]).ok();
}
