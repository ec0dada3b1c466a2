//! What people and programs read of a run. Text for the terminal is made of the run itself; every other format of the
//! [`document`], which can be written, read back and compared.

mod contents;
mod destination;
pub mod diff;
pub mod document;
mod explain;
mod failure;
mod format;
mod gather;
mod github;
mod html;
pub mod json;
mod jsonl;
mod junit;
pub mod kcidb;
mod ktap;
pub mod merge;
mod outline;
mod outputs;
mod plain;
mod progress;
mod prototype;
mod settings;
mod side_by_side;
mod strace;
mod structure;
mod summary;
mod tap;
#[cfg(test)]
pub(crate) mod tests;
mod trouble;

pub use destination::{Destination, DestinationError};
pub use explain::explain;
pub use failure::{Again, failures, passes};
pub use format::{Format, Wanted, WantedError};
pub use gather::{gather, identity, selection};
pub(crate) use jsonl::NO_RESULT;
pub use outline::outline;
pub use outputs::{Outputs, Run};
pub use progress::Progress;
pub use prototype::prototypes;
pub use settings::{SettingChange, Settings};
pub use side_by_side::side_by_side;
pub use strace::transcript;
pub use structure::layouts;
pub use summary::{set_up, summary, verdicts};

use std::time::Duration;

/// Whether and how text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// ANSI colours.
    pub color: bool,
}

impl Style {
    /// The renderer for messages that point into a file.
    pub fn renderer(self) -> annotate_snippets::Renderer {
        if self.color { annotate_snippets::Renderer::styled() } else { annotate_snippets::Renderer::plain() }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// For what is as it should be.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// For what is not.
    pub fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// For what wants a look.
    pub fn warn(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// For headings.
    pub fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// For what matters less.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }
}

/// The JSON Schema of [`document::Document`], as it is kept in the repository.
pub fn schema() -> String {
    let schema = schemars::schema_for!(document::Document);
    // A schema is plain JSON.
    serde_json::to_string_pretty(&schema).map(|text| text + "\n").unwrap_or_default()
}

/// The time until something is done, which is never known well: `5 s`, `3 min`, `2 h`.
fn seconds_left(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ ..90 => format!("{seconds} s"),
        seconds @ ..5400 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h", seconds.div_ceil(3600)),
    }
}

/// `0.21 s`, `3.4 s`, `2 min 05 s`.
pub fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        ..1.0 => format!("{seconds:.2} s"),
        ..100.0 => format!("{seconds:.1} s"),
        _ => format!("{} min {:02} s", duration.as_secs() / 60, duration.as_secs() % 60),
    }
}
