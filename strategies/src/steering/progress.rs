use lyceum_core::{
    Calendar, Directive, GLOBAL, Probe, RoundOutcome, RoundPlan, RunView, Steering, TaskId,
};
use serde::{Deserialize, Serialize};

/// Names in the book of models.
const FIRST: &str = "first";
const BEST: &str = "best";

/// Which model a task begins with, where that is not the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// The best one of the rounds of the task before, by its validation samples; of equal ones the later.
    Best,
    /// The one that the run began with.
    First,
}

/// Trains the global model task by task, and goes on from another one when a task is over. It follows the common order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// From which one.
    pub begin: Begin,
}

/// The best model so far of the task under way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Share of hits on the validation samples, and whether it is the newest model.
    held: Option<(f64, bool)>,
}

/// The place of the common order that a round is at, and its task.
fn at(view: &RunView<'_>) -> Option<(u32, TaskId)> {
    let stream = view.stream?;
    let visits = match stream.calendar() {
        Calendar::Same(visits) => visits,
        Calendar::Each(_) => stream.reference(),
    };
    let begun = visits.partition_point(|visit| visit.begins <= view.round.0);
    let visit = visits.get(begun.checked_sub(1)?)?;
    Some((visit.place, visit.task))
}

fn copy(of: &str, into: &str) -> Directive {
    Directive::Combine {
        into: into.to_owned(),
        of: vec![(of.to_owned(), 1.0)],
    }
}

impl Steering for Progress {
    type State = Best;

    fn init(&self) -> Best {
        Best::default()
    }

    fn models(&self) -> Vec<String> {
        let first = self.begin == Begin::First;
        Vec::from_iter(first.then(|| FIRST.to_owned()))
    }

    fn plan(&self, _: &Best, _: &RunView<'_>) -> RoundPlan {
        RoundPlan::default()
    }

    fn absorb(&self, best: &mut Best, outcome: &RoundOutcome<'_>) -> Vec<Directive> {
        let now = outcome.now.and_then(at);
        let over = match (now, outcome.next.and_then(at)) {
            (Some((now, _)), Some((next, _))) => now != next,
            _ => false,
        };
        let mut directives = Vec::new();
        if self.begin == Begin::Best {
            if let Some((_, task)) = now {
                let name = (GLOBAL.to_owned(), Probe::Gate(task));
                let worth = outcome.tallies.get(&name).map(|tally| tally.accuracy());
                let better = |worth: f64| best.held.is_none_or(|(held, _)| worth >= held);
                match worth.filter(|worth| better(*worth)) {
                    Some(worth) => {
                        best.held = Some((worth, true));
                        directives.push(copy(GLOBAL, BEST));
                    }
                    None => best.held = best.held.map(|(held, _)| (held, false)),
                }
            }
            if over && best.held.take().is_some_and(|(_, newest)| !newest) {
                directives.push(copy(BEST, GLOBAL));
            }
        } else if over {
            directives.push(copy(FIRST, GLOBAL));
        }
        directives
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::{
        Lens, Members, Params, Round, Seed, StreamRules, Tally, Task, TaskStream, Visit,
    };
    use std::{collections::BTreeMap, sync::Arc};

    /// Two tasks of three and two rounds.
    fn stream() -> TaskStream {
        let task = |name: &str| Task {
            name: name.into(),
            train: Members::All,
            probe: [0].into(),
            classes: [0].into(),
            lens: Lens::default(),
        };
        let visit = |task, begins, ends| Visit {
            task: TaskId(task),
            place: task,
            begins,
            ends,
        };
        let visits: Arc<[Visit]> = [visit(0, 0, 3), visit(1, 3, 5)].into();
        let calendar = Calendar::Same(visits.clone());
        let tasks = vec![task("a"), task("b")];
        TaskStream::new(tasks, calendar, visits, StreamRules::default(), Seed(1))
    }

    /// What a rule wants done behind each round, given hits out of 10 on the validation samples of the task under way.
    fn wanted(rule: Progress, hits: [u64; 5]) -> Vec<Vec<String>> {
        let (stream, model) = (stream(), Params::zeros(1));
        let view = |round: u64| RunView {
            round: Round(round),
            models: vec![GLOBAL],
            tasks: 2,
            clients: 1,
            stream: Some(&stream),
        };
        let mut state = rule.init();
        let mut all = Vec::new();
        for (round, hits) in (0..).zip(hits) {
            let mut tally = Tally::new(2);
            (0..10).for_each(|n| tally.add(0, n < hits, 0.0));
            let task = TaskId(u32::from(round >= 3));
            let tallies = [((GLOBAL.to_owned(), Probe::Gate(task)), tally)];
            let (now, next) = (view(round), view(round + 1));
            let outcome = RoundOutcome {
                round: Round(round),
                trained: &[],
                tallies: &BTreeMap::from(tallies),
                models: &BTreeMap::from([(GLOBAL, &model)]),
                halves: None,
                now: Some(&now),
                next: (round < 4).then_some(&next),
            };
            let copies = rule.absorb(&mut state, &outcome);
            let said = |directive: &Directive| match directive {
                Directive::Combine { into, of } => format!("{} -> {into}", of[0].0),
                _ => "?".into(),
            };
            all.push(copies.iter().map(said).collect());
        }
        all
    }

    #[test]
    fn a_task_begins_with_the_best_model_of_the_one_before() {
        let best = Progress { begin: Begin::Best };
        let kept = "global -> best";
        let none: Vec<&str> = vec![];
        assert_eq!(
            wanted(best, [3, 7, 5, 2, 1]),
            [
                vec![kept],
                vec![kept],
                vec!["best -> global"],
                vec![kept],
                none.clone()
            ]
        );
        assert_eq!(
            wanted(best, [3, 2, 3, 2, 2]),
            [vec![kept], none, vec![kept], vec![kept], vec![kept]],
            "of equal ones the later, which is the newest"
        );
    }

    #[test]
    fn each_task_alone_begins_with_the_first_model() {
        let first = Progress {
            begin: Begin::First,
        };
        assert_eq!(first.models(), [FIRST]);
        let none: Vec<&str> = vec![];
        let wanted = wanted(first, [3, 7, 5, 2, 1]);
        let again = vec!["first -> global"];
        assert_eq!(
            wanted,
            [none.clone(), none.clone(), again, none.clone(), none]
        );
    }
}
