//! Whether samples, model and loss go together.

use super::{Kind, Loaded};
use crate::scenario::Scenario;
use lyceum_core::{Augmentation, Loss, Network, Probe, Samples};

/// A key, what is wrong with it, and what would be right.
pub(super) type Unfit = (String, String, String);

impl Loaded {
    /// What of the model or the loss does not go with the samples.
    pub(super) fn unfit(&self, scenario: &Scenario, network: &Network) -> Option<Unfit> {
        let parts = self.parts();
        let first = *parts.first()?;
        pairs(scenario, network, first)
            .or_else(|| weights(scenario, network))
            .or_else(|| answers(scenario, network, first))
            .or_else(|| loss(scenario, first))
            .or_else(|| tokens(scenario, network, &parts))
            .or_else(|| augmentation(scenario, network, first))
            .or_else(|| measures(scenario, network))
    }

    /// Training and test samples that are at hand.
    fn parts(&self) -> Vec<&Samples> {
        match &self.kind {
            Kind::Pool(pool) => vec![&*pool.train, &*pool.test],
            Kind::OnDemand(federation) => {
                let test = federation.probe(Probe::Test);
                test.map(|samples| &**samples).into_iter().collect()
            }
        }
    }
}

fn of_model(scenario: &Scenario) -> String {
    format!("model.{}", scenario.model.name)
}

/// Pairs ask for a contrastive loss and an embedding of both halves, and the loss for pairs.
fn pairs(scenario: &Scenario, network: &Network, samples: &Samples) -> Option<Unfit> {
    let set = scenario.data_set.name;
    let contrasts = scenario.training.loss.contrastive().is_some();
    match (samples.pairs(), contrasts) {
        (None, true) => Some((
            "training.loss".to_owned(),
            "a contrastive loss is one of pairs".to_owned(),
            format!("`{set}` has single samples: take `lean-premises`, or a loss of classes"),
        )),
        (Some(_), false) => Some((
            "training.loss".to_owned(),
            format!("the samples of `{set}` are pairs, which have no class"),
            "expected `loss = { contrastive = {} }`".to_owned(),
        )),
        (Some(_), true)
            if !network.classes().is_multiple_of(2) || network.classes() < samples.classes =>
        {
            let least = samples.classes.div_ceil(2);
            Some((
                of_model(scenario),
                format!("the model gives {} values a pair", network.classes()),
                format!(
                    "an embedding of each half: `[model.dual_encoder]` of a width of at least {least}"
                ),
            ))
        }
        _ => None,
    }
}

fn weights(scenario: &Scenario, network: &Network) -> Option<Unfit> {
    let (given, classes) = (
        scenario.training.class_weights.as_ref()?.len(),
        network.classes(),
    );
    (given != classes).then(|| {
        (
            "training.class_weights".to_owned(),
            format!("{given} weights are given for {classes} classes"),
            "expected one weight a class, in the order of the classes".to_owned(),
        )
    })
}

fn answers(scenario: &Scenario, network: &Network, samples: &Samples) -> Option<Unfit> {
    let (given, wanted) = (network.answers(), samples.answers());
    if given != wanted {
        let each = |answers: usize| match answers {
            1 => "one answer a sample".to_owned(),
            _ => format!("{answers} answers a sample, one a place"),
        };
        let message = format!("the model gives {}", each(given));
        let expected = format!(
            "the samples ask for {}: pool the places, or answer at each of them",
            each(wanted)
        );
        return Some((of_model(scenario), message, expected));
    }
    (given > 1 && scenario.stream.is_some()).then(|| {
        let stream = scenario.stream.as_ref().map_or("", |s| s.kind.name);
        (
            format!("scenario.{stream}"),
            "streams of tasks have one answer a sample".to_owned(),
            format!("these samples have {given}: leave the stream out, or answer with a label"),
        )
    })
}

fn loss(scenario: &Scenario, samples: &Samples) -> Option<Unfit> {
    let of_classes = scenario.training.loss.needs_classes();
    (of_classes && !samples.goals.is_empty()).then(|| {
        (
            "training.loss".to_owned(),
            "this loss is one of classes, and the samples have values to be met".to_owned(),
            "expected mean-squared, huber, cosine or multi-label".to_owned(),
        )
    })
}

/// Looks at every value where the first layer takes whole numbers alone.
fn tokens(scenario: &Scenario, network: &Network, parts: &[&Samples]) -> Option<Unfit> {
    let (size, layer) = network.vocabulary()?;
    let wrong = |value: &f32| !(*value >= 0.0 && *value < size as f32 && value.fract() == 0.0);
    for (part, samples) in ["training", "test"].into_iter().zip(parts) {
        for index in 0..samples.len() {
            let values = samples.values(index);
            if let Some(place) = values.iter().position(wrong) {
                return Some((
                    of_model(scenario),
                    format!(
                        "{part} sample {index} holds {} at place {place}",
                        values[place]
                    ),
                    format!(
                        "the layer `{layer}` knows the whole numbers 0 to {}",
                        size.saturating_sub(1)
                    ),
                ));
            }
        }
    }
    None
}

fn augmentation(scenario: &Scenario, network: &Network, samples: &Samples) -> Option<Unfit> {
    let key = || "training.augment".to_owned();
    let changes = &scenario.training.augment;
    let mixes = |change: &Augmentation| matches!(change, Augmentation::Mixup(_));
    if changes.iter().any(mixes)
        && (scenario.training.loss != Loss::CrossEntropy || samples.answers() > 1)
    {
        let message = "`mixup` mixes labels, which is for the cross entropy of one label a sample";
        let expected = "leave it out, or take loss = \"cross-entropy\"";
        return Some((key(), message.to_owned(), expected.to_owned()));
    }
    if let Some((size, layer)) = network.vocabulary() {
        let beyond = |change: &Augmentation| match change {
            Augmentation::DropTokens(drop) => drop.token as usize >= size,
            _ => true,
        };
        if changes.iter().any(beyond) {
            let message = format!(
                "the layer `{layer}` knows the whole numbers 0 to {}, and this gives others",
                size.saturating_sub(1)
            );
            let expected = "expected `drop_tokens` alone, with a token that the layer knows";
            return Some((key(), message, expected.to_owned()));
        }
    }
    let unfit = |change: &Augmentation| change.unfit(&samples.shape);
    let (message, expected) = changes.iter().find_map(unfit)?;
    Some((key(), message, expected))
}

/// Measures that cannot say anything of so many classes.
fn measures(scenario: &Scenario, network: &Network) -> Option<Unfit> {
    let (asked, classes) = (&scenario.evaluation, network.classes());
    if asked.roc && classes != 2 {
        return Some((
            "evaluation.roc".to_owned(),
            format!("the area under the ROC curve is of two classes, and there are {classes}"),
            "leave it out".to_owned(),
        ));
    }
    let top = asked.top.filter(|top| top.get() >= classes)?;
    Some((
        "evaluation.top".to_owned(),
        format!(
            "every class is among the {} largest of {classes}",
            top.get()
        ),
        "expected less than the number of classes".to_owned(),
    ))
}
