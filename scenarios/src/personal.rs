//! What of a model stays with its client, and how clients come to models of their own.

use lyceum_core::{Network, Passes, Role};
use lyceum_strategies::personal::{Ditto, FedRep};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[personal]`: what of the model each client keeps for itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Personal {
    /// What stays with its client, and is in no sum: "norms" (all that normalisations have: FedBN), "statistics" (their running
    /// statistics alone), "head" (the last layer: FedPer), layers such as "2", or tensors such as "2.bias". With `fed_rep`
    /// "head" by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<Vec<String>>,
    /// Each client has a whole model besides, pulled towards the global one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ditto: Option<Ditto>,
    /// What stays with its client moves first, then the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fed_rep: Option<FedRep>,
}

impl Personal {
    /// The parts that stay with their clients.
    fn parts(&self) -> Vec<String> {
        match (&self.local, &self.fed_rep) {
            (Some(local), _) => local.clone(),
            (None, Some(_)) => vec!["head".into()],
            (None, None) => Vec::new(),
        }
    }

    /// What clients do in a call.
    pub(crate) fn passes(&self) -> Passes {
        let ditto = self.ditto.as_ref().map(Ditto::passes);
        let fed_rep = || self.fed_rep.as_ref().map(FedRep::passes);
        ditto.or_else(fed_rep).unwrap_or_default()
    }

    /// Keeps with its client what is named in a network; what is wrong and what would be right where a name names nothing.
    pub(crate) fn apply(&self, network: &mut Network) -> Result<(), (String, String)> {
        let names = tensors(network);
        let mut local = vec![false; names.len()];
        if self.local.is_none() && self.fed_rep.is_none() {
            return Ok(());
        }
        for name in &self.parts() {
            let named = self.named(name, network);
            if !named.contains(&true) {
                return Err(self.names_nothing(name, network));
            }
            let both = local.iter_mut().zip(named);
            both.for_each(|(local, named)| *local |= named);
        }
        if !local.contains(&true) {
            let message = "nothing stays with the clients".to_owned();
            return Err((
                message,
                "leave the table out, or name a part of the model".into(),
            ));
        }
        let local: Vec<&String> = names
            .iter()
            .zip(local)
            .filter(|(_, l)| *l)
            .map(|(n, _)| n)
            .collect();
        network.keep_local(|entry| local.contains(&&entry.name));
        Ok(())
    }

    /// What is wrong with a name that means no tensor, and which would be right.
    fn names_nothing(&self, name: &str, network: &Network) -> (String, String) {
        let message = match name {
            "norms" | "statistics" => {
                format!("the model has no normalisation that `{name}` could mean")
            }
            _ => format!("`{name}` is nothing in this model"),
        };
        let words = ["norms", "statistics", "head"];
        let there = words
            .into_iter()
            .filter(|word| self.named(word, network).contains(&true));
        let words: String = there.map(|word| format!("`{word}`, ")).collect();
        (
            message,
            format!(
                "{words}a layer or a tensor of {}",
                tensors(network).join(", ")
            ),
        )
    }

    /// One flag a tensor: whether a name means it.
    fn named(&self, name: &str, network: &Network) -> Vec<bool> {
        let entries = network.layout().entries().iter();
        let is_meant = |entry: &lyceum_core::Entry| match name {
            "norms" => network.is_norm(entry),
            "statistics" => network.is_norm(entry) && entry.role.is_statistic(),
            "head" => network.is_head(entry),
            other => {
                let layer = entry.name.split_once('.').map(|(layer, _)| layer);
                entry.role != Role::Frozen && (entry.name == other || layer == Some(other))
            }
        };
        entries.map(is_meant).collect()
    }
}

fn tensors(network: &Network) -> Vec<String> {
    let entries = network.layout().entries().iter();
    entries.map(|entry| entry.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::{Init, Layer};

    fn network() -> Network {
        let norm = Layer::BatchNorm {
            momentum: 0.1,
            epsilon: 1e-5,
        };
        let layers = vec![Layer::Dense { units: 3 }, norm, Layer::Dense { units: 2 }];
        Network::new(&[4], 2, layers, Init::He).unwrap()
    }

    fn local(names: &[&str]) -> Result<Vec<String>, String> {
        let mut network = network();
        let local = names.iter().map(|name| name.to_string()).collect();
        let personal = Personal {
            local: Some(local),
            ditto: None,
            fed_rep: None,
        };
        let applied = personal.apply(&mut network);
        applied.map_err(|(message, label)| format!("{message}; {label}"))?;
        let kept = network.layout().entries().iter();
        let kept = kept.filter(|entry| entry.role.is_local());
        Ok(kept.map(|entry| entry.name.clone()).collect())
    }

    #[test]
    fn parts_of_a_model_are_named_by_words_layers_and_tensors() {
        let norms = ["1.weight", "1.bias", "1.mean", "1.variance"];
        assert_eq!(local(&["norms"]).unwrap(), norms);
        assert_eq!(local(&["statistics"]).unwrap(), norms[2..]);
        assert_eq!(local(&["head"]).unwrap(), ["2.weight", "2.bias"]);
        assert_eq!(
            local(&["0.bias", "2"]).unwrap(),
            ["0.bias", "2.weight", "2.bias"]
        );
        let wrong = local(&["heads"]).unwrap_err();
        assert!(
            wrong.contains("`heads` is nothing in this model") && wrong.contains("0.weight"),
            "{wrong}"
        );
        assert!(local(&[]).is_err());
    }
}
