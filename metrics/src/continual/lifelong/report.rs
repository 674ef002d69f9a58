//! The whole suite at once.

use super::block_statistics::{mean, terminal_performance};
use super::experts::{SampleEfficiency, compared, relative_performance, sample_efficiency};
use super::lifetime::{Block, BlockKind, Expert, Lifetime};
use super::maintenance::{Reference, maintenance, runs};
use super::prepare::{Prepared, prepare};
use super::recovery::{performance_recovery, recovery_times};
use super::settings::{Aggregation, LifelongError, Maintenance, Range, Settings, Transfer};
use super::transfer::{TransferTable, Transfers, contrast, places, ratio, transfers};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The measures of a lifetime. What could not be computed is `None`, what was not asked for is not
/// written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LifelongReport {
    /// PR over tasks.
    pub perf_recovery: Option<f64>,
    /// Mean learning performance over tasks.
    pub avg_train_perf: Option<f64>,
    /// Mean evaluation performance over tasks.
    pub avg_eval_perf: Option<f64>,
    /// PM against the most recent evaluation, over tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perf_maintenance_mrlep: Option<f64>,
    /// PM against the most recent learning, over tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perf_maintenance_mrtlp: Option<f64>,
    /// FT as a ratio: over pairs of tasks, the first value of each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward_transfer_ratio: Option<f64>,
    /// BT as a ratio: over pairs of tasks, the first value of each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backward_transfer_ratio: Option<f64>,
    /// FT as a contrast, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward_transfer_contrast: Option<f64>,
    /// BT as a contrast, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backward_transfer_contrast: Option<f64>,
    /// RP over tasks.
    pub ste_rel_perf: Option<f64>,
    /// SE over tasks.
    pub sample_efficiency: Option<f64>,
    /// Least performance, normalised.
    pub min: f64,
    /// Largest performance, normalised.
    pub max: f64,
    /// Learning experiences.
    pub num_lx: usize,
    /// Evaluation experiences.
    pub num_ex: usize,
    /// What each task was normalised by, in raw units; nothing without normalisation.
    pub normalization_data_range: Option<BTreeMap<String, Range>>,
    /// The tasks, by name.
    pub task_metrics: BTreeMap<String, TaskReport>,
}

/// The measures of one task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    /// PR: minus the Theil-Sen slope of the recovery times.
    pub perf_recovery: Option<f64>,
    /// Mean over learning blocks of the mean performance.
    pub avg_train_perf: Option<f64>,
    /// Mean over evaluation blocks of the mean performance.
    pub avg_eval_perf: Option<f64>,
    /// PM: mean of the values below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perf_maintenance_mrlep: Option<f64>,
    /// PM: mean of the values below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perf_maintenance_mrtlp: Option<f64>,
    /// FT from this task to others, in order of time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward_transfer_ratio: Option<BTreeMap<String, Vec<f64>>>,
    /// BT from this task to others, in order of time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backward_transfer_ratio: Option<BTreeMap<String, Vec<f64>>>,
    /// FT from this task to others, in order of time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward_transfer_contrast: Option<BTreeMap<String, Vec<f64>>>,
    /// BT from this task to others, in order of time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backward_transfer_contrast: Option<BTreeMap<String, Vec<f64>>>,
    /// RP: mean over experts.
    pub ste_rel_perf: Option<f64>,
    /// SE: mean over experts.
    pub sample_efficiency: Option<f64>,
    /// Of the second and every later learning block, in experiences.
    pub recovery_times: Vec<f64>,
    /// Per learning block.
    pub avg_train_perf_vals: Vec<f64>,
    /// Per evaluation block.
    pub avg_eval_perf_vals: Vec<f64>,
    /// Differences, in runs between the task's learning blocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_val_mrlep: Option<Vec<Vec<f64>>>,
    /// Differences, in runs between the task's learning blocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_val_mrtlp: Option<Vec<Vec<f64>>>,
    /// RP against each expert.
    pub ste_rel_perf_vals: Vec<f64>,
    /// Saturation of each expert.
    pub ste_saturation_vals: Vec<f64>,
    /// Experiences to saturation of each expert.
    pub ste_exp_to_sat_vals: Vec<usize>,
    /// Saturation against each expert's.
    pub se_saturation_vals: Vec<f64>,
    /// Each expert's experiences to saturation against this learner's.
    pub se_exp_to_sat_vals: Vec<f64>,
    /// SE against each expert.
    pub sample_efficiency_vals: Vec<f64>,
    /// Saturation of this learner.
    pub se_task_saturation: Option<f64>,
    /// Experiences to saturation of this learner.
    pub se_task_exp_to_sat: Option<f64>,
    /// Least performance, normalised.
    pub min: f64,
    /// Largest performance, normalised.
    pub max: f64,
    /// Learning experiences.
    pub num_lx: usize,
    /// Evaluation experiences.
    pub num_ex: usize,
}

/// Measures a lifetime against the experts of its tasks; experts of other tasks are left out.
///
/// Errors: a lifetime without experiences, and given ranges that leave a task out or are none.
pub fn evaluate(
    lifetime: &Lifetime,
    experts: &[Expert],
    settings: &Settings,
) -> Result<LifelongReport, LifelongError> {
    let prepared = prepare(lifetime, experts, settings)?;
    let suite = Suite::new(&prepared, settings);
    let tasks: BTreeMap<String, TaskReport> = prepared
        .tasks
        .iter()
        .map(|task| (task.clone(), suite.task(task)))
        .collect();
    Ok(suite.lifetime(tasks))
}

/// What the measures of all tasks share.
struct Suite<'a> {
    prepared: &'a Prepared,
    settings: &'a Settings,
    /// Block indices without the evaluations that a sleeping learner has twice.
    considered: Vec<usize>,
    /// Terminal performance per block.
    terminal: Vec<f64>,
    ratio: Option<TransferTable>,
    contrast: Option<TransferTable>,
}

impl<'a> Suite<'a> {
    fn new(prepared: &'a Prepared, settings: &'a Settings) -> Self {
        let blocks = &prepared.blocks;
        let sleeps = blocks.iter().any(|block| block.asleep);
        let counts = |at: &usize| {
            let block = &blocks[*at];
            !sleeps || block.asleep || block.kind == BlockKind::Train
        };
        let considered: Vec<usize> = (0..blocks.len()).filter(counts).collect();
        let terminal: Vec<f64> = blocks.iter().map(terminal_performance).collect();
        let method = settings.transfer;
        Self {
            ratio: (method != Transfer::Contrast)
                .then(|| transfers(blocks, &considered, &terminal, ratio)),
            contrast: (method != Transfer::Ratio)
                .then(|| transfers(blocks, &considered, &terminal, contrast)),
            prepared,
            settings,
            considered,
            terminal,
        }
    }

    fn task(&self, task: &str) -> TaskReport {
        let mut report = TaskReport::default();
        self.add_performance(task, &mut report);
        self.add_recovery(task, &mut report);
        self.add_maintenance(task, &mut report);
        self.add_experts(task, &mut report);
        let of = |table: &Transfers| table.get(task).cloned().unwrap_or_default();
        report.forward_transfer_ratio = self.ratio.as_ref().map(|table| of(&table.forward));
        report.backward_transfer_ratio = self.ratio.as_ref().map(|table| of(&table.backward));
        report.forward_transfer_contrast = self.contrast.as_ref().map(|table| of(&table.forward));
        report.backward_transfer_contrast = self.contrast.as_ref().map(|table| of(&table.backward));
        report
    }

    fn add_performance(&self, task: &str, report: &mut TaskReport) {
        let blocks = &self.prepared.blocks;
        let means = |kind| -> Vec<f64> {
            places(blocks, &self.considered, task, kind)
                .into_iter()
                .map(|at| mean(blocks[at].performances()))
                .collect()
        };
        report.avg_train_perf_vals = means(BlockKind::Train);
        report.avg_train_perf = crate::mean(&report.avg_train_perf_vals);
        report.avg_eval_perf_vals = means(BlockKind::Test);
        report.avg_eval_perf = crate::mean(&report.avg_eval_perf_vals);
        let own = || blocks.iter().filter(|block| block.task == task);
        (report.min, report.max) = extremes(own());
        report.num_lx = count(own(), BlockKind::Train);
        report.num_ex = count(own(), BlockKind::Test);
    }

    fn add_recovery(&self, task: &str, report: &mut TaskReport) {
        let learned = self.learned_awake(task);
        report.recovery_times = recovery_times(&self.prepared.blocks, &learned, &self.terminal);
        report.perf_recovery = performance_recovery(&report.recovery_times);
    }

    fn add_maintenance(&self, task: &str, report: &mut TaskReport) {
        let blocks = &self.prepared.blocks;
        let all: Vec<usize> = (0..blocks.len())
            .filter(|&at| blocks[at].task == task)
            .collect();
        let measure = |reference| {
            let values = maintenance(blocks, &self.considered, &self.terminal, task, reference);
            let flat: Vec<f64> = values.values().copied().collect();
            (crate::mean(&flat), Some(runs(&values, &all)))
        };
        if self.settings.maintenance != Maintenance::Mrtlp {
            (report.perf_maintenance_mrlep, report.maintenance_val_mrlep) =
                measure(Reference::Evaluation);
        }
        if self.settings.maintenance != Maintenance::Mrlep {
            (report.perf_maintenance_mrtlp, report.maintenance_val_mrtlp) =
                measure(Reference::Learning);
        }
    }

    fn add_experts(&self, task: &str, report: &mut TaskReport) {
        let blocks = &self.prepared.blocks;
        let learned = self.learned_awake(task);
        let learned = learned.iter().flat_map(|&at| &blocks[at].experiences);
        let learned: Vec<_> = learned.copied().collect();
        let experts = self.prepared.experts.get(task);
        let experts = experts.map_or_else(Vec::new, |experts| {
            compared(experts, self.settings.expert_averaging)
        });
        if learned.is_empty() || experts.is_empty() {
            return;
        }
        report.ste_rel_perf_vals = relative_performance(&learned, &experts);
        report.ste_rel_perf = crate::mean(&report.ste_rel_perf_vals);
        add_efficiency(sample_efficiency(&learned, &experts), report);
    }

    fn learned_awake(&self, task: &str) -> Vec<usize> {
        let blocks = &self.prepared.blocks;
        let mut learned = places(blocks, &self.considered, task, BlockKind::Train);
        learned.retain(|&at| !blocks[at].asleep);
        learned
    }

    fn lifetime(&self, tasks: BTreeMap<String, TaskReport>) -> LifelongReport {
        let blocks = &self.prepared.blocks;
        let over = |of: fn(&TaskReport) -> Option<f64>| {
            let values: Vec<f64> = tasks.values().filter_map(of).collect();
            self.aggregate(&values)
        };
        let first = |table: Option<&Transfers>| {
            let pairs = table.into_iter().flat_map(BTreeMap::values);
            let values: Vec<f64> = pairs
                .flat_map(BTreeMap::values)
                .filter_map(|values| values.first().copied())
                .collect();
            self.aggregate(&values)
        };
        let (min, max) = extremes(blocks.iter());
        LifelongReport {
            perf_recovery: over(|task| task.perf_recovery),
            avg_train_perf: over(|task| task.avg_train_perf),
            avg_eval_perf: over(|task| task.avg_eval_perf),
            perf_maintenance_mrlep: over(|task| task.perf_maintenance_mrlep),
            perf_maintenance_mrtlp: over(|task| task.perf_maintenance_mrtlp),
            forward_transfer_ratio: first(self.ratio.as_ref().map(|table| &table.forward)),
            backward_transfer_ratio: first(self.ratio.as_ref().map(|table| &table.backward)),
            forward_transfer_contrast: first(self.contrast.as_ref().map(|table| &table.forward)),
            backward_transfer_contrast: first(self.contrast.as_ref().map(|table| &table.backward)),
            ste_rel_perf: over(|task| task.ste_rel_perf),
            sample_efficiency: over(|task| task.sample_efficiency),
            min,
            max,
            num_lx: count(blocks.iter(), BlockKind::Train),
            num_ex: count(blocks.iter(), BlockKind::Test),
            normalization_data_range: self.prepared.ranges.clone(),
            task_metrics: tasks,
        }
    }

    fn aggregate(&self, values: &[f64]) -> Option<f64> {
        match self.settings.aggregation {
            Aggregation::Mean => crate::mean(values),
            Aggregation::Median => crate::median(values),
        }
    }
}

fn add_efficiency(found: SampleEfficiency, report: &mut TaskReport) {
    report.se_task_saturation = found.learner.map(|learner| learner.value);
    report.se_task_exp_to_sat = found.learner.map(|learner| learner.experiences as f64);
    report.ste_saturation_vals = found.experts.iter().map(|expert| expert.value).collect();
    report.ste_exp_to_sat_vals = found.experts.iter().map(|e| e.experiences).collect();
    report.se_saturation_vals = found.saturation;
    report.se_exp_to_sat_vals = found.experiences;
    report.sample_efficiency = crate::mean(&found.values);
    report.sample_efficiency_vals = found.values;
}

fn extremes<'a>(blocks: impl Iterator<Item = &'a Block>) -> (f64, f64) {
    blocks
        .flat_map(Block::performances)
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| {
            (min.min(value), max.max(value))
        })
}

fn count<'a>(blocks: impl Iterator<Item = &'a Block>, kind: BlockKind) -> usize {
    blocks
        .filter(|block| block.kind == kind)
        .map(|block| block.experiences.len())
        .sum()
}
