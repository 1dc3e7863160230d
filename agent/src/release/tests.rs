//! The plan of a rollback, from made-up checkpoints and tenants.

use std::collections::BTreeMap;

use crate::archive::evidence::predicate::{Checkpoint, Drill, Rehearsal};
use crate::odoo::baseline::Versioned;
use crate::odoo::business::Document;
use crate::odoo::counters::Counters;
use crate::release::decision::Way;
use crate::release::forecast::{MeasuredRestore, Takes, takes};
use crate::release::made_up::{at, checkpoint, counters, sequence, table};
use crate::release::plan::{RollbackPlan, counting, plan, point_time};
use crate::release::statistics::Touched;
use crate::release::tenant::{DocumentCount, Looked, TenantInput, TenantNow};

const COLUMNS: [(&str, &str); 2] = [("id", "integer not null default"), ("promo", "numeric")];

fn point() -> Counters {
    let mut counters = counters(95);
    counters.tables = vec![table("sale_order", &COLUMNS)];
    counters.sequences = vec![sequence("ir_sequence_001", 10), sequence("sale_order_id_seq", 40)];
    counters
}

fn now(version: &str) -> TenantNow {
    let mut counters = Counters { taken: at(2000), ..point() };
    counters.sequences[0] = sequence("ir_sequence_001", 14);
    TenantNow {
        counters,
        modules: Ok(vec![Versioned { name: "sale".into(), version: Some(version.into()) }]),
        numbering: None,
        written: BTreeMap::new(),
        kept_as: None,
    }
}

fn input(tenant: &str, now: Looked) -> TenantInput {
    TenantInput {
        tenant: tenant.parse().unwrap(),
        point: Ok(point()),
        now,
        restore: Err("no base backup".into()),
    }
}

fn planned(inputs: Vec<TenantInput>) -> RollbackPlan {
    plan(&checkpoint(&["a", "b", "c"]), inputs, &[], at(2000))
}

fn commands(plan: &RollbackPlan) -> Vec<&str> {
    plan.steps.iter().filter_map(|step| step.command.as_deref()).collect()
}

#[test]
fn unchanged_tables_and_modules_need_the_image_alone() {
    let plan = planned(vec![input("a", Looked::Seen(Box::new(now("17.0.1.0"))))]);
    let tenant = &plan.tenants[0];
    assert_eq!((plan.way, tenant.way, tenant.reasons.len()), (Way::Image, Way::Image, 0));
    assert_eq!(tenant.touched, Touched::Yes { tables: Vec::new() });
    assert_eq!(tenant.numbers.as_ref().map(|numbers| numbers[0].numbers), Some(Some((11, 14))));
    assert!(tenant.is_exact);
    assert_eq!(plan.steps[0].what, "deploy the image that ran before release 7, and start Odoo");
    assert_eq!(plan.steps[0].undo.as_deref(), Some("deploy sha256:77 again"));
    assert_eq!(plan.steps.len(), 1, "no row was changed");
    let mut changed = now("17.0.1.0");
    changed.counters.tables[0].updated = 1;
    let plan = planned(vec![input("a", Looked::Seen(Box::new(changed)))]);
    let data = plan.steps[1].only_if.as_deref();
    assert_eq!(data, Some("the release changed data of a that must not stay"), "the image undoes no data");
    assert!(plan.warnings.iter().any(|warning| warning.contains("no base backup")), "{:?}", plan.warnings);
    assert!(!plan.is_known());
}

#[test]
fn a_migration_sends_the_database_back_in_this_order() {
    let mut dropped = now("17.0.1.1");
    dropped.counters.tables[0].columns.remove("promo");
    let mut changed = now("17.0.1.0");
    changed.counters.tables[0].deleted = 1;
    let plan = planned(vec![
        input("b", Looked::Seen(Box::new(changed))),
        input("a", Looked::Seen(Box::new(dropped))),
    ]);
    assert_eq!(plan.way, Way::Database);
    let reasons: Vec<String> = plan.tenants[0].reasons.iter().map(ToString::to_string).collect();
    let expected = ["module sale was 17.0.1.0 and is 17.0.1.1", "column sale_order.promo was dropped"];
    assert_eq!(reasons, expected);
    let all = commands(&plan);
    let expected = [
        "lifeboat restore --release 7 --tenant a --as a_before_7 --no-neutralize",
        "lifeboat rollback salvage --release 7 --tenant a --against a_before_7 --to a_after_7",
        "lifeboat promote a_before_7 --as a",
        "lifeboat restore --release 7 --tenant b --as b_before_7 --no-neutralize",
        "lifeboat rollback salvage --release 7 --tenant b --against b_before_7 --to b_after_7",
        "lifeboat promote b_before_7 --as b",
    ];
    let what: Vec<&str> = plan.steps.iter().map(|step| &step.what[..7]).collect();
    let order =
        ["stop Od", "restore", "export ", "make th", "deploy ", "stop Od", "restore", "export ", "make th"];
    assert_eq!(what, order);
    assert_eq!(all, expected);
    assert!(plan.steps[0].what.starts_with("stop Odoo, its workers and its scheduled jobs for a, and"));
    let promote = plan.steps.iter().find(|step| step.command.as_deref() == Some(expected[2])).unwrap();
    assert!(
        promote
            .undo
            .as_deref()
            .is_some_and(|undo| undo.starts_with("lifeboat promote a.replaced-TIME --as a"))
    );
    let of_b = plan.steps.iter().filter(|step| step.tenant.as_ref().is_some_and(|name| name.as_str() == "b"));
    assert!(of_b.clone().count() == 4 && of_b.clone().all(|step| step.only_if.is_some()));
}

#[test]
fn what_is_gone_or_not_read_is_said_and_stops_nothing_else() {
    let other = |counters: &mut Counters| counters.database_oid = 99;
    let mut replaced = now("17.0.1.0");
    other(&mut replaced.counters);
    let plan = planned(vec![
        input("a", Looked::Gone),
        input("b", Looked::NotRead("the server refuses".into())),
        input("c", Looked::Seen(Box::new(replaced))),
    ]);
    let ways: Vec<Way> = plan.tenants.iter().map(|tenant| tenant.way).collect();
    assert_eq!(ways, [Way::Database, Way::NotKnown, Way::Image]);
    let restore = commands(&plan);
    assert_eq!(restore[0], "lifeboat restore --release 7 --tenant a --as a", "nothing has its name");
    assert!(restore.contains(&"lifeboat promote c_before_7 --as c"), "{restore:?}");
    assert!(
        !restore.iter().any(|command| command.contains("salvage --release 7 --tenant a ")),
        "there is nothing to save"
    );
    let Touched::No { why } = &plan.tenants[2].touched else { panic!() };
    assert!(why.contains("another one"), "{why}");
}

#[test]
fn after_the_rollback_nothing_is_to_be_undone() {
    let put_back = |version: &str| {
        let mut now = now(version);
        now.counters.database_oid = 99;
        now.kept_as = Some("a.replaced-20261128T021500Z".into());
        planned(vec![input("a", Looked::Seen(Box::new(now)))])
    };
    let plan = put_back("17.0.1.0");
    assert_eq!((plan.way, plan.tenants[0].way), (Way::Nothing, Way::Nothing));
    let why = plan.tenants[0].reasons[0].to_string();
    assert!(why.ends_with("is called a.replaced-20261128T021500Z"), "{why}");
    assert_eq!(
        plan.steps[0].only_if.as_deref(),
        Some("the previous image is not running yet"),
        "the image before"
    );
    let rest = plan.steps[1..].iter().map(|step| step.only_if.as_deref().unwrap_or_default());
    assert!(
        rest.clone().count() > 0
            && rest.clone().all(|only| only.starts_with("a was not restored to the point"))
    );
    assert_eq!(put_back("17.0.1.1").way, Way::Database, "the release is in it again");
}

#[test]
fn without_the_counters_of_the_point_nothing_is_claimed() {
    let lost = TenantInput {
        point: Err("it is not on this host".into()),
        ..input("a", Looked::Seen(Box::new(now("17.0.1.0"))))
    };
    let plan = planned(vec![lost]);
    let tenant = &plan.tenants[0];
    assert_eq!((tenant.way, tenant.is_exact, &tenant.numbers), (Way::NotKnown, false, &None));
    assert!(matches!(tenant.touched, Touched::No { .. }));
    let step = plan.steps.iter().find(|step| step.command.is_some()).unwrap();
    assert_eq!(step.only_if.as_deref(), Some("the database of a must go back"));
}

#[test]
fn counters_that_were_taken_after_the_point_are_not_exact() {
    let late = Counters { taken: at(103), ..point() };
    let seen = input("a", Looked::Seen(Box::new(now("17.0.1.0"))));
    let plan = planned(vec![TenantInput { point: Ok(late), ..seen }]);
    let tenant = &plan.tenants[0];
    assert_eq!((tenant.is_exact, tenant.late_seconds), (false, Some(3.0)));
    let said = "the counters of a were taken 3.0 s after the point";
    assert!(plan.warnings.iter().any(|warning| warning.starts_with(said)), "{:?}", plan.warnings);
}

#[test]
fn documents_that_were_written_are_thought_of() {
    let checkpoint = checkpoint(&["a"]);
    let mut tenant = now("17.0.1.0");
    let mut counting = counting(&checkpoint, Some(&point()), Document::Payment);
    counting.add(&crate::odoo::business::Seen {
        document: Document::Payment,
        id: 9,
        created: Some(at(150)),
        written: None,
        is_done: None,
        amount: None,
        currency: None,
        company: None,
        name: None,
        bytes: None,
    });
    tenant.written.insert(Document::Payment, DocumentCount::Yes(Box::new(counting.finish(None))));
    tenant.written.insert(Document::Bill, DocumentCount::No { why: "account_move is a view".into() });
    let plan = plan(&checkpoint, vec![input("a", Looked::Seen(Box::new(tenant)))], &[], at(2000));
    assert!(plan.think_of[0].starts_with("1 payment of a: "), "{:?}", plan.think_of);
    assert!(plan.think_of.iter().any(|thought| thought.starts_with("mails, text messages")));
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["tenants"][0]["written"]["payment"]["after"], 1);
    assert_eq!(json["tenants"][0]["written"]["bill"]["known"], "no");
    assert_eq!(json["way"], "image");
}

#[test]
fn time_comes_from_measured_restores_alone() {
    let mut made = checkpoint(&["a", "b"]);
    let [a, b] = ["a", "b"].map(|name| name.parse().unwrap());
    let nothing = |made: &Checkpoint| takes(made, &[], &a);
    assert_eq!(nothing(&made), Takes::NotKnown);
    made.drill = Some(Drill {
        id: "D".into(),
        ended: at(0),
        age_seconds: 1,
        verdict: "passed".into(),
        rpo_seconds: None,
        rto_seconds: Some(30.0),
    });
    assert_eq!(nothing(&made), Takes::Drill { seconds: 30.0, record: "drill D".into() });
    let measured = [MeasuredRestore { tenant: b, seconds: 10.0, record: "drill E".into() }];
    made.tenants[0].database_bytes = 4_000;
    let scaled = Takes::Scaled { seconds: 40.0, record: "drill E of b, by size".into() };
    assert_eq!(takes(&made, &measured, &a), scaled, "four times as large");
    made.rehearsal = Some(Rehearsal {
        tenant: a.clone(),
        database_bytes: 1_000,
        file_bytes: 0,
        restore_seconds: 12.5,
        check_seconds: 1.0,
        verdict: "passed".into(),
        checks: 1,
        failed: Vec::new(),
    });
    let own = Takes::Measured { seconds: 12.5, record: "the rehearsal of this checkpoint".into() };
    assert_eq!(takes(&made, &measured, &a), own);
}

#[test]
fn a_checkpoint_of_dumps_goes_back_to_the_moment_of_each() {
    let mut made = checkpoint(&["a"]);
    made.point = None;
    assert_eq!(point_time(&made, Some(&point())), at(95));
    assert_eq!(point_time(&made, None), at(90));
    let plan = plan(&made, vec![input("a", Looked::Gone)], &[], at(2000));
    assert!(plan.warnings[0].contains("took dumps"), "{:?}", plan.warnings);
}
