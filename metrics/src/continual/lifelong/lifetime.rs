//! What a learner lived through.

/// One experience: an episode, a batch, a round of a federation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Experience {
    /// Number in the lifetime, not decreasing. Experiences of equal number, as those of several
    /// workers, are averaged where single values matter.
    pub number: u64,
    /// Performance, such as an accuracy or a reward; finite, higher is better.
    pub performance: f64,
}

/// Whether a block teaches or tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BlockKind {
    /// A learning block.
    Train,
    /// An evaluation block: nothing is learned.
    Test,
}

/// A stretch of experiences of one kind on one task.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Number of the block in its scenario. An evaluation of several tasks is several blocks with the
    /// same number.
    pub number: u64,
    /// Learning or evaluation.
    pub kind: BlockKind,
    /// Whether the learner was asleep. If any block is, evaluations awake are left out.
    pub asleep: bool,
    /// Name of the task, perhaps with its variant after an underscore.
    pub task: String,
    /// In order.
    pub experiences: Vec<Experience>,
}

impl Block {
    /// Performances in order.
    pub(crate) fn performances(&self) -> impl Iterator<Item = f64> {
        self.experiences
            .iter()
            .map(|experience| experience.performance)
    }
}

/// The blocks of a learner's life, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lifetime {
    /// In order of time.
    pub blocks: Vec<Block>,
}

impl Lifetime {
    /// The same lifetime where variants of a task count as one: names are cut at their first
    /// underscore, and neighbouring blocks that are now the same become one.
    pub fn without_variants(&self) -> Self {
        let mut blocks: Vec<Block> = Vec::new();
        for block in &self.blocks {
            let task = without_variant(&block.task).to_owned();
            match blocks.last_mut() {
                Some(last)
                    if (last.number, last.kind, last.asleep)
                        == (block.number, block.kind, block.asleep)
                        && last.task == task =>
                {
                    last.experiences.extend(&block.experiences);
                }
                _ => blocks.push(Block {
                    task,
                    ..block.clone()
                }),
            }
        }
        Self { blocks }
    }

    /// Tasks in order of their first learning block, then those that are only evaluated.
    pub fn tasks(&self) -> Vec<String> {
        let mut order: Vec<&Block> = self.blocks.iter().collect();
        order.sort_by_key(|block| (block.kind, block.number));
        let mut tasks: Vec<String> = Vec::new();
        for block in order {
            if !tasks.contains(&block.task) {
                tasks.push(block.task.clone());
            }
        }
        tasks
    }
}

/// A learner that was trained on one task only.
#[derive(Clone, Debug, PartialEq)]
pub struct Expert {
    /// The task.
    pub task: String,
    /// Its learning blocks in order.
    pub blocks: Vec<Vec<Experience>>,
}

impl Expert {
    /// The expert whose lifetime this is; `None` unless exactly one task is trained.
    pub fn from_lifetime(lifetime: &Lifetime) -> Option<Self> {
        let trained = lifetime
            .blocks
            .iter()
            .filter(|block| block.kind == BlockKind::Train);
        let task = trained.clone().next()?.task.clone();
        trained
            .clone()
            .all(|block| block.task == task)
            .then(|| Self {
                task,
                blocks: trained.map(|block| block.experiences.clone()).collect(),
            })
    }

    /// Whether this expert serves for a task: it has its name or is a variant of it.
    pub(crate) fn serves(&self, task: &str) -> bool {
        self.task == task || without_variant(&self.task) == task
    }
}

/// A task's name up to its first underscore.
pub(crate) fn without_variant(task: &str) -> &str {
    task.split('_').next().unwrap_or(task)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(number: u64, kind: BlockKind, task: &str) -> Block {
        Block {
            number,
            kind,
            asleep: false,
            task: task.to_owned(),
            experiences: vec![Experience {
                number,
                performance: 0.5,
            }],
        }
    }

    #[test]
    fn variants_of_a_task_become_one() {
        let blocks = vec![
            block(0, BlockKind::Test, "a_1"),
            block(0, BlockKind::Test, "a_2"),
            block(1, BlockKind::Train, "b_1"),
            block(2, BlockKind::Train, "a_2"),
        ];
        let found = Lifetime { blocks }.without_variants();
        let shape = found.blocks.iter();
        let shape: Vec<_> = shape
            .map(|block| (block.task.as_str(), block.experiences.len()))
            .collect();
        assert_eq!(shape, [("a", 2), ("b", 1), ("a", 1)]);
        assert_eq!(found.tasks(), ["b", "a"]);
    }

    #[test]
    fn an_expert_has_one_task() {
        let blocks = vec![
            block(0, BlockKind::Test, "b"),
            block(1, BlockKind::Train, "a_1"),
        ];
        let mut lifetime = Lifetime { blocks };
        let expert = Expert::from_lifetime(&lifetime).unwrap();
        assert!(expert.serves("a_1") && expert.serves("a") && !expert.serves("a_2"));
        lifetime.blocks.push(block(2, BlockKind::Train, "b"));
        assert_eq!(Expert::from_lifetime(&lifetime), None);
    }
}
