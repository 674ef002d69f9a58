//! What does not go together in a scenario with a stream of tasks.

use crate::{
    registry::Chosen,
    scenario::Scenario,
    streams::{CompetenceGate, HeadChoice, Labels},
    task_stream::StreamChoice,
};
use lyceum_core::{AnyMethod, Head, Loss, Optimizer, Reach, units::Misfit};

/// Methods that give each task a prior.
const GIVE_PRIORS: [&str; 2] = ["vcl", "vcl_coreset"];

impl StreamChoice {
    fn gives_priors(&self) -> bool {
        let mut names = self.methods.iter().map(|method| method.name);
        names.any(|name| GIVE_PRIORS.contains(&name))
    }

    /// What does not go together; keys are relative to `[scenario]`.
    pub(crate) fn misfits(&self, scenario: &Scenario) -> Vec<Misfit> {
        let methods = self.methods.iter();
        let mut misfits: Vec<Misfit> = methods
            .flat_map(|method| self.misfits_of_method(method, scenario))
            .collect();
        let own = self.kind.plugin.misfit().map(|misfit| Misfit {
            key: format!("{}.{}", self.kind.name, misfit.key),
            ..misfit
        });
        misfits.extend(own);
        misfits.extend(self.refuse(
            "",
            scenario.steering.is_some() && self.steers(scenario),
            "this stream steers the run itself",
            "leave out `[steering]`",
        ));
        misfits.extend(self.refuse(
            ".method",
            self.steers(scenario) && self.gives_priors(),
            "the method and the knowledge base each give a task its prior",
            "leave out the method, or take `[scenario.domain_incremental]`",
        ));
        misfits.extend(self.misfit_of_answers());
        misfits.extend(self.own_misfits());
        misfits.extend(self.misfits_of_passes(scenario));
        misfits.extend(self.misfits_of_head());
        misfits.extend(self.misfits_of_labels(scenario));
        let gate = self.gate.iter();
        misfits.extend(gate.flat_map(|gate| self.misfits_of_gate(gate, scenario)));
        misfits.extend(self.refuse(
            "",
            !scenario.data.real.is_empty(),
            "real clients have no streams of tasks",
            "leave out `[scenario]` or `[[data.real]]`",
        ));
        misfits
    }

    /// Whether the stream brings a rule that steers the run.
    fn steers(&self, scenario: &Scenario) -> bool {
        let strategy = &*scenario.strategy.plugin;
        self.kind.plugin.steering(strategy).is_some()
    }

    /// A misfit at a key within the stream's table, such as `.head`, if something is wrong there.
    fn refuse(&self, at: &str, wrong: bool, message: &str, expected: &str) -> Option<Misfit> {
        wrong.then(|| Misfit {
            key: format!("{}{at}", self.kind.name),
            message: message.into(),
            expected: expected.into(),
        })
    }

    /// What a method asks for and does not find.
    fn misfits_of_method(
        &self,
        method: &Chosen<dyn AnyMethod>,
        scenario: &Scenario,
    ) -> Vec<Misfit> {
        let at = format!(".method.{}", method.name);
        let refuse = |wrong: bool, message: &str, expected: &str| {
            let message = format!("`{}` {message}", method.name);
            self.refuse(&at, wrong, &message, expected)
        };
        let needs = method.plugin.needs();
        let rule = scenario.training.optimizer.rule();
        let all = [
            refuse(
                needs.boundaries && !self.kind.plugin.rules().signals,
                "must be told when a task begins",
                "this stream hides it: take a method that needs no boundaries",
            ),
            refuse(
                needs.plain_sgd && rule != (Optimizer::Sgd { momentum: 0.0 }),
                "goes with plain SGD only",
                "`sgd` without momentum with it",
            ),
            refuse(
                needs.sigmoid && scenario.training.loss != Loss::Sigmoid,
                "goes with the sigmoid loss only",
                "`loss = \"sigmoid\"` in `[training]`",
            ),
            method.plugin.misfit().map(|misfit| Misfit {
                key: format!("{}{at}.{}", self.kind.name, misfit.key),
                ..misfit
            }),
        ];
        all.into_iter().flatten().collect()
    }

    /// Two methods that each say how answers are found.
    fn misfit_of_answers(&self) -> Option<Misfit> {
        let mut choosers = self.methods.iter().filter(|m| m.plugin.predict().is_some());
        let (first, second) = (choosers.next()?, choosers.next()?);
        let message = format!(
            "`{}` and `{}` each say how answers are found",
            first.name, second.name
        );
        self.refuse(".method", true, &message, "one of them")
    }

    /// What is wrong within order and arrival.
    fn own_misfits(&self) -> impl Iterator<Item = Misfit> {
        let at = |key: &str, misfit: Misfit| Misfit {
            key: format!("{}.{key}.{}", self.kind.name, misfit.key),
            ..misfit
        };
        let order = self.order.misfit().map(|misfit| at("order", misfit));
        let arrival = self.arrival.misfit().map(|misfit| at("arrival", misfit));
        order.into_iter().chain(arrival)
    }

    /// Where samples are shown once, nothing goes through them again.
    fn misfits_of_passes(&self, scenario: &Scenario) -> impl Iterator<Item = Misfit> {
        let once = self.kind.plugin.rules().once;
        let epochs = self.refuse(
            "",
            once && scenario.training.epochs.get() != 1,
            "each sample is shown once, but `training.epochs` is not 1",
            "`epochs = 1` with it",
        );
        let steps = self.refuse(
            "",
            once && scenario.training.steps.is_some(),
            "each sample is shown once, but `training.steps` may go through it again",
            "leave out `training.steps`",
        );
        epochs.into_iter().chain(steps)
    }

    /// A head that asks for what the stream does not tell, or leaves out what it does.
    fn misfits_of_head(&self) -> impl Iterator<Item = Misfit> {
        let rules = self.kind.plugin.rules();
        let head = self.head.map(HeadChoice::head);
        let untold = self.refuse(
            ".head",
            !rules.signals && matches!(head, Some(Head::Seen | Head::Multi)),
            "this stream does not tell of which task a sample is",
            "`shared`, or `masked` for tests alone",
        );
        let told = self.refuse(
            ".head",
            rules.head == Head::Multi && matches!(head, Some(Head::Shared | Head::Seen)),
            "in this stream a test says of which task a sample is",
            "`multi-head` or `masked`",
        );
        untold.into_iter().chain(told)
    }

    /// What does not go with labels that are not the data's own.
    fn misfits_of_labels(&self, scenario: &Scenario) -> impl Iterator<Item = Misfit> {
        let renames = self.kind.plugin.outputs().is_some();
        let shuffled = self.labels == Labels::Shuffled;
        let all = [
            self.refuse(
                ".labels",
                renames && shuffled,
                "this stream has labels of its own",
                "leave it out",
            ),
            self.refuse(
                "",
                (renames || shuffled) && scenario.data.validation.get() > 0.0,
                "validation samples keep the labels that this stream renames",
                "leave out `data.validation`",
            ),
            self.refuse(
                "",
                renames && scenario.needs_expert(),
                "an expert learns the labels that this stream renames",
                "leave out what needs an expert",
            ),
        ];
        all.into_iter().flatten()
    }

    /// What does not go with a gate.
    fn misfits_of_gate(&self, gate: &CompetenceGate, scenario: &Scenario) -> Vec<Misfit> {
        let own = format!(".gate.{}", gate.name());
        let competence = gate.competence();
        let least = competence.min_rounds;
        let rules = self.kind.plugin.rules();
        let mut misfits = vec![
            self.refuse(
                &own,
                scenario.data.validation.get() == 0.0,
                "a gate judges the model by validation samples, and there are none",
                "with it `validation = 0.1`, or another share, in `[data]`",
            ),
            self.refuse(
                &format!("{own}.min_rounds"),
                competence.patience.is_some_and(|patience| patience < least),
                "a task would last longer than its patience",
                "at most as many rounds as `patience`",
            ),
            self.refuse(
                &own,
                rules.fade > 0.0,
                "a task that fades into the next one must know when that comes",
                "a stream with sharp boundaries, such as `class_incremental`",
            ),
            self.refuse(
                &own,
                rules.once,
                "a task that is passed through once must know how long it lasts",
                "a stream that shows samples in every round, such as `class_incremental`",
            ),
        ];
        misfits.extend(self.steered_beside_gate());
        misfits.into_iter().flatten().collect()
    }

    /// Keys that say, as a gate does, when tasks come and which are shown.
    fn steered_beside_gate(&self) -> Vec<Option<Misfit>> {
        let mut misfits = vec![self.refuse(
            ".arrival.rounds_per_task",
            self.arrival.rounds_per_task.is_some(),
            "a gate says how long a task lasts",
            "leave it out; the gate has `min_rounds` and `patience`",
        )];
        misfits.push(self.refuse(
            ".on",
            self.kind.plugin.reach() != Reach::Task,
            "a gate says itself which tasks are shown",
            "leave it out; `gate.accumulate` shows all tasks that have come",
        ));
        misfits.extend(self.arrival.apart().map(|key| {
            let together = "a gate brings each task to all clients in the same round";
            self.refuse(&format!(".arrival.{key}"), true, together, "leave it out")
        }));
        misfits.extend(self.methods.iter().map(|method| {
            self.refuse(
                &format!(".method.{}", method.name),
                method.plugin.needs().reach != Reach::Task,
                "a gate says itself which tasks are shown",
                "leave it out; `gate.accumulate` shows all tasks that have come",
            )
        }));
        misfits
    }
}
