//! What is waited for, and from whom, in words.

use super::{Dispatch, Node};
use lyceum_core::Time;
use lyceum_protocol::message::NodeName;
use std::collections::BTreeMap;

/// Nodes that are named at most.
const NAMED: usize = 6;

impl Dispatch {
    /// Which units are not answered, and who has them; empty if there are none.
    pub fn missing(&self, now: Time) -> String {
        let (mut held, mut owned, mut free) = (BTreeMap::new(), BTreeMap::new(), 0);
        for unit in self.units.values() {
            for name in unit.holders.keys() {
                *held.entry(name).or_insert(0_usize) += 1;
            }
            match &unit.owner {
                _ if !unit.holders.is_empty() => {}
                Some(owner) => *owned.entry(owner).or_insert(0) += 1,
                None => free += 1,
            }
        }
        let mut parts: Vec<String> = Vec::new();
        let holds = |(name, n): (&&NodeName, &usize)| {
            format!("{name} holds {} and {}", units(*n), self.state(name, now))
        };
        parts.extend(named(held.iter().map(holds)));
        let lacks = |(name, n): (&&NodeName, &usize)| {
            let waits = if *n == 1 { "waits" } else { "wait" };
            format!(
                "{} {waits} for {name}, which {}",
                units(*n),
                self.state(name, now)
            )
        };
        parts.extend(named(owned.iter().map(lacks)));
        if free > 0 {
            let workers = self.nodes.values().filter(|n| n.is_worker()).count();
            let waits = if free == 1 { "waits" } else { "wait" };
            parts.push(match workers {
                0 => format!("{} {waits} for a node, and no node is ready", units(free)),
                _ => format!("{} {waits} for a node with room", units(free)),
            });
        }
        parts.join("; ")
    }

    fn state(&self, name: &NodeName, now: Time) -> String {
        let ago = |node: &Node| now.0.saturating_sub(node.heard.0) / 1_000_000;
        match self.nodes.get(name) {
            None => "has never connected".into(),
            Some(node) if node.peer.is_none() => {
                format!("is not connected; it was heard {} s ago", ago(node))
            }
            Some(node) if !node.ready => "is preparing its data".into(),
            Some(node) => format!("was heard {} s ago", ago(node)),
        }
    }
}

fn units(n: usize) -> String {
    format!("{n} {}", if n == 1 { "unit" } else { "units" })
}

/// The first few, and how many more there are.
fn named(all: impl ExactSizeIterator<Item = String>) -> Vec<String> {
    let more = all.len().saturating_sub(NAMED);
    let mut named: Vec<String> = all.take(NAMED).collect();
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    named
}
