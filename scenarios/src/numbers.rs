//! Numbers with which nothing is learned, or with which a run never ends: limits that nobody means to cross.

use crate::scenario::Scenario;
use lyceum_core::units::Count;

/// Rates and norms below this change no weight of a usual size.
const TINY: f64 = 1e-9;
/// Rates above this throw weights away.
const HUGE: f64 = 10.0;
/// Weight decays from here on leave nothing but the decay.
const STRONG: f64 = 1.0;
/// Passes over a client's samples, or steps, that no call comes to the end of.
const ENDLESS: usize = 1_000_000;

impl Scenario {
    /// Numbers that are in range, and hardly meant.
    pub(crate) fn unusual_numbers(&self) -> Vec<String> {
        let training = &self.training;
        let (rate, decay) = (training.rate.get(), training.weight_decay.get());
        let mut all = Vec::new();
        all.extend(far_rate("training.rate", rate));
        all.extend(strong_decay("training.weight_decay", decay, rate));
        all.extend(endless("training.epochs", training.epochs));
        all.extend(
            training
                .steps
                .and_then(|steps| endless("training.steps", steps)),
        );
        if let Some(clip) = training.clip.filter(|clip| clip.get() < TINY) {
            all.push(format!(
                "`training.clip` = {} leaves nothing of a gradient: norms from 0.1 to 10 are usual",
                clip.get()
            ));
        }
        if self.needs_expert() {
            let expert = &self.expert;
            let (rate, decay) = (expert.rate.get(), expert.weight_decay.get());
            all.extend(far_rate("expert.rate", rate));
            all.extend(strong_decay("expert.weight_decay", decay, rate));
            all.extend(endless("expert.epochs", expert.epochs));
        }
        all.extend(self.clipped_away());
        all
    }

    /// Transforms that leave nothing of an update.
    fn clipped_away(&self) -> impl Iterator<Item = String> {
        let chosen = self.transforms.iter().map(|transform| &transform.chosen);
        let clips = chosen.filter(|chosen| chosen.name == "clip");
        let norms = clips.filter_map(|clip| clip.resolved.get("norm")?.as_float());
        norms.filter(|norm| *norm < TINY).map(|norm| {
            format!(
                "`transform.clip.norm` = {norm:e} leaves nothing of an update, and the model stays as it begins: norms from 0.01 to \
                 100 are usual"
            )
        })
    }
}

fn far_rate(key: &str, rate: f64) -> Option<String> {
    let what = match rate {
        rate if rate < TINY => "moves no weight that counts",
        rate if rate > HUGE => "throws weights beyond any use",
        _ => return None,
    };
    Some(format!(
        "`{key}` = {rate} {what}: rates from 0.0001 to 1 are usual"
    ))
}

fn strong_decay(key: &str, decay: f64, rate: f64) -> Option<String> {
    let usual = "decays from 0.00001 to 0.01 are usual";
    if rate * decay >= 1.0 {
        return Some(format!(
            "`{key}` = {decay} with the rate {rate} takes all of a weight away in each step: {usual}"
        ));
    }
    (decay >= STRONG).then(|| {
        format!("`{key}` = {decay} pulls weights to 0 harder than samples move them: {usual}")
    })
}

fn endless(key: &str, count: Count) -> Option<String> {
    let count = count.get();
    (count > ENDLESS).then(|| format!("`{key}` = {count} never ends: from 1 to 10,000 are usual"))
}
