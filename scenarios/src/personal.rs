//! What of a model stays with its client.

use lyceum_core::{Network, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[personal]`: what of the model each client keeps for itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Personal {
    /// What stays with its client, and is in no sum: "norms" (all that normalisations have: FedBN), "statistics" (their running
    /// statistics alone), "head" (the last layer: FedPer), layers such as "2", or tensors such as "2.bias".
    pub local: Vec<String>,
}

impl Personal {
    /// Keeps with its client what is named in a network; what is wrong and what would be right where a name names nothing.
    pub(crate) fn apply(&self, network: &mut Network) -> Result<(), (String, String)> {
        let names = tensors(network);
        let mut local = vec![false; names.len()];
        for name in &self.local {
            let named = self.named(name, network);
            if !named.contains(&true) {
                let message = format!("`{name}` is nothing in this model");
                let words = "`norms`, `statistics`, `head`, a layer or a tensor";
                return Err((message, format!("{words} of {}", names.join(", "))));
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
        let applied = Personal { local }.apply(&mut network);
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
