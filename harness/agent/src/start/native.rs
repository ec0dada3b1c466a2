//! The agent as a child process of the host.

use crate::case::Cases;
use crate::case::apart::Place;
use crate::facts::settings;
use crate::panic;
use crate::session::session;
use crate::signals::Signals;
use crate::start::setup::{self, Fds};
use crate::stream::{Kind, Stream};
use crate::traces::look::Namespaces;
use crate::trouble::{Failed, failed};

/// Serves the host at the other end of fd 0 (and 1) until it says `Quit` or goes away; `scratch` is the directory in
/// which cases may leave files. The exit status: 0, or 1 when the agent could not go on.
pub fn serve(scratch: &str) -> i32 {
    panic::set_hook();
    // Before the agent is in namespaces of its own.
    let sysctls = settings::sysctls();
    let end = set_up(scratch).and_then(|(stream, cases, remarks)| session(stream, cases, sysctls, remarks));
    match end {
        Ok(()) => 0,
        Err(text) => {
            panic::fail(&text);
            1
        }
    }
}

fn set_up(scratch: &str) -> Result<(Stream, Cases, Vec<String>), Failed> {
    let fds = setup::move_fds()?;
    panic::tell_host(fds.output);
    let signals = Signals::take().map_err(failed("signalfd"))?;
    let before = Namespaces::now();
    let (remarks, sealed) = setup::enter_namespaces(&fds, &signals, scratch);
    let shares = before.shared(sealed);
    let Fds { input, output } = fds;
    setup::be_guest_of_the_machine();
    let cases = setup::cases(signals, scratch, Place::Machine, shares)?;
    Ok((Stream::new(input, output, Kind::Host, signals), cases, remarks))
}
