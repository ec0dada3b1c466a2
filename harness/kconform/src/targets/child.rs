//! How long what was started may take to end.

use std::process::{Child, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

/// How often a child is asked whether it has ended.
const PAUSE: Duration = Duration::from_millis(5);

/// How a child ended, if it does so in time.
pub(super) fn ended_within(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + patience;
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < until => thread::sleep(PAUSE),
            // A child that cannot be asked is none of ours any more.
            other => return other.ok().flatten(),
        }
    }
}

/// Waits for a child that has been told to end, and kills it when it does not do so in time.
pub(super) fn end(child: &mut Child, patience: Duration) {
    if ended_within(child, patience).is_none() {
        // Whether it can be killed or not, there is nobody left to tell.
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn started(script: &str) -> Child {
        Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap()
    }

    #[test]
    fn a_child_that_ends_is_waited_for_and_one_that_does_not_is_killed() {
        assert_eq!(ended_within(&mut started("exit 3"), LONG).unwrap().code(), Some(3));
        let mut told = started("read word; exit 4");
        assert_eq!(ended_within(&mut told, Duration::ZERO), None);
        drop(told.stdin.take());
        end(&mut told, LONG);
        assert_eq!(told.wait().unwrap().code(), Some(4));
        let mut stuck = started("read word");
        let stdin = stuck.stdin.take();
        end(&mut stuck, Duration::ZERO);
        drop(stdin);
        assert_eq!(stuck.wait().unwrap().signal(), Some(9));
    }
}
