//! From events to rows: what the columns are and when a row is complete.

use lyceum_core::{ClientReport, Event, Outcome, Probe, Round};

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column<'n> {
    pub(crate) name: &'n str,
    pub(crate) kind: Kind,
    /// Whether cells may be empty.
    pub(crate) optional: bool,
}

/// What the cells of a column hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Count,
    Real,
    Text,
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Count(u64),
    Real(f64),
    Text(String),
    Empty,
}

/// Columns of the table of rounds.
pub(crate) const ROUND_COLUMNS: [Column<'static>; 19] = [
    count("round"),
    count("cohort"),
    count("accepted"),
    count("refused"),
    count("dropped_out"),
    real("train_loss"),
    count("trained"),
    count("scored"),
    count("steps"),
    count("bytes_down"),
    count("bytes_up"),
    real("validation_accuracy"),
    real("validation_loss"),
    real("test_accuracy"),
    real("test_loss"),
    real("mean_client_accuracy"),
    real("seconds"),
    real("evaluation_seconds"),
    text("fingerprint", false),
];

/// Columns of the table of clients.
pub(crate) const CLIENT_COLUMNS: [Column<'static>; 13] = [
    count("round"),
    count("client"),
    text("outcome", false),
    text("reason", true),
    count("samples"),
    count("trained"),
    count("scored"),
    count("steps"),
    real("first_loss"),
    real("last_loss"),
    real("difficulty"),
    count("bytes_down"),
    count("bytes_up"),
];

/// The row of a client's report.
pub(crate) fn client_row(round: Round, report: &ClientReport) -> Vec<Cell> {
    let (outcome, reason) = match &report.outcome {
        Outcome::Accepted => ("accepted", Cell::Empty),
        Outcome::Refused(reason) => ("refused", Cell::Text(reason.clone())),
        Outcome::DroppedOut => ("dropped_out", Cell::Empty),
    };
    vec![
        Cell::Count(round.0),
        Cell::Count(report.client.0),
        Cell::Text(outcome.to_owned()),
        reason,
        Cell::Count(report.samples),
        Cell::Count(report.trained),
        Cell::Count(report.scored),
        Cell::Count(report.steps),
        single(report.first_loss),
        single(report.last_loss),
        single(report.difficulty),
        Cell::Count(report.bytes_down),
        Cell::Count(report.bytes_up),
    ]
}

/// Puts the events of a round together. A round's row begins when the round is closed, takes in the
/// evaluations and times that follow, and is complete when the next round begins or the log ends.
/// Rounds that were never closed have no row.
#[derive(Debug, Default)]
pub(crate) struct RoundRows {
    open: Option<RoundRow>,
}

#[derive(Debug, Default)]
struct RoundRow {
    round: Round,
    /// The columns that the close decides, without the fingerprint.
    head: Vec<Cell>,
    fingerprint: String,
    validation: Option<(f64, f64)>,
    test: Option<(f64, f64)>,
    client_sum: f64,
    clients: u64,
    seconds: Option<f64>,
    evaluation_seconds: Option<f64>,
}

impl RoundRows {
    /// Takes the next event; returns the row that it completes, if it does.
    pub(crate) fn observe(&mut self, event: &Event) -> Option<Vec<Cell>> {
        match event {
            Event::ClientsScored { .. } | Event::RoundStarted { .. } => self.finish(),
            Event::RoundClosed { .. } => {
                let before = self.finish();
                self.open = RoundRow::closed(event);
                before
            }
            _ => {
                if let Some(row) = &mut self.open {
                    row.add(event);
                }
                None
            }
        }
    }

    /// The last row, once the log has ended.
    pub(crate) fn finish(&mut self) -> Option<Vec<Cell>> {
        self.open.take().map(RoundRow::cells)
    }
}

impl RoundRow {
    fn closed(event: &Event) -> Option<Self> {
        let Event::RoundClosed {
            round,
            cohort,
            accepted,
            refused,
            dropped_out,
            train_loss,
            trained,
            scored,
            steps,
            bytes_down,
            bytes_up,
            fingerprint,
        } = event
        else {
            return None;
        };
        let mut head = vec![Cell::Count(round.0)];
        head.extend([cohort, accepted, refused, dropped_out].map(|&value| Cell::Count(value)));
        head.push(optional(*train_loss));
        head.extend([trained, scored, steps, bytes_down, bytes_up].map(|&v| Cell::Count(v)));
        Some(Self {
            round: *round,
            head,
            fingerprint: fingerprint.to_string(),
            ..Self::default()
        })
    }

    /// Takes in an event after the close; one of another round is none of its business.
    fn add(&mut self, event: &Event) {
        match event {
            Event::Evaluated {
                round,
                probe,
                accuracy,
                loss,
                ..
            } if *round == self.round => {
                let pair = Some((*accuracy, *loss));
                match probe {
                    Probe::Validation => self.validation = pair,
                    Probe::Test => self.test = pair,
                    Probe::Task(_) | Probe::Gate(_) => {}
                }
            }
            Event::ClientAccuracy {
                round, accuracy, ..
            } if *round == self.round => {
                self.client_sum += accuracy;
                self.clients += 1;
            }
            Event::Timing {
                round,
                seconds,
                evaluation_seconds,
            } if *round == self.round => {
                self.seconds = Some(*seconds);
                // A driver that evaluated nothing reports no time.
                self.evaluation_seconds = Some(*evaluation_seconds).filter(|&s| s > 0.0);
            }
            _ => {}
        }
    }

    fn cells(self) -> Vec<Cell> {
        let clients = (self.clients > 0).then(|| self.client_sum / self.clients as f64);
        let mut cells = self.head;
        for probe in [self.validation, self.test] {
            cells.push(optional(probe.map(|(accuracy, _)| accuracy)));
            cells.push(optional(probe.map(|(_, loss)| loss)));
        }
        cells.extend([clients, self.seconds, self.evaluation_seconds].map(optional));
        cells.push(Cell::Text(self.fingerprint));
        cells
    }
}

const fn count(name: &'static str) -> Column<'static> {
    column(name, Kind::Count, false)
}

const fn real(name: &'static str) -> Column<'static> {
    column(name, Kind::Real, true)
}

const fn text(name: &'static str, optional: bool) -> Column<'static> {
    column(name, Kind::Text, optional)
}

pub(crate) const fn column(name: &str, kind: Kind, optional: bool) -> Column<'_> {
    Column {
        name,
        kind,
        optional,
    }
}

fn optional(value: Option<f64>) -> Cell {
    value.map_or(Cell::Empty, Cell::Real)
}

fn single(value: Option<f32>) -> Cell {
    optional(value.map(f64::from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::small_run::{closed, evaluated, run};

    #[test]
    fn a_row_is_complete_when_the_next_round_begins() {
        let mut rows = RoundRows::default();
        let events = run();
        let complete: Vec<usize> = (0..events.len())
            .filter(|&i| rows.observe(&events[i]).is_some())
            .collect();
        // The second round's scoring completes the first; nothing but the end the second.
        assert_eq!(complete, [12]);
        assert!(matches!(events[12], Event::ClientsScored { .. }));
        let last = rows.finish().unwrap();
        assert_eq!(last[0], Cell::Count(1));
        assert_eq!(last.len(), ROUND_COLUMNS.len());
        assert_eq!(rows.finish(), None);
    }

    #[test]
    fn an_evaluation_of_another_round_is_left_out() {
        let mut rows = RoundRows::default();
        rows.observe(&closed(4));
        rows.observe(&evaluated(3, Probe::Test, 0.5, 0.5));
        assert_eq!(rows.finish().unwrap()[13], Cell::Empty);
    }

    #[test]
    fn a_round_that_was_never_closed_has_no_row() {
        let mut rows = RoundRows::default();
        let started = Event::RoundStarted {
            round: Round(0),
            cohort: 1,
            model: None,
        };
        assert_eq!(rows.observe(&started), None);
        assert_eq!(rows.finish(), None);
    }
}
