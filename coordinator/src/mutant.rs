//! Mistakes on purpose, to see that simulated worlds find them.

/// One mistake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mutant {
    /// None.
    #[default]
    None,
    /// The round's sum is rounded after each upload, so that it depends on their order.
    ArrivalOrder,
    /// A repeated or late upload counts again.
    AcceptDuplicates,
    /// Uploads count as safe without the sync.
    ForgetFlush,
    /// Work of a stage goes out before what it follows from is safe.
    HurryStages,
    /// Units that a node should hold and does not are never sent again.
    ForgetResend,
    /// A checkpoint is made in the midst of a replay.
    SaveInReplay,
    /// Files of a checkpoint are believed, whatever their hashes say.
    BelieveFiles,
    /// A checkpoint leaves out what the stream was told last.
    ForgetFact,
}
