//! What people and programs read of a run. Text for the terminal is made of the run itself; every other format of the
//! [`crate::document`], which can be written, read back and compared.

mod destination;
mod explain;
mod failure;
mod format;
mod github;
mod html;
mod junit;
pub mod kcidb;
mod ktap;
mod outline;
mod outputs;
mod progress;
mod prototype;
mod side_by_side;
mod structure;
mod summary;
mod tap;
#[cfg(test)]
mod tests;

pub use destination::{Destination, DestinationError};
pub use explain::explain;
pub use failure::{failures, passes};
pub use format::{Format, Wanted, WantedError};
pub use outline::outline;
pub use outputs::{Outputs, Run};
pub use progress::Progress;
pub use prototype::prototypes;
pub use side_by_side::side_by_side;
pub use structure::layouts;
pub use summary::{set_up, summary, verdicts};

use std::time::Duration;

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
