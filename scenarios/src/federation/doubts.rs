//! What about a scenario's samples is hardly meant, in sentences.

use super::{
    Kind, Loaded, Pool,
    overview::{kept_sizes, sizes},
};
use crate::{
    data::{Normalisation, TableNames, far_off, listed, ranges, same_samples},
    scenario::Scenario,
};
use lyceum_core::{Affine, Features, Network, Role, Samples};

impl Loaded {
    /// What is probably not meant, in sentences.
    pub fn warnings(&self, scenario: &Scenario, network: &Network) -> Vec<String> {
        let mut warnings = self.warnings.clone();
        let shown = match &self.kind {
            Kind::Pool(pool) => {
                warnings.extend(self.one_class(pool));
                warnings.extend(self.strange_labels(pool));
                warnings.extend(self.emptied(pool));
                warnings.extend(self.owners_left(scenario, pool));
                warnings.extend(same_again(scenario, pool));
                Some(&*pool.train)
            }
            Kind::OnDemand(_) => {
                warnings.extend(scenario.idle_on_demand());
                self.test()
            }
        };
        if let (Some(stream), Some(samples)) = (&scenario.stream, shown) {
            warnings.extend(stream.thin_buffers(self.classes, samples.sample_bytes()));
        }
        warnings.extend(shown.and_then(|samples| self.constant(samples)));
        let how = scenario.data.normalise;
        warnings.extend(shown.and_then(|samples| self.unscaled(samples, how)));
        warnings.extend(nothing_shared(network));
        warnings.extend(nothing_thaws(scenario, network));
        warnings.extend(shown.and_then(|samples| misread(scenario, network, samples)));
        warnings
    }

    /// Test labels that no training sample has. Of a table, that was said when it was read.
    fn strange_labels(&self, pool: &Pool) -> Option<String> {
        let told = |names: &TableNames| names.text.as_ref().is_none_or(|text| text.predicted);
        if self.names.as_ref().is_some_and(told) || pool.train.pairs().is_some() {
            return None;
        }
        let train = sizes(&pool.train, 0..pool.train.len());
        let test = sizes(&pool.test, 0..pool.test.len());
        let strange = || (0..self.classes).filter(|&class| train[class] == 0 && test[class] > 0);
        let samples: usize = strange().map(|class| test[class]).sum();
        (samples > 0).then(|| {
            format!(
                "{samples} of {} test samples have a label that no training sample has, and cannot be told: {}",
                pool.test.len(),
                self.classes_listed(strange())
            )
        })
    }

    /// Classes of which the validation set leaves nothing to learn from.
    fn emptied(&self, pool: &Pool) -> Option<String> {
        let all = sizes(&pool.train, 0..pool.train.len());
        let kept = kept_sizes(pool);
        let gone = || (0..self.classes).filter(|&class| all[class] > 0 && kept[class] == 0);
        gone().next()?;
        Some(format!(
            "`validation` in [data] holds back every training sample of {}: nobody learns what they are; give a smaller share, or more samples",
            self.classes_listed(gone())
        ))
    }

    fn classes_listed(&self, classes: impl Iterator<Item = usize>) -> String {
        let names = self.class_names();
        let name = |class: usize| {
            names
                .get(class)
                .cloned()
                .unwrap_or_else(|| class.to_string())
        };
        let names: Vec<String> = classes.map(name).collect();
        listed(names.iter())
    }

    fn one_class(&self, pool: &Pool) -> Option<String> {
        // The label of a pair is its task, and nobody is to tell it.
        if pool.train.pairs().is_some() {
            return None;
        }
        let sizes = kept_sizes(pool);
        let mut there = (0..self.classes).filter(|&class| sizes[class] > 0);
        let (only, None) = (there.next()?, there.next()) else {
            return None;
        };
        Some(format!(
            "all training samples are of one class, {}: there is nothing to tell apart",
            self.class_name(only)
        ))
    }

    fn unscaled(&self, samples: &Samples, how: Normalisation) -> Option<String> {
        let advice = match (&samples.features, how) {
            (_, Normalisation::Standard) => return None,
            (Features::U16(_) | Features::Sparse(_) | Features::Pairs(_), _) => return None,
            (Features::U8(_), Normalisation::Unit) if in_unit(&samples.affine) => return None,
            (Features::U8(_), Normalisation::Unit) => {
                "without `scale` bytes become 0 to 1".to_owned()
            }
            (Features::U8(_), Normalisation::None) => {
                brings("\"unit\"` in [data] takes bytes to 0 to 1, `\"standard\"")
            }
            (Features::F32(_), _) => brings("\"standard\""),
        };
        let what = far_off(samples, |column| self.feature_name(column))?;
        Some(format!("the features are not scaled: {what}; {advice}"))
    }

    /// Columns of a table that say nothing.
    fn constant(&self, samples: &Samples) -> Option<String> {
        if samples.shape.len() != 1 || samples.len() < 2 {
            return None;
        }
        let named = self
            .names
            .as_ref()
            .and_then(|names| names.features.as_ref());
        // Columns without names are places in a grid as often as not, and the margins of pictures are constant.
        let named = named?;
        let ranges = ranges(samples);
        let same = (0..ranges.len()).filter(|&column| ranges[column].0 == ranges[column].1);
        let same: Vec<String> = same
            .filter_map(|column| named.get(column).cloned())
            .collect();
        (!same.is_empty()).then(|| {
            format!(
                "features with one value for all training samples say nothing: {}",
                listed(same.iter())
            )
        })
    }

    fn feature_name(&self, column: usize) -> String {
        let names = self
            .names
            .as_ref()
            .and_then(|names| names.features.as_ref());
        let name = names.and_then(|names| names.get(column));
        name.map_or_else(|| format!("feature {column}"), |name| format!("`{name}`"))
    }

    /// Owners of samples that are no client of the run, or a client without a training sample.
    fn owners_left(&self, scenario: &Scenario, pool: &Pool) -> Vec<String> {
        let by_owner = scenario
            .partition
            .as_ref()
            .is_some_and(|p| p.plugin.keeps_owners());
        let (true, Some(natural)) = (by_owner, &pool.natural) else {
            return Vec::new();
        };
        let owners = natural.iter().max().map_or(0, |&last| last as usize + 1);
        let mut held = vec![0_usize; owners];
        pool.kept
            .iter()
            .for_each(|&place| held[natural[place as usize] as usize] += 1);
        let known = self.names.as_ref().map(|names| &names.owners);
        let name = |owner: usize| {
            let name = known.and_then(|names| names.get(owner));
            name.cloned().unwrap_or_else(|| owner.to_string())
        };
        let clients = scenario.data.clients.get();
        let mut warnings = Vec::new();
        if owners > clients {
            let left: Vec<String> = (clients..owners).map(name).collect();
            let samples: usize = held[clients..].iter().sum();
            warnings.push(format!(
                "{} of {owners} owners are left out, as `clients` in [data] is {clients}: nobody trains on the {samples} samples of {}",
                left.len(),
                listed(left.iter())
            ));
        }
        let empty = (0..owners.min(clients)).filter(|&owner| held[owner] == 0);
        let mut empty: Vec<String> = empty.map(name).collect();
        let without = self.names.iter().flat_map(|names| &names.without);
        empty.extend(without.cloned());
        if !empty.is_empty() {
            warnings.push(format!(
                "owners without a training sample, as all of theirs went to test or validation: {}",
                listed(empty.iter())
            ));
        }
        warnings
    }
}

/// Test samples that are those to train on, whatever the files are called.
fn same_again(scenario: &Scenario, pool: &Pool) -> Option<String> {
    let (train, test) = (&pool.train, &pool.test);
    let same = train.labels == test.labels && train.targets == test.targets;
    let told = same_samples();
    let known = scenario.data_set.plugin.warnings().contains(&told);
    let same = same && !known && train.features == test.features;
    same.then_some(told)
}

/// What becomes of values with a normalisation.
fn brings(normalise: &str) -> String {
    format!("`normalise = {normalise}` brings each to mean 0 and deviation 1")
}

/// Whether the largest byte becomes a value that is neither tiny nor large.
fn in_unit(affine: &Affine) -> bool {
    let largest = affine.scale.iter().map(|scale| 255.0 * scale.abs());
    largest
        .into_iter()
        .all(|largest| (0.5..=30.0).contains(&largest))
}

/// Layers that stay as they are, and are all that there are.
fn nothing_thaws(scenario: &Scenario, network: &Network) -> Option<String> {
    let stream = scenario.stream.as_ref()?;
    let freeze = stream
        .methods
        .iter()
        .find(|method| method.name == "freeze")?;
    let list = |key: &str| freeze.resolved.get(key).and_then(|list| list.as_array());
    let layer = |tensor: &str| tensor.split('.').next().unwrap_or_default().to_owned();
    let entries = || {
        network
            .layout()
            .entries()
            .iter()
            .map(|entry| entry.name.as_str())
    };
    let mut layers: Vec<String> = entries().map(layer).collect();
    layers.dedup();
    let numbers = list("layers").into_iter().flatten();
    let numbers = numbers.filter_map(|n| layers.get(usize::try_from(n.as_integer()?).ok()?));
    let names = list("names")
        .into_iter()
        .flatten()
        .filter_map(|n| n.as_str());
    let frozen: Vec<&str> = numbers.map(String::as_str).chain(names).collect();
    let stays = |tensor: &str| frozen.iter().any(|f| *f == tensor || *f == layer(tensor));
    let all = entries().next().is_some() && entries().all(stays);
    let after = freeze
        .resolved
        .get("after")
        .and_then(toml::Value::as_integer);
    let from = match after {
        Some(0) => "nothing trains".to_owned(),
        Some(1) => "nothing trains after a client's first task".to_owned(),
        after => format!(
            "nothing trains after a client's first {} tasks",
            after.unwrap_or_default()
        ),
    };
    all.then(|| {
        format!(
            "`freeze` in scenario.{} names every layer of the model: {from}; leave out those that are to learn",
            stream.kind.name
        )
    })
}

/// Tokens that a model takes for measurements, or counts that it takes for tokens.
fn misread(scenario: &Scenario, network: &Network, samples: &Samples) -> Option<String> {
    let (set, model) = (scenario.data_set.name, scenario.model.name);
    match (&samples.features, network.vocabulary()) {
        (Features::U16(_), None) => Some(format!(
            "`{model}` takes the numbers of tokens for measurements, and they are names: a model of tokens begins with an embedding, as \
             `text_classifier` with its `vocabulary` does; for this one, count words by `tokens = \"hashed\"` in data.set.{set}"
        )),
        (Features::Sparse(_), Some((_, layer))) => Some(format!(
            "the layer `{layer}` of `{model}` takes counts of words for tokens: counts go into an `embedding_bag`, as in \
             `text_classifier` without `vocabulary`, or into plain layers"
        )),
        _ => None,
    }
}

/// A model of which every part stays with its client.
fn nothing_shared(network: &Network) -> Option<String> {
    let mut learned = network
        .layout()
        .entries()
        .iter()
        .filter(|e| e.role != Role::Frozen)
        .peekable();
    learned.peek()?;
    learned.all(|entry| entry.role.is_local()).then(|| {
        "nothing of the model is shared: `[personal]` leaves every part of it with the clients, and the global model stays as \
         it begins".into()
    })
}
