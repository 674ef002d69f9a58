//! Steps with the methods' hooks around them.

use super::{Methods, Post};
use crate::{
    Worker,
    steps::{Lesson, Rule, Stepper},
};
use lyceum_core::{MethodRun, Mode, Noise, Site, Step, Stream};

/// Steps with hooks of methods around them.
pub(super) struct Guided<'m, 'a> {
    pub(super) post: &'m mut Post<'a>,
    pub(super) methods: &'m mut Methods,
    pub(super) lesson: Lesson<'m>,
}

impl Stepper for Guided<'_, '_> {
    fn step(
        &mut self,
        worker: &mut Worker,
        rule: &Rule<'_>,
        (positions, _): (&[u32], &[u32]),
        rng: &mut Stream,
    ) -> (f32, u64) {
        worker.spare.rate = rule.rate;
        self.draft(worker, positions);
        let noise = Noise::draw(&worker.node.network, rng);
        let loss = self.take(worker, noise, rule);
        (loss, worker.spare.draft.rows() as u64)
    }
}

impl Guided<'_, '_> {
    /// Calls a hook of every method, in their order.
    fn each(&mut self, worker: &mut Worker, hook: impl FnMut(&mut dyn MethodRun, &mut Site<'_>)) {
        worker.each_method(self.methods, self.post, self.lesson.shard, hook);
    }

    /// Puts the rows of a step into the batch.
    fn draft(&mut self, worker: &mut Worker, positions: &[u32]) {
        let Lesson { shard, weights, .. } = self.lesson;
        let mut draft = std::mem::take(&mut worker.spare.draft);
        draft.begin(worker.node.network.classes(), shard, positions, weights);
        self.each(worker, |run, site| run.rows(&mut draft, site));
        let head = self.post.stream.rules().head;
        if !draft.open.is_empty() || head.masks() {
            let own = draft.open.len();
            let rest = draft.items[own..].iter();
            draft.open.extend(rest.map(|item| head.set_of(*item)));
        }
        shard.pack_items(&draft.items, &mut worker.batch);
        draft.finish(&mut worker.batch);
        worker.augment(&shard.pool.shape);
        worker.spare.draft = draft;
    }

    /// Takes the step that was drafted.
    fn take(&mut self, worker: &mut Worker, noise: Noise, rule: &Rule<'_>) -> f32 {
        let needs = self.methods.needs;
        let loss = match needs.gradient || needs.steps {
            true => self.take_by_gradient(worker, noise, rule),
            false => {
                let fixed = &self.post.dice.fixed;
                let mode = Mode::Train { noise, fixed };
                let mut update = rule.update(&mut worker.moments);
                let loss = worker.learner.step(&worker.batch, mode, &mut update);
                if needs.logits {
                    worker.learner.seen_logits(&mut worker.spare.logits);
                }
                loss
            }
        };
        if needs.steps || needs.logits {
            self.show_step(worker);
        }
        loss
    }

    /// As [`take`](Self::take), where methods change the gradient or want to see it.
    fn take_by_gradient(&mut self, worker: &mut Worker, noise: Noise, rule: &Rule<'_>) -> f32 {
        let needs = self.methods.needs;
        let mut grad = std::mem::take(&mut worker.moments.grad);
        let fixed = &self.post.dice.fixed;
        let mode = Mode::Train { noise, fixed };
        let loss = worker.learner.backward(&worker.batch, mode, &mut grad);
        if needs.logits {
            worker.learner.seen_logits(&mut worker.spare.logits);
        }
        if needs.gradient {
            self.each(worker, |run, site| run.gradient(&mut grad, site));
        }
        if needs.steps {
            replace(&mut worker.spare.grad, &grad);
            replace(&mut worker.spare.before, worker.learner.params());
        }
        worker.moments.grad = grad;
        let mut update = rule.update(&mut worker.moments);
        update.apply(worker.learner.params_mut());
        loss
    }

    fn show_step(&mut self, worker: &mut Worker) {
        let needs = self.methods.needs;
        let spare = &mut worker.spare;
        let draft = std::mem::take(&mut spare.draft);
        let logits = std::mem::take(&mut spare.logits);
        let grad = std::mem::take(&mut spare.grad);
        let before = std::mem::take(&mut spare.before);
        let only_if = |wanted: bool, values| if wanted { values } else { &[][..] };
        let step = Step {
            draft: &draft,
            grad: only_if(needs.steps, &grad),
            before: only_if(needs.steps, &before),
            logits: only_if(needs.logits, &logits),
        };
        self.each(worker, |run, site| run.after_step(&step, site));
        let spare = &mut worker.spare;
        (spare.draft, spare.logits) = (draft, logits);
        (spare.grad, spare.before) = (grad, before);
    }
}

fn replace(buffer: &mut Vec<f32>, values: &[f32]) {
    buffer.clear();
    buffer.extend_from_slice(values);
}
