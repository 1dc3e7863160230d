//! `lifeboat evidence list`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::KeyArgs;
use crate::archive::evidence::chain::{Hole, Link, order};
use crate::archive::evidence::predicate::Checkpoint;
use crate::archive::evidence::verdict::Verdict;
use crate::cli::screen::{Text, Tone};
use crate::cli::table::{Cell, WIDTH, table};
use crate::cli::{App, Done, print};
use crate::error::{Error, Kind, Result};
use crate::names::ReleaseId;
use crate::repository::Repository;
use crate::repository::releases::ReleaseLook;

/// List the checkpoints from the oldest to the newest, and gaps in their chain
///
/// Each checkpoint has the digest of the previous one. A gap shows that one was removed or replaced, or that
/// two were made at the same time.
///
/// Exit code 3: there is a gap, or evidence is not trusted or could not be read.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat evidence list
  lifeboat evidence list --json | jq '.checkpoints[].release'")]
pub struct Args {
    #[command(flatten)]
    keys: KeyArgs,
}

/// A checkpoint of the chain.
struct Row {
    link: Link,
    holes: Vec<Hole>,
    checkpoint: Checkpoint,
}

/// Lists.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    list(args.keys, app).await
}

/// The same, as `lifeboat list --releases` asks for it.
pub async fn list(keys: KeyArgs, app: &App) -> Result<Done> {
    let config = app.config()?;
    let trusted = keys.trusted(app)?;
    let repository = Repository::configured(&config).await?;
    let looks = repository.list_releases(&repository.origin().await?, &trusted).await?;
    let (mut links, mut checkpoints) = (Vec::new(), BTreeMap::new());
    let (mut unfinished, mut bad): (Vec<String>, Vec<(String, Error)>) = Default::default();
    for (folder, look) in looks {
        match look {
            ReleaseLook::Believed(stored) => {
                links.push(stored.link());
                let checkpoint = stored.evidence.checkpoint;
                checkpoints.insert(checkpoint.release.id.clone(), checkpoint);
            }
            ReleaseLook::Unfinished => unfinished.push(folder),
            ReleaseLook::NotBelieved(e) | ReleaseLook::NotRead(e) => bad.push((folder, e)),
        }
    }
    let rows = rows(links, checkpoints);
    let value = json!({
        "instance": repository.instance(),
        "repository": repository.store().url(),
        "checkpoints": rows.iter().map(json_row).collect::<Vec<_>>(),
        "unfinished": unfinished,
        "not_believed": bad.iter().map(|(folder, e)| json!({
            "folder": folder, "kind": e.kind().slug(), "error": e.what(), "causes": e.causes(),
        })).collect::<Vec<_>>(),
    });
    let place = format!("instance {} in {}", repository.instance(), repository.store().url());
    app.print(&value, || text(&place, &rows, print::out_width().unwrap_or(WIDTH)))?;
    unfinished.iter().for_each(|folder| print::err(&format!("unfinished: {folder} has no checkpoint.json")));
    for (folder, e) in &bad {
        let word = match e.kind() {
            Kind::Denied | Kind::Unreachable => "not checked",
            _ => "bad",
        };
        print::err(&format!("{word}: {folder}: {}", e.line()));
    }
    let is_well = bad.is_empty() && rows.iter().all(|row| row.holes.is_empty());
    Ok(if is_well { Done::Complete } else { Done::Incomplete })
}

fn rows(mut links: Vec<Link>, mut checkpoints: BTreeMap<ReleaseId, Checkpoint>) -> Vec<Row> {
    let holes = order(&mut links);
    let row = |(link, holes): (Link, Vec<Hole>)| {
        let checkpoint = checkpoints.remove(&link.release)?;
        Some(Row { link, holes, checkpoint })
    };
    links.into_iter().zip(holes).filter_map(row).collect()
}

fn text(place: &str, rows: &[Row], width: usize) -> Text {
    if rows.is_empty() {
        return format!("no checkpoint of {place}").into();
    }
    let mut text = Text::from(place.to_owned());
    text.line(0);
    let mut cells = vec![["RELEASE", "STORED (UTC)", "POINT", "VERDICT", "TENANTS", "DRILL"].map(Cell::from)];
    for row in rows {
        let (tone, verdict) = match row.checkpoint.verdict() {
            Verdict::Passed => (Tone::Plain, "passed"),
            Verdict::Overridden => (Tone::Warning, "overridden"),
            Verdict::Blocked => (Tone::Bad, "blocked"),
        };
        let overridden: Vec<&str> = row.checkpoint.overridden().map(|gate| gate.gate.as_str()).collect();
        cells.push([
            row.link.release.to_string().into(),
            row.link.stored_at.strftime("%Y-%m-%d %H:%M").to_string().into(),
            row.checkpoint.point.as_ref().map_or("dumps".to_owned(), |point| point.lsn.to_string()).into(),
            Cell(
                tone,
                if overridden.is_empty() {
                    verdict.to_owned()
                } else {
                    format!("{verdict} {}", overridden.join(","))
                },
            ),
            row.checkpoint.scope.tenants.len().to_string().into(),
            row.checkpoint.drill.as_ref().map_or("-".to_owned(), |drill| drill.verdict.clone()).into(),
        ]);
    }
    text.extend(table(&cells, width));
    for row in rows {
        for hole in &row.holes {
            text.add(format!("problem: {}: {}", row.link.release, hole.text()));
        }
    }
    text
}

fn json_row(row: &Row) -> Value {
    let words = |hole: &Hole| {
        let mut value = json!(hole);
        value["text"] = json!(hole.text());
        value
    };
    json!({
        "release": row.link.release,
        "sha256": row.link.sha256,
        "stored_at": row.link.stored_at,
        "decided": row.checkpoint.ended,
        "point": row.checkpoint.point,
        "verdict": row.checkpoint.verdict().as_str(),
        "overridden": row.checkpoint.overridden().map(|gate| gate.gate).collect::<Vec<_>>(),
        "tenants": row.checkpoint.scope.tenants,
        "drill": row.checkpoint.drill,
        "previous": row.link.previous,
        "holes": row.holes.iter().map(words).collect::<Vec<_>>(),
    })
}
