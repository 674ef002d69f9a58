//! What clients' own models are worth to their owners, over all clients.

use lyceum_core::{ClientId, Event};
use std::collections::BTreeMap;

/// A share of the clients, to be looked at apart: the worst of so many.
const TENTH: usize = 10;

/// Of each client that took part, as of the last time that its work counted: the accuracy of its own model and, where there is
/// one, of the global model that it had received.
#[derive(Clone, Debug, Default)]
pub(crate) struct PersonalRecord(BTreeMap<ClientId, (f64, Option<f64>)>);

impl PersonalRecord {
    /// Takes the next event.
    pub(crate) fn observe(&mut self, event: &Event) {
        if let Event::Client { report, .. } = event
            && let Some(own) = report.personal_accuracy
            && report.accepted()
        {
            self.0
                .insert(report.client, (own, report.received_accuracy));
        }
    }

    /// Mean, worst tenth and share of the hurt, by name; none without a client that was judged.
    pub(crate) fn measures(&self) -> impl Iterator<Item = (String, f64)> {
        let own: Vec<f64> = self.0.values().map(|(own, _)| *own).collect();
        let both = self.0.values().filter_map(|(own, of)| Some((*own, (*of)?)));
        let worse: Vec<f64> = both.map(|(own, of)| f64::from(own < of)).collect();
        let all = [
            ("personal accuracy", mean(&own)),
            ("worst tenth personal accuracy", worst_tenth(own)),
            ("hurt share", mean(&worse)),
        ];
        let there = all.into_iter();
        there.filter_map(|(name, value)| Some((name.to_owned(), value?)))
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Mean of the lowest `max(1, floor(n / 10))` of n values.
fn worst_tenth(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.truncate((values.len() / TENTH).max(1));
    mean(&values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::{ClientReport, Outcome, Round};

    fn report(client: u64, own: f64, received: Option<f64>) -> Event {
        Event::Client {
            round: Round(0),
            report: ClientReport {
                outcome: Outcome::Accepted,
                personal_accuracy: Some(own),
                received_accuracy: received,
                ..ClientReport::dropped_out(ClientId(client), 1, 0)
            },
        }
    }

    fn measures(events: &[Event]) -> BTreeMap<String, f64> {
        let mut record = PersonalRecord::default();
        events.iter().for_each(|event| record.observe(event));
        record.measures().collect()
    }

    #[test]
    fn the_last_of_each_client_counts() {
        assert!(measures(&[]).is_empty());
        let mut events = vec![report(0, 0.1, Some(0.9))];
        let own = [0.5, 0.6, 0.7, 0.8, 0.9];
        events.extend((0..).zip(own).map(|(c, own)| report(c, own, Some(0.65))));
        let found = measures(&events);
        assert!((found["personal accuracy"] - 0.7).abs() < 1e-12);
        assert_eq!(found["worst tenth personal accuracy"], 0.5);
        assert_eq!(found["hurt share"], 0.4);
    }

    #[test]
    fn two_of_twenty_are_the_worst_tenth_and_nobody_is_hurt_where_no_global_model_is_whole() {
        let events: Vec<Event> = (0..20).map(|c| report(c, c as f64 / 32.0, None)).collect();
        let found = measures(&events);
        assert_eq!(found["worst tenth personal accuracy"], 0.5 / 32.0);
        assert!(!found.contains_key("hurt share"));
    }
}
