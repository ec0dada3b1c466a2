//! What was wrong with a run beside what its cases came to: each of it makes the exit status another than 0, so each format has
//! a result for it that whoever reads the format counts.

use super::{Document, Status, Trouble, TroubleKind};

impl TroubleKind {
    /// The name of the test that fails where there is such trouble.
    pub(crate) fn test(self) -> &'static str {
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
    pub(crate) fn word(self) -> &'static str {
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
