//! When the next task of a stream comes: not at a round that is known before, but once the federation's model is
//! competent at the tasks that it is shown.

use crate::{Reach, Round, TaskId, Visit};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc};

/// A competence gate (Khajehabdollahi, Zeraati et al. 2024): all clients go through the stages of a stream together, and
/// a stage is over when the model exceeds a threshold. It holds no state: what happened is in the stream's
/// [`Facts`](crate::Facts).
#[derive(Clone, Debug)]
pub struct Gate {
    /// The task that each stage brings, where no other is chosen.
    pub sequence: Arc<[TaskId]>,
    /// Which of the tasks that are left comes next.
    pub next: NextTask,
    /// Which tasks a stage shows: all of them must be mastered.
    pub shows: Reach,
    /// Accuracy that must be exceeded, on the task that came last and on average over those that are shown.
    pub threshold: f64,
    /// Rounds that a stage lasts at least.
    pub min_rounds: u64,
    /// Rounds after which it is over in any case.
    pub patience: u64,
    /// Rounds between judgements.
    pub every: u64,
    /// Rounds of the run.
    pub rounds: u64,
    /// For each task, by definition, its places in the validation set, ascending.
    pub probes: Arc<[Arc<[u32]>]>,
}

/// Which of the tasks that are left comes with the next stage. What the model makes of them is seen on their validation samples;
/// equals come in the order of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NextTask {
    /// The next one in the order of the stream.
    #[default]
    Given,
    /// The one at which the model's loss is lowest.
    Best,
    /// The one at which its loss is highest: there is most to be gained.
    Worst,
}

/// A stage begins, and what the gate made of the model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opening {
    /// Its first round.
    pub round: Round,
    /// The task that it brings.
    pub task: TaskId,
    /// Its place in the order of the stream, from 0.
    pub place: u32,
    /// Share of hits on the validation samples of the task before it.
    pub accuracy: f64,
    /// Mean of that share over the tasks that were shown.
    pub mean: f64,
    /// Whether both exceed the threshold; else patience is over.
    pub competent: bool,
}

impl Gate {
    /// The time on each task that has come.
    pub(crate) fn visits(&self, begins: &[Round]) -> Arc<[Visit]> {
        let ends = begins.iter().skip(1).map(|round| round.0);
        let stages = begins.iter().zip(ends.chain([self.rounds]));
        let visit = |(place, (&task, (begins, ends))): (u32, (&TaskId, (&Round, u64)))| Visit {
            task,
            place,
            begins: begins.0,
            ends: ends.max(begins.0 + 1),
        };
        (0..)
            .zip(self.sequence.iter().zip(stages))
            .map(visit)
            .collect()
    }

    /// Tasks that must be judged after a round; none where the stage goes on in any case.
    pub fn judges(&self, begins: &[Round], round: Round) -> BTreeSet<TaskId> {
        let next = round.0 + 1;
        let Some(age) = begins.last().and_then(|last| next.checked_sub(last.0)) else {
            return BTreeSet::new();
        };
        let more = begins.len() < self.sequence.len() && next < self.rounds;
        let now = next.is_multiple_of(self.every) || age >= self.patience;
        match more && now && age >= self.min_rounds {
            true if self.next == NextTask::Given => self.shown(begins.len()),
            true => self.sequence[begins.len()..]
                .iter()
                .copied()
                .chain(self.shown(begins.len()))
                .collect(),
            false => BTreeSet::new(),
        }
    }

    /// The same gate with one of the tasks that are left in the place behind those that have come; `None` for any other task.
    pub(crate) fn chosen(&self, task: TaskId, come: usize) -> Option<Self> {
        let left = self.sequence.get(come..)?;
        let place = come + left.iter().position(|other| *other == task)?;
        let mut sequence = self.sequence.to_vec();
        sequence[come..=place].rotate_right(1);
        let sequence = sequence.into();
        Some(Self {
            sequence,
            ..self.clone()
        })
    }

    /// The task of the next stage, by the loss on each of those that are left.
    fn task_behind(&self, come: usize, loss: impl Fn(TaskId) -> f64) -> TaskId {
        let better = |a: f64, b: f64| match self.next {
            NextTask::Given => false,
            NextTask::Best => a < b,
            NextTask::Worst => a > b,
        };
        let left = self.sequence[come..].iter().copied();
        let chosen = left.reduce(|best, task| match better(loss(task), loss(best)) {
            true => task,
            false => best,
        });
        chosen.unwrap_or(self.sequence[come])
    }

    /// Tasks that are shown when so many have come.
    fn shown(&self, come: usize) -> BTreeSet<TaskId> {
        let first = self.shows.first(come.saturating_sub(1) as u32) as usize;
        self.sequence[first..come].iter().copied().collect()
    }

    /// The stage that begins behind a round, given accuracy and mean loss on each task that was to be judged.
    pub fn opens(
        &self,
        begins: &[Round],
        round: Round,
        accuracy: impl Fn(TaskId) -> f64,
        loss: impl Fn(TaskId) -> f64,
    ) -> Option<Opening> {
        let judged = self.judges(begins, round);
        let last = *begins.last().filter(|_| !judged.is_empty())?;
        let place = begins.len();
        let shown = self.shown(place);
        let current = accuracy(self.sequence[place - 1]);
        let mean = shown.iter().map(|&task| accuracy(task)).sum::<f64>() / shown.len() as f64;
        let competent = current > self.threshold && mean > self.threshold;
        let next = Round(round.0 + 1);
        (competent || next.0 - last.0 >= self.patience).then(|| Opening {
            round: next,
            task: self.task_behind(place, &loss),
            place: place as u32,
            accuracy: current,
            mean,
            competent,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Affine, Calendar, ClientId, Fact, Facts, Features, Head, Lens, Members, Samples, Seed,
        Shard, StreamRules, Task, TaskStream,
    };

    /// Tasks 2, 0, 1 in a run of 20 rounds; a stage lasts 2 to 5 rounds.
    fn gate(shows: Reach) -> Gate {
        Gate {
            sequence: [2, 0, 1].map(TaskId).into(),
            next: NextTask::Given,
            shows,
            threshold: 0.9,
            min_rounds: 2,
            patience: 5,
            every: 1,
            rounds: 20,
            probes: Arc::default(),
        }
    }

    fn rounds<const N: usize>(rounds: [u64; N]) -> [Round; N] {
        rounds.map(Round)
    }

    fn tasks<const N: usize>(tasks: [u32; N]) -> BTreeSet<TaskId> {
        tasks.map(TaskId).into()
    }

    #[test]
    fn stages_that_began_are_visits_and_the_last_one_goes_on() {
        let spans = |begins: &[Round]| -> Vec<_> {
            let visits = gate(Reach::Task).visits(begins);
            visits
                .iter()
                .map(|v| (v.task.0, v.place, v.begins, v.ends))
                .collect()
        };
        assert_eq!(spans(&rounds([0])), [(2, 0, 0, 20)]);
        assert_eq!(spans(&rounds([0, 4])), [(2, 0, 0, 4), (0, 1, 4, 20)]);
        // More rounds than there are tasks is no list that a machine makes, and harms nobody.
        assert_eq!(spans(&rounds([0, 4, 9, 11])).len(), 3);
        assert_eq!(spans(&[]), []);
    }

    #[test]
    fn a_policy_says_which_tasks_must_be_mastered() {
        let judged = |shows, begins: &[Round]| gate(shows).judges(begins, Round(9));
        let (one, two) = (rounds([0, 3]), rounds([0, 3, 6]));
        assert_eq!(judged(Reach::Task, &one), tasks([0]));
        assert_eq!(judged(Reach::UpToNow, &one), tasks([0, 2]));
        assert_eq!(judged(Reach::Window(1), &one), tasks([0]));
        assert_eq!(judged(Reach::Window(2), &one), tasks([0, 2]));
        assert_eq!(judged(Reach::UpToNow, &two), tasks([]), "nothing is left");
    }

    #[test]
    fn it_is_judged_when_that_can_begin_a_stage() {
        let every = |every| {
            let gate = Gate {
                every,
                ..gate(Reach::Task)
            };
            let judged = |round: &u64| !gate.judges(&rounds([0, 3]), Round(*round)).is_empty();
            (3..20).filter(judged).collect::<Vec<_>>()
        };
        // Stage 1 began with round 3: two rounds are over behind round 4; behind round 19 no round comes.
        assert_eq!(every(1), (4..19).collect::<Vec<_>>());
        // Rounds are counted from 1 here: the sixth, the ninth, ... Behind round 7 patience is over.
        assert_eq!(every(3)[..3], [5, 7, 8]);
    }

    #[test]
    fn the_last_task_and_the_mean_must_both_exceed_the_threshold() {
        let opens = |shows, first: f64, last: f64| {
            let accuracy = |task: TaskId| if task.0 == 2 { first } else { last };
            gate(shows).opens(&rounds([0, 3]), Round(5), accuracy, |_| 0.0)
        };
        assert!(
            opens(Reach::Task, 0.0, 0.9).is_none(),
            "it must be exceeded"
        );
        let opening = opens(Reach::Task, 0.0, 0.91).unwrap();
        assert_eq!((opening.round, opening.task), (Round(6), TaskId(1)));
        assert_eq!((opening.place, opening.mean), (2, 0.91));
        assert!(
            opens(Reach::UpToNow, 0.8, 0.99).is_none(),
            "the mean is 0.895"
        );
        assert!(opens(Reach::UpToNow, 1.0, 0.89).is_none());
        assert!(opens(Reach::UpToNow, 0.875, 1.0).unwrap().competent);
    }

    #[test]
    fn patience_moves_on_without_competence() {
        let opens =
            |round| gate(Reach::Task).opens(&rounds([0, 3]), Round(round), |_| 0.5, |_| 0.0);
        assert!(opens(6).is_none());
        let opening = opens(7).unwrap();
        assert_eq!((opening.round, opening.competent), (Round(8), false));
    }

    #[test]
    fn of_the_tasks_that_are_left_one_is_chosen() {
        let next = |next, zero: f64, one: f64| {
            let gate = Gate {
                next,
                ..gate(Reach::Task)
            };
            let judged = gate.judges(&[Round(0)], Round(3)).len();
            assert_eq!(judged, if next == NextTask::Given { 1 } else { 3 });
            let loss = |task: TaskId| [zero, one, 0.01][task.0 as usize];
            let opening = gate.opens(&[Round(0)], Round(3), |_| 0.95, loss);
            opening.unwrap().task.0
        };
        assert_eq!(next(NextTask::Given, 2.0, 0.5), 0);
        assert_eq!(next(NextTask::Best, 2.0, 0.5), 1);
        assert_eq!(next(NextTask::Worst, 2.0, 0.5), 0);
        assert_eq!(next(NextTask::Best, 0.5, 0.5), 0);
        assert_eq!(next(NextTask::Worst, 0.5, 0.9), 1);
        let moved = gate(Reach::Task).chosen(TaskId(1), 1).unwrap();
        assert_eq!(*moved.sequence, [2, 1, 0].map(TaskId));
        assert!(
            gate(Reach::Task).chosen(TaskId(2), 1).is_none(),
            "it has come"
        );
        assert!(gate(Reach::Task).chosen(TaskId(7), 1).is_none());
    }

    /// Six samples, two of each class; task c shows class c.
    fn stream() -> (Arc<TaskStream>, Shard) {
        let pool = Arc::new(Samples {
            shape: vec![1],
            classes: 3,
            features: Features::F32(vec![0.0; 6]),
            labels: vec![0, 1, 2, 0, 1, 2],
            targets: Vec::new(),
            goals: Vec::new(),
            affine: Affine::identity(),
        });
        let task = |class: u32| Task {
            name: class.to_string(),
            train: Members::Classes((0..3).map(|c| c == class).collect()),
            probe: [0].into(),
            classes: [class].into(),
            lens: Lens::default(),
        };
        let rules = StreamRules {
            signals: true,
            head: Head::Seen,
            ..StreamRules::default()
        };
        let tasks = (0..3).map(task).collect();
        let nothing: Arc<[Visit]> = [].into();
        let calendar = Calendar::Same(nothing.clone());
        let stream = TaskStream::new(tasks, calendar, nothing, rules, Seed(1));
        let shard = Shard::new(pool, (0..6).collect());
        (Arc::new(stream.gated(gate(Reach::Task))), shard)
    }

    #[test]
    fn a_stage_shows_what_its_policy_says_and_knows_what_came_before() {
        let (stream, shard) = stream();
        let stages = |rounds: [u64; 2]| {
            let stage = |round| Fact::Stage {
                round: Round(round),
            };
            let facts = rounds.map(stage).into_iter();
            facts.fold(Facts::default(), |facts, fact| facts.with(fact))
        };
        let third = stream.told(&stages([4, 6])).unwrap();
        assert_eq!(third.facts().stages(), rounds([0, 4, 6]));
        let client = ClientId(7);
        let sees = |stream: &TaskStream, round, reach| {
            let sight = stream.sight(client, Round(round), &shard, reach);
            sight.unwrap().indices.to_vec()
        };
        assert_eq!(
            sees(&stream, 9, Reach::Task),
            [2, 5],
            "nobody has said that it went on"
        );
        assert_eq!(sees(&third, 9, Reach::Task), [1, 4]);
        assert_eq!(sees(&third, 9, Reach::Window(2)), [0, 3, 1, 4]);
        assert_eq!(sees(&third, 9, Reach::UpToNow), [0, 3, 1, 4, 2, 5]);
        assert_eq!(
            sees(&third, 5, Reach::UpToNow),
            [0, 3, 2, 5],
            "rounds that are over"
        );
        let view = third.view(client, Round(9)).unwrap();
        assert_eq!(
            (view.task, view.place, &view.before[..]),
            (TaskId(1), 2, &[0, 2][..])
        );
        assert_eq!(third.begun(8, Round(5)), [2, 0].map(TaskId));
        let answers = |stream: &TaskStream| stream.answers(TaskId(2), 8, Round(9)).unwrap();
        assert_eq!(
            (&answers(&stream)[..], &answers(&third)[..]),
            (&[2][..], &[0, 1, 2][..])
        );
    }
}
