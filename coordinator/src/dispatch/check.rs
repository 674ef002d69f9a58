//! Whether an upload is an answer to what was asked.

use lyceum_core::{Assignment, ClientId, DataRef, Lane, Payload, Trained, Upload, Work};
use std::collections::BTreeSet;

/// Says what is wrong with an upload for these assignments, which are its units' in order.
pub(super) fn answers(
    upload: &Upload,
    assignments: &[&Assignment],
    lanes: &[Lane],
) -> Result<(), String> {
    let Some(first) = assignments.first() else {
        return Err("it answers nothing".into());
    };
    let distinct: BTreeSet<_> = upload.units.iter().collect();
    if distinct.len() != upload.units.len() {
        return Err("it names a unit twice".into());
    }
    // Only sums of training and lists of scores can answer several units.
    if assignments.len() > 1 && !matches!(first.work, Work::Train | Work::Score) {
        return Err(format!("it answers several units of {:?}", first.work));
    }
    let kind = match (&upload.payload, first.work) {
        (Payload::Trained(trained), Work::Train) => {
            return trained_answers(trained, assignments, lanes);
        }
        (Payload::Scored { scores, .. }, Work::Score) => {
            let clients = scores.iter().map(|(client, _)| *client);
            return same_clients(clients, assignments);
        }
        (Payload::Evaluated { probe, .. }, Work::Evaluate) => {
            matches!(first.jobs.first().map(|j| j.data), Some(DataRef::Probe { probe: asked, .. }) if asked == *probe)
        }
        (Payload::Expert { .. }, Work::Expert) => true,
        _ => false,
    };
    if kind {
        Ok(())
    } else {
        Err(format!("it is no answer to {:?}", first.work))
    }
}

fn trained_answers(
    trained: &Trained,
    assignments: &[&Assignment],
    lanes: &[Lane],
) -> Result<(), String> {
    let len = assignments.first().map_or(0, |a| a.global.len());
    if !trained.sum.has_shape(lanes, len) {
        return Err(format!(
            "its sum is not one of {} lanes over {len} values",
            lanes.len()
        ));
    }
    same_clients(trained.reports.iter().map(|r| r.client), assignments)?;
    let accepted: BTreeSet<ClientId> = trained
        .reports
        .iter()
        .filter(|r| r.accepted())
        .map(|r| r.client)
        .collect();
    for (client, state) in &trained.states {
        if !accepted.contains(client) {
            return Err(format!(
                "it brings a state of client {client}, which it did not train"
            ));
        }
        let vectors = [&state.rule, &state.model].into_iter().flatten();
        if vectors.into_iter().any(|v| v.first_not_finite().is_some()) {
            return Err(format!("the state of client {client} is not finite"));
        }
    }
    Ok(())
}

/// Each client of the assignments must be there once, and nobody else.
fn same_clients(
    answered: impl Iterator<Item = ClientId>,
    assignments: &[&Assignment],
) -> Result<(), String> {
    let mut answered: Vec<ClientId> = answered.collect();
    answered.sort_unstable();
    let mut asked: Vec<ClientId> = assignments
        .iter()
        .flat_map(|a| &a.jobs)
        .filter_map(|job| match job.data {
            DataRef::Shard(client) => Some(client),
            DataRef::Probe { .. } | DataRef::Pool => None,
        })
        .collect();
    asked.sort_unstable();
    if answered == asked {
        return Ok(());
    }
    let stranger = answered.iter().find(|c| asked.binary_search(c).is_err());
    Err(match stranger {
        Some(client) => format!("it reports client {client}, which was not asked of it"),
        None => "it does not report each client once".into(),
    })
}
