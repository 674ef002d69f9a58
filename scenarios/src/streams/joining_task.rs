//! Tasks that join a stream while the run goes on.

use lyceum_core::{FactError, Lens, Members, Samples, Task, TaskDefinition, TaskMaker};

/// Makes tasks that show all samples of some classes.
#[derive(Debug)]
pub(crate) struct ByClasses {
    /// Places of the test samples of each class of the data.
    probes: Vec<Vec<u32>>,
    /// The label that stands for each class.
    names: Vec<u32>,
    /// How samples are shown.
    lens: Lens,
}

impl ByClasses {
    /// For test samples, classes that are called so, and a lens that shows them.
    pub(crate) fn new(test: &Samples, names: &[u32], lens: Lens) -> Self {
        let mut probes = vec![Vec::new(); test.classes];
        for (place, &label) in (0..).zip(&test.labels) {
            probes[label as usize].push(place);
        }
        Self {
            probes,
            names: names.to_vec(),
            lens,
        }
    }
}

impl TaskMaker for ByClasses {
    fn task(&self, definition: &TaskDefinition) -> Result<Task, FactError> {
        let TaskDefinition { name, classes } = definition;
        let refuse = |why: String| Err(FactError(format!("task `{name}`: {why}")));
        let all = self.probes.len();
        let mut flags = vec![false; all];
        for &class in classes {
            match flags.get_mut(class as usize) {
                None => {
                    return refuse(format!(
                        "the data have no class {class}: expected 0 to {}",
                        all - 1
                    ));
                }
                Some(true) => return refuse(format!("class {class} stands twice")),
                Some(flag) => *flag = true,
            }
        }
        let classes: Vec<usize> = (0..all).filter(|&class| flags[class]).collect();
        let mut probe: Vec<u32> = classes
            .iter()
            .flat_map(|&c| self.probes[c].clone())
            .collect();
        probe.sort_unstable();
        if probe.is_empty() {
            return refuse("expected one class or more that has test samples".into());
        }
        let mut labels: Vec<u32> = classes.iter().map(|&class| self.names[class]).collect();
        labels.sort_unstable();
        Ok(Task {
            name: name.clone(),
            train: Members::Classes(flags.into()),
            probe: probe.into(),
            classes: labels.into(),
            lens: self.lens.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::{Affine, Features};

    #[test]
    fn a_task_shows_its_classes_and_what_cannot_be_is_refused() {
        let test = Samples {
            shape: vec![1],
            classes: 4,
            features: Features::F32(vec![0.0; 6]),
            labels: vec![0, 2, 1, 2, 0, 1],
            targets: Vec::new(),
            goals: Vec::new(),
            affine: Affine::identity(),
        };
        let maker = ByClasses::new(&test, &[3, 2, 1, 0], Lens::default());
        let task = |classes: &[u32]| {
            maker.task(&TaskDefinition {
                name: "late".into(),
                classes: classes.to_vec(),
            })
        };
        let made = task(&[2, 0]).unwrap();
        assert_eq!(
            (&made.probe[..], &made.classes[..]),
            (&[0, 1, 3, 4][..], &[1, 3][..])
        );
        let why = |classes: &[u32]| task(classes).unwrap_err().0;
        assert_eq!(
            why(&[4]),
            "task `late`: the data have no class 4: expected 0 to 3"
        );
        assert_eq!(why(&[1, 1]), "task `late`: class 1 stands twice");
        assert!(why(&[]).contains("one class or more"));
        assert!(why(&[3]).contains("has test samples"));
    }
}
