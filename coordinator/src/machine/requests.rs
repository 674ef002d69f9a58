//! Requests from outside: taken behind a round, before the rule that steers the run.

use super::RoundMachine;
use crate::plan::Output;
use lyceum_core::{
    Answer, Event, Params, Probe, Request, Round, TaskDefinition, Want, Worth, codec,
};
use std::collections::{BTreeSet, VecDeque};

/// Requests that wait, and the one that is being answered.
#[derive(Default)]
pub(super) struct Desk {
    waiting: VecDeque<Request>,
    /// Requests since the process began, so that none is taken twice.
    known: BTreeSet<String>,
    /// The question that is being answered, and the model that it is about.
    judging: Option<(String, Params)>,
}

impl Desk {
    /// The question that is being answered.
    pub(super) fn question(&self) -> Option<&str> {
        self.judging.as_ref().map(|(id, _)| id.as_str())
    }

    /// The model that is judged for a question.
    pub(super) fn model(&self) -> Option<&Params> {
        self.judging.as_ref().map(|(_, model)| model)
    }
}

impl RoundMachine {
    /// Whether a request was taken before.
    pub fn knows(&self, id: &str) -> bool {
        self.desk.known.contains(id)
    }

    /// Takes a request, to be answered behind the round in flight, or the next one.
    pub(super) fn ask(&mut self, request: Request) {
        if self.desk.known.insert(request.id.clone()) {
            self.desk.waiting.push_back(request);
        }
    }

    /// Answers what waits; says whether something has to be judged for it first.
    pub(super) fn answer_all(&mut self) -> bool {
        self.take_given();
        while let Some(Request { id, want }) = self.desk.waiting.pop_front() {
            match want {
                Want::AddTask(task) => {
                    let added = self.add_task(&task);
                    let answer = self.answer(id, added.map(|()| task));
                    self.outputs
                        .push_back(Output::Event(Event::Answered(answer)));
                }
                want => match self.asked_for(&want) {
                    Ok(model) => {
                        self.desk.judging = Some((id, model));
                        self.current.take_tallies(self.plan.classes);
                        self.assign_evaluation(&self.judged());
                        return true;
                    }
                    Err(reason) => {
                        let answer = self.answer(id, Err(reason));
                        self.outputs
                            .push_back(Output::Event(Event::Answered(answer)));
                    }
                },
            }
        }
        false
    }

    /// The model that a question is about.
    fn asked_for(&self, want: &Want) -> Result<Params, String> {
        match want {
            Want::Judge { of } => self.combined(of),
            Want::Prefer { weights } => self.combined(&self.preferred(weights)?),
            Want::AddTask(_) => Err("a task is no model".into()),
        }
    }

    /// Takes what a model is worth that somebody asked about; says whether there was one.
    pub(super) fn close_answer(&mut self) -> bool {
        let Some((id, _)) = self.desk.judging.take() else {
            return false;
        };
        let mut tallies = self.current.take_tallies(self.plan.classes);
        if let Some(merged) = self.merged(&tallies) {
            tallies.insert(Probe::Test, merged);
        }
        let worth = tallies.into_iter().map(|(probe, tally)| Worth {
            probe,
            accuracy: tally.accuracy(),
            loss: tally.mean_loss(),
            samples: tally.samples(),
        });
        let worth = worth.collect();
        let round = self.current.round;
        let answer = Answer {
            id,
            round,
            worth,
            task: None,
            refused: None,
        };
        self.outputs
            .push_back(Output::Event(Event::Answered(answer)));
        self.end_round();
        true
    }

    fn answer(&self, id: String, done: Result<TaskDefinition, String>) -> Answer {
        let (task, refused) = match done {
            Ok(task) => (Some(task), None),
            Err(reason) => (None, Some(reason)),
        };
        Answer {
            id,
            round: self.current.round,
            worth: Vec::new(),
            task,
            refused,
        }
    }

    /// A task that was asked for joins the stream; that, and when, is in the chain.
    fn add_task(&mut self, task: &TaskDefinition) -> Result<(), String> {
        let tasks = self.plan.stream.iter().flat_map(|stream| stream.tasks());
        if tasks.into_iter().any(|known| known.name == task.name) {
            return Err(format!("the stream has a task `{}`", task.name));
        }
        let fact = self.announce(task.clone()).map_err(|e| e.to_string())?;
        let mut chain = self.fingerprint.extend();
        chain.add(&codec::encode(&fact));
        self.fingerprint = chain.link();
        Ok(())
    }

    /// Tasks that another run was asked for behind this round, as its log of facts has it.
    fn take_given(&mut self) {
        let now = Round(self.done);
        let given = self.plan.given.iter().filter(|(round, _)| *round == now);
        let given: Vec<TaskDefinition> = given.map(|(_, task)| task.clone()).collect();
        for task in given {
            if let Err(message) = self.add_task(&task) {
                let message = format!("a task of the facts is left out: {message}");
                self.outputs
                    .push_back(Output::Event(Event::Warned { message }));
            }
        }
    }
}
