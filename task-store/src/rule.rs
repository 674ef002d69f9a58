//! Merge rules: which version stands where one sample, or one shared piece, comes in two.

use crate::{StoreError, sample::Difficulty};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// The rule of LeanAgent (section A.3 of arXiv 2410.06209 and its code).
pub const PUBLISHED: &str = "published";

/// One of two versions.
#[derive(Clone, Debug, PartialEq)]
pub struct Version<'a> {
    /// Its record as JSON, keys in order; empty where the rule does not ask for it.
    pub record: &'a str,
    /// How hard it is.
    pub difficulty: Difficulty,
    /// Whether nobody has solved it.
    pub unsolved: bool,
    /// Number of the fact that brought it: the greater, the later.
    pub fact: u64,
}

/// Which version stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The one that was there, or stands first in what is merged.
    Held,
    /// The one that comes.
    New,
}

/// Decides between two versions of one sample, or of one shared piece.
///
/// **Invariant:** a function of its arguments. It is asked again when the tables are made again from the log, and what it does not
/// decide (which samples there are, and what they are for) no rule can change.
pub trait MergeRule: Send + Sync + fmt::Debug {
    /// Whether it looks at records; if not, they are empty, and nothing is read from the disk.
    fn looks_at_records(&self) -> bool {
        true
    }

    /// Between versions of a sample.
    fn sample(&self, held: &Version<'_>, new: &Version<'_>) -> Choice;

    /// Between versions of a piece that tasks share.
    fn piece(&self, held: &Version<'_>, new: &Version<'_>) -> Choice;
}

/// A rule that looks at nothing but which came first.
#[derive(Clone, Copy, Debug)]
struct ByOrder {
    sample: Choice,
    piece: Choice,
}

impl MergeRule for ByOrder {
    fn looks_at_records(&self) -> bool {
        false
    }

    fn sample(&self, _: &Version<'_>, _: &Version<'_>) -> Choice {
        self.sample
    }

    fn piece(&self, _: &Version<'_>, _: &Version<'_>) -> Choice {
        self.piece
    }
}

/// The easier version of a sample stands: a solved one beats an unsolved one, a known difficulty an unknown one. Of pieces, the first.
#[derive(Clone, Copy, Debug)]
struct Easiest;

impl MergeRule for Easiest {
    fn looks_at_records(&self) -> bool {
        false
    }

    fn sample(&self, held: &Version<'_>, new: &Version<'_>) -> Choice {
        let rank = |version: &Version<'_>| {
            let known = version.difficulty.ordered();
            (version.unsolved, known.is_none(), known)
        };
        match rank(new) < rank(held) {
            true => Choice::New,
            false => Choice::Held,
        }
    }

    fn piece(&self, _: &Version<'_>, _: &Version<'_>) -> Choice {
        Choice::Held
    }
}

/// Merge rules by name.
#[derive(Clone, Debug)]
pub struct Rules(BTreeMap<String, (String, Arc<dyn MergeRule>)>);

impl Default for Rules {
    fn default() -> Self {
        let mut rules = Self(BTreeMap::new());
        let order = |sample, piece| ByOrder { sample, piece };
        rules.add(
            PUBLISHED,
            "of a sample the latest version stands, of a shared piece the first (LeanAgent)",
            order(Choice::New, Choice::Held),
        );
        rules.add(
            "latest",
            "the latest version stands",
            order(Choice::New, Choice::New),
        );
        rules.add(
            "first",
            "the first version stands",
            order(Choice::Held, Choice::Held),
        );
        rules.add(
            "easiest",
            "of a sample the solved, then the easier version stands, of a shared piece the first",
            Easiest,
        );
        rules
    }
}

impl Rules {
    /// Adds a rule, in the place of any other of this name.
    pub fn add(&mut self, name: &str, summary: &str, rule: impl MergeRule + 'static) {
        self.0.insert(name.into(), (summary.into(), Arc::new(rule)));
    }

    /// Names and what they do, in one line each.
    pub fn list(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, (summary, _))| (name.as_str(), summary.as_str()))
    }

    /// The rule of a name.
    pub fn find(&self, name: &str) -> Result<Arc<dyn MergeRule>, StoreError> {
        let found = self.0.get(name).map(|(_, rule)| rule.clone());
        found.ok_or_else(|| {
            let names: Vec<_> = self.0.keys().map(|name| format!("`{name}`")).collect();
            StoreError::refused(format!(
                "there is no merge rule `{name}`; {} are there, and the command of a crate with rules of its own knows those as well",
                names.join(", ")
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(difficulty: Difficulty, unsolved: bool) -> Version<'static> {
        Version {
            record: "",
            difficulty,
            unsolved,
            fact: 0,
        }
    }

    #[test]
    fn rules_choose_as_their_names_say() {
        let rules = Rules::default();
        let three = version(Difficulty::Known(3.0), false);
        let four = version(Difficulty::Known(4.0), false);
        let choose = |name: &str, held: &Version<'_>, new: &Version<'_>| {
            let rule = rules.find(name).unwrap();
            (rule.sample(held, new), rule.piece(held, new))
        };
        assert_eq!(
            choose("published", &three, &four),
            (Choice::New, Choice::Held)
        );
        assert_eq!(choose("latest", &three, &four), (Choice::New, Choice::New));
        assert_eq!(choose("first", &four, &three), (Choice::Held, Choice::Held));
        assert_eq!(choose("easiest", &four, &three).0, Choice::New);
        assert_eq!(choose("easiest", &three, &three).0, Choice::Held);
        let sorry = version(Difficulty::Infinite, true);
        let unknown = version(Difficulty::Unknown, false);
        assert_eq!(choose("easiest", &sorry, &unknown).0, Choice::New);
        assert_eq!(choose("easiest", &unknown, &four).0, Choice::New);
        let fault = rules.find("mine").unwrap_err().to_string();
        assert!(
            fault.contains("`mine`") && fault.contains("`published`"),
            "{fault}"
        );
    }
}
