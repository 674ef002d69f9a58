//! Engines that train the models of Lyceum: a fused one of our own, and Burn on each of its devices.
//!
//! The crate turns a [`Network`] and flat parameters into losses, gradients and logits, one
//! [`Learner`] per thread. An engine is a name in a list, so a caller knows
//! every engine there could be and learns from the error of `build` how to get a missing one.
//!
//! What it never does: it knows no client, round, strategy or message; it draws no random number of
//! its own (dropout masks come with the batch); and on the processor it starts no thread, so that
//! the same inputs give the same bits on every call and every thread.

mod autodiff;
mod flat;
mod fused;
mod idle;
mod image;
mod learner;
mod local;
mod norm;
mod pass;
mod resident;
mod rule;
mod variational;
mod walk;
#[cfg(feature = "wgpu")]
mod wgpu;
mod written;

pub use autodiff::{Differentiable, by_autodiff};
pub use burn;
pub use burn::tensor::Device;
pub use fused::FusedLearner;
pub use idle::IdleLearner;
pub use learner::BurnLearner;
pub use local::LocalLearner;
pub use resident::{ResidentLearner, models_copied};
pub use variational::VariationalLearner;

use lyceum_core::{Engine, Layer, Learner, Network, Variational};

/// All engines, whether or not this build contains them.
pub fn engines() -> Vec<Engine> {
    vec![
        Engine {
            name: "fused",
            summary: "hand-written layers on the processor, one thread per learner; the fastest for small models",
            build: fused,
        },
        Engine {
            name: "flex",
            summary: "Burn on the processor, one thread per learner",
            build: flex,
        },
        Engine {
            name: "ndarray",
            summary: "Burn with ndarray on the processor; a second opinion on every gradient",
            build: ndarray,
        },
        Engine {
            name: "wgpu",
            summary: "Burn on a graphics processor (Vulkan, Metal or DirectX); for large models",
            build: wgpu,
        },
        Engine {
            name: "idle",
            summary: "changes nothing; shows what a run costs besides training",
            build: idle,
        },
    ]
}

/// A learner for the network; where its weights are distributions, one of the plain network that is shown draws of them.
fn on<L: Learner + 'static>(
    engine: &str,
    network: &Network,
    learner: impl FnOnce(&Network) -> L,
) -> Result<Box<dyn Learner>, String> {
    match network.posterior() {
        None => Ok(Box::new(learner(network))),
        Some(Variational { local: true, .. }) => Err(format!(
            "engine \"{engine}\" has no local reparameterisation: use \"fused\", or leave out variational.local"
        )),
        Some(_) => Ok(Box::new(VariationalLearner::new(
            network,
            learner(&network.plain()),
        ))),
    }
}

fn idle(network: &Network) -> Result<Box<dyn Learner>, String> {
    Ok(Box::new(IdleLearner::new(network)))
}

fn fused(network: &Network) -> Result<Box<dyn Learner>, String> {
    match (network.posterior(), network.unlike_local()) {
        (Some(Variational { local: true, .. }), None) => Ok(Box::new(LocalLearner::new(network))),
        (Some(Variational { local: true, .. }), Some((at, layer))) => Err(format!(
            "engine \"fused\" has no local reparameterisation for layer {at}, `{layer}`: leave out variational.local"
        )),
        _ => on("fused", network, FusedLearner::new),
    }
}

/// A learner of Burn. Networks with layers of other kinds go layer by layer, by way of the processor's memory: a layer that the core
/// knows is Burn's, another one its own.
fn burn_on(engine: &str, network: &Network, device: Device) -> Result<Box<dyn Learner>, String> {
    match network.beyond_known() {
        None => on(engine, network, |network| BurnLearner::new(network, device)),
        Some(_) => on(engine, network, |network| {
            let make = |layer: &Layer, place: usize, input: &[usize]| {
                written::operation(layer, place, input, &device)
            };
            FusedLearner::apart(network, &make)
        }),
    }
}

#[cfg(feature = "flex")]
fn flex(network: &Network) -> Result<Box<dyn Learner>, String> {
    burn_on("flex", network, Device::flex())
}

#[cfg(not(feature = "flex"))]
fn flex(_: &Network) -> Result<Box<dyn Learner>, String> {
    Err(absent("flex"))
}

#[cfg(feature = "ndarray")]
#[expect(
    deprecated,
    reason = "Burn will drop ndarray; until then it is our second opinion"
)]
fn ndarray(network: &Network) -> Result<Box<dyn Learner>, String> {
    burn_on("ndarray", network, Device::ndarray())
}

#[cfg(not(feature = "ndarray"))]
fn ndarray(_: &Network) -> Result<Box<dyn Learner>, String> {
    Err(absent("ndarray"))
}

#[cfg(feature = "wgpu")]
fn wgpu(network: &Network) -> Result<Box<dyn Learner>, String> {
    let device = wgpu::device()?;
    match network.beyond_known() {
        None => on("wgpu", network, |network| {
            ResidentLearner::new(network, device)
        }),
        Some(_) => burn_on("wgpu", network, device),
    }
}

#[cfg(not(feature = "wgpu"))]
fn wgpu(_: &Network) -> Result<Box<dyn Learner>, String> {
    Err(absent("wgpu"))
}

/// Why an engine is missing, and what to do.
#[cfg(not(all(feature = "flex", feature = "ndarray", feature = "wgpu")))]
fn absent(name: &str) -> String {
    let advice =
        format!("engine \"{name}\" is not in this build: rebuild with `--features {name}`");
    format!("{advice}, or use one of: {}", compiled().join(", "))
}

#[cfg(not(all(feature = "flex", feature = "ndarray", feature = "wgpu")))]
fn compiled() -> Vec<&'static str> {
    [
        ("fused", true),
        ("flex", cfg!(feature = "flex")),
        ("ndarray", cfg!(feature = "ndarray")),
        ("wgpu", cfg!(feature = "wgpu")),
    ]
    .into_iter()
    .filter_map(|(name, there)| there.then_some(name))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::{Init, Layer};

    #[test]
    fn every_engine_is_listed_and_builds_or_says_why_not() {
        let layers = vec![Layer::Dense { units: 2 }];
        let network = Network::new(&[3], 2, layers, Init::He).unwrap();
        let names: Vec<_> = engines().iter().map(|e| e.name).collect();
        assert_eq!(names, ["fused", "flex", "ndarray", "wgpu", "idle"]);
        for engine in engines() {
            if let Err(reason) = (engine.build)(&network) {
                assert!(
                    reason.starts_with(&format!("engine \"{}\"", engine.name)),
                    "{reason}"
                );
                assert!(reason.contains("rebuild with") || reason.contains("adapter"));
            }
        }
    }
}
