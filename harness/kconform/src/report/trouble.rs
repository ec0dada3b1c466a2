//! What was wrong with a run beside what its cases came to: each of it makes the exit status another than 0, so each format has
//! a result for it that whoever reads the format counts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::document::{Document, Status};

/// Something that was wrong with a run, or with one of its targets, whatever the cases came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trouble {
    /// What kind of trouble.
    pub kind: TroubleKind,
    /// The target that it is of; missing: the run as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What is to be said of it.
    pub text: String,
}

/// What kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TroubleKind {
    /// A target could not be used, or no more: `targets[].lost` says it.
    LostTarget,
    /// The run did not come to its end: `partial` says it.
    Partial,
    /// No case ran on any target, for all were skipped: `nothing_ran` says it.
    NothingRan,
    /// Something of the run could not be removed from the machine.
    NotRemoved,
    /// Cases were skipped, and none may be (`--fail-on-skip`).
    Skipped,
    /// Fewer cases ran than must (`--min-run`).
    TooFew,
}

impl TroubleKind {
    /// The name of the test that fails where there is such trouble.
    pub(super) fn test(self) -> &'static str {
        match self {
            TroubleKind::LostTarget => "the target is not lost",
            TroubleKind::Partial => "the run came to its end",
            TroubleKind::NothingRan => "a case ran",
            TroubleKind::NotRemoved => "nothing is left behind",
            TroubleKind::Skipped => "no case is skipped",
            TroubleKind::TooFew => "enough cases ran",
        }
    }

    /// The harness could not do its work (exit status 3); otherwise the run is not as it was asked for (1).
    pub fn is_loss(self) -> bool {
        !matches!(self, TroubleKind::Skipped | TroubleKind::TooFew)
    }

    /// `lost`, or `failed`.
    pub(super) fn word(self) -> &'static str {
        if self.is_loss() { Status::Lost.word() } else { Status::Failed.word() }
    }
}

impl Document {
    /// All that was wrong with the run beside what its cases came to.
    pub fn troubles(&self) -> Vec<Trouble> {
        let lost = self.targets.iter().filter_map(|target| Some((target, target.lost.as_ref()?)));
        let mut troubles: Vec<Trouble> = lost
            .map(|(target, lost)| {
                let mend = lost.mend.iter().map(|mend| format!("\nto mend it: {mend}"));
                let text = lost.why.clone() + &mend.collect::<String>();
                Trouble { kind: TroubleKind::LostTarget, target: Some(target.name.clone()), text }
            })
            .collect();
        let of_the_run = |kind, text: &str| Trouble { kind, target: None, text: text.into() };
        if self.partial && troubles.is_empty() {
            let text = "this report is partial: the run was interrupted, or ended otherwise before its time";
            troubles.push(of_the_run(TroubleKind::Partial, text));
        }
        // What was lost is told as such, and another shard may have run some.
        let lost = self.targets.iter().any(|t| t.lost.is_some() || t.counts.contains_key(&Status::Lost));
        if self.nothing_ran && !lost && self.shard.is_none() {
            let text = "nothing was tested: no case ran on any target";
            troubles.push(of_the_run(TroubleKind::NothingRan, text));
        }
        troubles.extend(self.trouble.iter().cloned());
        troubles
    }
}
