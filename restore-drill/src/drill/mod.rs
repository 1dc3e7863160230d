//! Runs a drill from beginning to end: there is always a report at the end.

use futures::future::BoxFuture;
use lifeboat::error::Result;
use tokio_util::sync::CancellationToken;

use crate::place::Place;
use crate::report::Report;
use crate::setup::{Chosen, Setup};
use crate::stages::choose::Choose;
use crate::stages::{NAMES, PARTS, instance};

pub mod stage;

use stage::Drill;

/// Runs a drill in a place. `chosen` finds the snapshot; its time counts like the rest. When cancelled, the
/// drill stops, tears down the place and returns its report.
pub async fn run(
    setup: &Setup,
    place: &dyn Place,
    chosen: impl Future<Output = Result<Chosen>> + Send,
    cancel: &CancellationToken,
) -> Report {
    let mut drill = Drill::begin(setup, cancel);
    let chosen: BoxFuture<'_, _> = Box::pin(chosen);
    if let Some(chosen) = drill.stage(Choose(chosen)).await {
        place.carry_out(&mut drill, &chosen).await;
    }
    match setup.tenant {
        Some(_) => drill.end(&NAMES, &PARTS),
        None => drill.end(&instance::NAMES, &instance::PARTS),
    }
}
