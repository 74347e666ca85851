//! The labels of metrics. Each value is one of few: callers must not be able to make series.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};

/// Structures of texts whose fields are the labels, in this order.
macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $label:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub struct $name {
            $($(#[$about])* pub $label: $type,)*
        }

        impl $name {
            /// The names of the labels.
            pub const NAMES: &[&str] = &[$(stringify!($label)),*];
        }

        impl EncodeLabelSet for $name {
            fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
                [$((stringify!($label), &*self.$label)),*].encode(encoder)
            }
        }
    )*};
}

labels! {
    /// Labels of one counted decision.
    DecisionLabels {
        /// `gate` or `api`.
        door: &'static str,
        /// `DISPATCH`, `DENY` or `STEWARD_HOLD`.
        verdict: &'static str,
        /// The deny code; empty for a dispatch.
        code: &'static str,
        /// The capability when a rule names it, else `other`.
        capability: Arc<str>,
        /// `hit` or `miss`.
        cache: &'static str,
    }
    /// Labels of one step of an approval.
    ApprovalLabels {
        /// What happened.
        action: &'static str,
    }
    /// Labels of one step that an approver took.
    ApproverLabels {
        /// The name of the token.
        approver: Arc<str>,
        /// What they did.
        action: &'static str,
    }
    /// Labels of one approval that the webhook was told of.
    NoticeLabels {
        /// `taken`; `refused` after some attempts; or `unanswered`, and so perhaps taken.
        result: &'static str,
    }
    /// Labels of one callback.
    CallbackLabels {
        /// What became of it.
        result: &'static str,
    }
    /// Labels of one request that passed where the policy is only observed.
    ObservedLabels {
        /// `DENY` or `STEWARD_HOLD`: what it would have been.
        verdict: &'static str,
        /// The deny code.
        code: &'static str,
        /// The capability when a rule names it, else `other`.
        capability: Arc<str>,
    }
    /// Labels of one decision of which the shadow says otherwise.
    ShadowLabels {
        /// What the policy in force says: `DISPATCH`, `DENY` or `STEWARD_HOLD`.
        verdict: &'static str,
        /// What the shadow says.
        shadow: &'static str,
        /// The shadow's deny code; where it dispatches, the code of the policy in force.
        code: &'static str,
        /// The capability when a rule in force names it, else `other`.
        capability: Arc<str>,
    }
    /// Labels of one refused request that was never described.
    RefusalLabels {
        /// `gate` or `api`.
        door: &'static str,
        /// The deny code.
        code: &'static str,
    }
    /// Labels of one connection that was closed because there was no place for it.
    ClosedLabels {
        /// `gate` or `api`.
        door: &'static str,
        /// `full` or `network_full`: as it came; `taken`: by a newer one, since nobody on it was known.
        why: &'static str,
    }
    /// Labels of one upstream answer.
    UpstreamLabels {
        /// The upstream's name in the configuration.
        upstream: Arc<str>,
        /// The status, or `failed` when it gave none.
        status: Arc<str>,
    }
    /// Labels of one change of files that was taken or not.
    ReloadLabels {
        /// `applied`, `unchanged` or `refused`.
        result: &'static str,
    }
    /// Labels of one round of questions to the remote registry.
    RefreshLabels {
        /// `ok`, or why not all answers came.
        result: &'static str,
    }
    /// Labels of the snapshot in force.
    SnapshotLabels {
        /// Its fingerprint.
        snapshot: String,
        /// The operator's name of its policy.
        policy_version: Arc<str>,
    }
}
