//! What a verdict says that happened.

/// A telemetry event of the verdict; ids, times and echoes are put in when it is written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// `evt.gov.blast_scored`.
    BlastScored,
    /// `evt.gov.privilege_envelope.checked`.
    PrivilegeEnvelopeChecked,
    /// `evt.os.worker.attestation_skipped`.
    AttestationSkipped,
    /// `evt.os.task.routed`.
    TaskRouted,
    /// `evt.os.worker.selected`.
    WorkerSelected,
    /// `evt.os.policy.gated`.
    PolicyGated,
    /// `evt.os.task.denied`.
    TaskDenied,
}

impl Event {
    /// The event's id on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BlastScored => "evt.gov.blast_scored",
            Self::PrivilegeEnvelopeChecked => "evt.gov.privilege_envelope.checked",
            Self::AttestationSkipped => "evt.os.worker.attestation_skipped",
            Self::TaskRouted => "evt.os.task.routed",
            Self::WorkerSelected => "evt.os.worker.selected",
            Self::PolicyGated => "evt.os.policy.gated",
            Self::TaskDenied => "evt.os.task.denied",
        }
    }
}
