use thiserror::Error;

/// A number of things, such as `1 sample` or `20 samples`.
fn counted(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    }
}

/// What would be right where there are so many samples for parts of at least so many.
fn enough(samples: usize, each: usize) -> String {
    let fewer = match samples / each.max(1) {
        0 => None,
        1 => Some("one part".to_owned()),
        parts => Some(format!("at most {parts} parts")),
    };
    // Where parts of one sample are asked for, no key says so.
    let smaller = (each > 1).then(|| "a smaller `min_samples`".to_owned());
    let more = Some("more samples".to_owned());
    let all: Vec<String> = [smaller, fewer, more].into_iter().flatten().collect();
    all.join(", or ")
}

/// Why samples could not be divided. Every sentence says what would be right.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum PartitionError {
    /// Nothing to divide into.
    #[error("cannot divide into no parts: at least one part is needed")]
    NoParts,
    /// Positions are 32-bit numbers.
    #[error("cannot divide {samples} samples: at most 4,294,967,295 can be numbered")]
    TooManySamples {
        /// Number of samples.
        samples: usize,
    },
    /// A label that no class has.
    #[error(
        "a sample has the label {label}: with {classes} classes, labels must be below {classes}"
    )]
    Label {
        /// The label.
        label: u32,
        /// Number of classes.
        classes: usize,
    },
    /// Not enough samples, however they are divided.
    #[error(
        "{} cannot make {} of at least {each}: use {}",
        counted(*samples, "sample"),
        counted(*parts, "part"),
        enough(*samples, *each)
    )]
    TooFewSamples {
        /// Number of samples.
        samples: usize,
        /// Number of parts.
        parts: usize,
        /// Samples that each part must have.
        each: usize,
    },
    /// No draw gave every part enough samples.
    #[error(
        "in {tries} draws with `alpha = {alpha}` the smallest of {parts} parts had at most {best} samples, but `min_samples = {min_samples}`: lower it, raise alpha, or make fewer parts"
    )]
    Unlucky {
        /// Draws that were made.
        tries: usize,
        /// Concentration of the draws.
        alpha: f64,
        /// Number of parts.
        parts: usize,
        /// Size of the smallest part in the best draw.
        best: usize,
        /// What was asked for.
        min_samples: usize,
    },
    /// More labels per client than there are classes.
    #[error("`labels = {labels}` is more than the {classes} classes: use at most {classes}")]
    TooManyLabels {
        /// Labels per client.
        labels: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A part without samples.
    #[error(
        "part {part} would be empty, because its classes have fewer samples than holders: use fewer parts, or more labels per client"
    )]
    EmptyPart {
        /// Number of the part.
        part: usize,
    },
    /// The data set knows no owners.
    #[error("the data set does not say which client owns a sample: use another partition")]
    NoOwners,
    /// More parts than owners.
    #[error(
        "the data set has {}, but {parts} are asked for: use at most {owners}",
        counted(*owners, "client")
    )]
    TooFewOwners {
        /// Owners in the data set.
        owners: usize,
        /// Number of parts.
        parts: usize,
    },
    /// The expert's losses were not handed in.
    #[error(
        "dividing by difficulty needs the loss of every sample under an expert, which is absent"
    )]
    NoDifficulty,
    /// A list is not one entry per sample.
    #[error("{entries} entries of `{list}` for {samples} samples: expected as many")]
    Length {
        /// Which list.
        list: &'static str,
        /// Its length.
        entries: usize,
        /// Number of samples.
        samples: usize,
    },
    /// A loss that cannot be ordered.
    #[error(
        "the difficulty of sample {position} is not a number: the expert must be trained to finite losses, so lower its learning rate"
    )]
    NotANumber {
        /// Position of the sample.
        position: usize,
    },
}
