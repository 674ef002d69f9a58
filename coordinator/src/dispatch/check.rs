//! Whether an upload is an answer to what was asked.

use lyceum_core::{
    Addend, Assignment, ClientId, ClientTerm, Contribution, DataRef, Grid, Params, Payload, Probe,
    Reduction, Tally, Trained, Upload, Work,
};
use std::collections::BTreeSet;

/// Says what is wrong with an upload for these assignments, which are its units' in order.
pub(super) fn answers(
    upload: &Upload,
    assignments: &[&Assignment],
    contribution: &Contribution,
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
            return trained_answers(trained, assignments, contribution);
        }
        (Payload::Scored { scores, .. }, Work::Score) => {
            let clients = scores.iter().map(|(client, _)| *client);
            return same_clients(clients, assignments);
        }
        (Payload::Evaluated { probe, tally }, Work::Evaluate) => {
            return evaluated_answers((*probe, tally), first, contribution.answers.max(1));
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

/// Each sample that was asked about is counted once, and is a hit at most once.
fn evaluated_answers(
    (probe, tally): (Probe, &Tally),
    asked: &Assignment,
    answers: u64,
) -> Result<(), String> {
    let data = asked.jobs.first().map(|job| job.data);
    let Some(DataRef::Probe { start, end, .. }) =
        data.filter(|d| matches!(d, DataRef::Probe { probe: asked, .. } if *asked == probe))
    else {
        return Err("it is about another probe".into());
    };
    match tally.is_of(answers.saturating_mul(end.saturating_sub(start).into())) {
        true => Ok(()),
        false => Err(format!("its tally is not one of samples {start} to {end}")),
    }
}

fn trained_answers(
    trained: &Trained,
    assignments: &[&Assignment],
    contribution: &Contribution,
) -> Result<(), String> {
    same_clients(trained.reports.iter().map(|r| r.client), assignments)?;
    let accepted: BTreeSet<ClientId> = trained
        .reports
        .iter()
        .filter(|r| r.accepted())
        .map(|r| r.client)
        .collect();
    addend_fits(&trained.sum, &accepted, contribution)?;
    for (client, state) in &trained.states {
        if !accepted.contains(client) {
            return Err(format!(
                "it brings a state of client {client}, which it did not train"
            ));
        }
        let looked = contribution.slots.check_received(state);
        looked.map_err(|fault| format!("the state of client {client}: {fault}"))?;
    }
    Ok(())
}

fn addend_fits(
    addend: &Addend,
    accepted: &BTreeSet<ClientId>,
    contribution: &Contribution,
) -> Result<(), String> {
    let (lanes, clients) = (&contribution.lanes, accepted.len());
    let grid = Grid::from(&contribution.layout);
    let shape = || {
        let (lanes, len) = (lanes.len(), grid.len());
        format!("its sum is not one of {lanes} lanes over {len} values")
    };
    match (addend, contribution.reduction) {
        (Addend::Each(terms), Reduction::EachUpdate) => {
            let theirs: BTreeSet<ClientId> = terms.iter().map(|term| term.client).collect();
            if terms.len() != clients || theirs != *accepted {
                return Err("it does not bring the update of each client once".into());
            }
            let fits = |term: &ClientTerm| parts_fit(&term.lanes, contribution, &grid);
            terms.iter().try_for_each(fits)
        }
        (_, Reduction::EachUpdate) => Err("it brings a sum where single updates are asked".into()),
        (Addend::Each(_), Reduction::Sum) => {
            Err("it brings single updates where a sum is asked".into())
        }
        (Addend::Sum(sum), _) if !sum.has_shape(lanes, &grid) => Err(shape()),
        // A sum that holds more than its clients can add would fill the round's, which has no way back.
        (Addend::Sum(sum), _) if !sum.is_within(clients as u64) => Err(format!(
            "its sum holds more than {clients} clients can add to it"
        )),
        (Addend::Sum(_), _) => Ok(()),
        (Addend::Single(_), _) if clients != 1 => Err(shape()),
        (Addend::Single(parts), _) => parts_fit(parts, contribution, &grid),
    }
}

/// Whether one client's weights and values are what the lanes take.
fn parts_fit(
    parts: &[(f64, Params)],
    contribution: &Contribution,
    grid: &Grid,
) -> Result<(), String> {
    let lanes = &contribution.lanes;
    if parts.len() != lanes.len() {
        let (got, want) = (parts.len(), lanes.len());
        return Err(format!("its update has {got} lanes where {want} are asked"));
    }
    lanes
        .iter()
        .zip(parts)
        .try_for_each(|(lane, (weight, values))| lane.takes(*weight, values, grid))
        .map_err(|e| {
            format!(
                "its update cannot be added: {}",
                e.told(&contribution.layout)
            )
        })
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
