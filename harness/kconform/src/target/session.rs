//! A kernel with an agent on it: plans go in, observations come out.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use crate::interrupt;
use kconform_plan::{
    Facts, FromAgent, Observation, Plan, ToAgent, WIRE_VERSION, WireError, read_frame, write_frame,
};

/// How long an agent may be silent beyond what the case in flight may take, before a target's own factor.
const GRACE: Duration = Duration::from_secs(5);

/// The two directions of an agent's stream, and what must live as long as they do.
pub struct Link {
    /// From the agent.
    pub reader: Box<dyn Read + Send>,
    /// To the agent.
    pub writer: Box<dyn Write + Send>,
    /// Ends the agent when it is dropped.
    pub keeper: Box<dyn Keeper>,
}

/// What holds an agent: a child process, a QEMU, an ssh.
pub trait Keeper: Send {
    /// What is known of an agent that fell silent or went away: the end of the console, an exit status.
    fn last_words(&mut self) -> LastWords;
}

/// What is known of an agent that fell silent or went away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastWords {
    /// What became of it, in a few words: `QEMU was killed by SIGKILL`.
    pub what: String,
    /// What the kernel itself said on the console of why it cannot go on: `a panic`.
    pub kernel_fault: Option<String>,
    /// The console's last lines.
    pub console: Vec<String>,
}

/// Why no more can be had of an agent.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The stream broke, or the agent said something that it should not.
    #[error("{0}")]
    Stream(#[from] WireError),
    /// Nothing came in time.
    #[error("the agent has been silent for {0:.1?}")]
    Silent(Duration),
    /// The agent gave up.
    #[error("the agent gave up: {0}")]
    Agent(String),
    /// The user wants everything to end.
    #[error("interrupted")]
    Interrupted,
    /// The agent is not of this build.
    #[error("the agent is of another build than kconform ({0}); build it again with ci/agents")]
    Stale(String),
}

/// An agent that is ready.
pub struct Session {
    frames: Receiver<Result<FromAgent, WireError>>,
    writer: Box<dyn Write + Send>,
    keeper: Box<dyn Keeper>,
    facts: Facts,
    in_flight: VecDeque<(u64, Duration)>,
    grace: Duration,
}

impl Session {
    /// Waits until the agent is ready. `factor` is how much slower the target is than this machine.
    pub fn open(link: Link, patience: Duration, factor: f64) -> Result<Session, (Broken, LastWords)> {
        let Link { mut reader, writer, mut keeper } = link;
        let (sender, frames) = sync_channel(64);
        std::thread::spawn(move || {
            loop {
                let frame = read_frame(&mut reader);
                let over = frame.is_err();
                if sender.send(frame).is_err() || over {
                    return;
                }
            }
        });
        match wait(&frames, patience) {
            Ok(FromAgent::Ready { version, facts }) => {
                let fingerprint = env!("KCONFORM_FINGERPRINT");
                if version != WIRE_VERSION || facts.fingerprint != fingerprint {
                    let text = format!("its sources are {}, not {fingerprint}", facts.fingerprint);
                    return Err((Broken::Stale(text), LastWords::default()));
                }
                let grace = GRACE.mul_f64(factor);
                Ok(Session { frames, writer, keeper, facts: *facts, in_flight: VecDeque::new(), grace })
            }
            Ok(FromAgent::Failed { text }) => Err((Broken::Agent(text), keeper.last_words())),
            Ok(_) => Err((Broken::Agent("it did not say that it is ready".into()), keeper.last_words())),
            Err(broken) => Err((broken, keeper.last_words())),
        }
    }

    /// What the agent said of its kernel and of itself.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// How many plans have been sent and not come back.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Sends a plan; several may be sent ahead, they run in order.
    pub fn send(&mut self, id: u64, plan: Plan) -> Result<(), Broken> {
        let limit = Duration::from_millis(plan.timeout_ms);
        self.in_flight.push_back((id, limit));
        Ok(write_frame(&mut self.writer, &ToAgent::Run { id, plan: Box::new(plan) })?)
    }

    /// Waits for the next observation. After an error the session is of no more use; the case in flight is
    /// [`Session::current`].
    pub fn receive(&mut self) -> Result<(u64, Observation), Broken> {
        let Some(&(expected, limit)) = self.in_flight.front() else {
            return Err(Broken::Agent("nothing is in flight".into()));
        };
        let patience = limit + self.grace;
        let begun = Instant::now();
        loop {
            match wait(&self.frames, patience.saturating_sub(begun.elapsed()))? {
                FromAgent::Ran { id, observation } if id == expected => {
                    self.in_flight.pop_front();
                    return Ok((id, *observation));
                }
                FromAgent::Started { .. } => {}
                FromAgent::Failed { text } => return Err(Broken::Agent(text)),
                other => return Err(Broken::Agent(format!("it said {other:?} out of turn"))),
            }
        }
    }

    /// The case that was running when the session broke.
    pub fn current(&self) -> Option<u64> {
        self.in_flight.front().map(|&(id, _)| id)
    }

    /// What is known of the agent's end.
    pub fn last_words(&mut self, broken: &Broken) -> LastWords {
        match broken {
            // Nothing happened to it, and there is no time to ask.
            Broken::Interrupted => LastWords::default(),
            _ => self.keeper.last_words(),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // An agent that is gone already cannot be told.
        let _ = write_frame(&mut self.writer, &ToAgent::Quit);
    }
}

/// How often an interruption is looked for.
const GLANCE: Duration = Duration::from_millis(50);

fn wait(frames: &Receiver<Result<FromAgent, WireError>>, patience: Duration) -> Result<FromAgent, Broken> {
    let begun = Instant::now();
    loop {
        let left = patience.saturating_sub(begun.elapsed());
        match frames.recv_timeout(left.min(GLANCE)) {
            Ok(frame) => return Ok(frame?),
            Err(RecvTimeoutError::Disconnected) => return Err(WireError::Closed.into()),
            Err(RecvTimeoutError::Timeout) if interrupt::requested() => return Err(Broken::Interrupted),
            Err(RecvTimeoutError::Timeout) if left.is_zero() => return Err(Broken::Silent(patience)),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}
