//! Lines on standard error.

use std::fmt::Display;
use std::io::Write;

/// Writes a line there. A terminal that was closed is no reason to stop in the middle.
pub(super) fn tell(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
