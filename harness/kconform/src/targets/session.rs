//! A kernel with an agent on it: plans go in, observations come out.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::seed::GuestSeed;
use crate::guest::Watch;
use crate::interrupt;
use kconform_plan::{
    BtfAnswer, BtfQuery, Facts, FromAgent, Observation, Plan, SERIAL_SHARE, SERIAL_WINDOW, Sysctl, ToAgent,
    Trace, WIRE_VERSION, WireError, decode, read_body, write_frame,
};

/// How long an agent may be silent beyond what the case in flight may take, before a target's own factor.
const GRACE: Duration = Duration::from_secs(5);

/// How long an agent may take to look types up.
const BTF_TIME: Duration = Duration::from_secs(20);

/// How long an agent may take to find out what keeps what is left.
const SETTLING: Duration = Duration::from_secs(10);

/// How many plans are sent ahead of the one that runs.
const AHEAD: usize = 8;

/// How long an agent behind a serial line may take to make room.
const LINE_PATIENCE: Duration = Duration::from_secs(20);

/// How long an agent may be silent once its kernel has said that it came to harm, if that ends sooner.
const AFTERMATH: Duration = Duration::from_secs(5);

/// How much longer by the clock, as a multiple, an agent may be silent while the machine holds up what holds it.
const MORE: u32 = 2;

/// The two directions of an agent's stream, and what must live as long as they do.
pub struct Link {
    /// From the agent.
    pub reader: Box<dyn Read + Send>,
    /// To the agent.
    pub writer: Box<dyn Write + Send>,
    /// Ends the agent when it is dropped.
    pub keeper: Box<dyn Keeper>,
    /// The stream is a serial line, which loses what comes too fast.
    pub serial: bool,
}

/// What holds an agent: a child process, a QEMU, an ssh.
pub trait Keeper: Send {
    /// What is known of an agent that fell silent or went away: the end of the console, an exit status.
    fn last_words(&mut self) -> LastWords;

    /// Whether the kernel has said that it came to serious harm: little is to be expected of it any more.
    fn has_fault(&self) -> bool {
        false
    }

    /// Looks from now on how much of the time the machine gives what holds the agent, where that is known.
    fn watch(&self) -> Option<Watch> {
        None
    }
}

/// How the machine held up what holds an agent, while it ran a case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct HeldUp {
    /// The part of the time that it had.
    pub share: f64,
}

impl HeldUp {
    /// What had less than half of the time was held up.
    fn of(passed: Duration, counted: Duration) -> Option<HeldUp> {
        let share = counted.as_secs_f64() / passed.as_secs_f64().max(f64::EPSILON);
        (!passed.is_zero() && share < 0.5).then_some(HeldUp { share })
    }
}

/// What a guest suffered that ended by itself, as a [`LastWords::kernel_fault`].
pub(super) const POWERED_OFF: &str = "a reset or a power-off";

/// What is known of an agent that fell silent or went away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastWords {
    /// What became of it, in a few words: `QEMU was killed by SIGKILL`.
    pub what: String,
    /// What the kernel itself said on the console of why it cannot go on: `a panic`.
    pub kernel_fault: Option<String>,
    /// What holds the agent kept it from going on: neither the kernel nor the case can be blamed for its silence.
    pub held_up: bool,
    /// What holds the agent (QEMU, ssh) died by itself, by its own words or its exit status: neither the kernel nor the case
    /// can be blamed for the agent's end.
    pub outside: bool,
    /// The console's last lines.
    pub console: Vec<String>,
}

impl LastWords {
    /// Why no more can be had of the agent, and what became of it as far as that is known.
    pub(super) fn after(&self, broken: &Broken) -> String {
        if self.what.is_empty() { broken.to_string() } else { format!("{broken}; {}", self.what) }
    }
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
    /// The agent said something that does not answer what it was asked: the kind of message.
    #[error("the agent is not understood: it said {0} out of turn")]
    OutOfTurn(String),
    /// The user wants everything to end.
    #[error("interrupted")]
    Interrupted,
    /// The agent is not of this build.
    #[error("the agent is of another build than kconform ({0}); build it again with ci/agents")]
    Stale(String),
}

/// An agent that is ready.
pub struct Session {
    frames: Frames,
    writer: Box<dyn Write + Send>,
    keeper: Box<dyn Keeper>,
    facts: Facts,
    /// Why the agent runs nothing after the case in flight.
    spent: Option<String>,
    in_flight: VecDeque<(u64, Duration)>,
    /// What cases left behind, by their numbers, as far as it was said.
    settled: Vec<(u64, Vec<Trace>)>,
    grace: Duration,
    /// What is on its way to an agent behind a serial line.
    line: Option<Arc<Line>>,
    /// Whether it was held up while the last case ran.
    held_up: Option<HeldUp>,
}

/// The bytes that were sent over a serial line and not read yet, as far as is known.
#[derive(Default)]
struct Line {
    state: Mutex<Sent>,
    changed: Condvar,
}

#[derive(Default)]
struct Sent {
    bytes: usize,
    /// Nobody will read any more.
    over: bool,
}

impl Line {
    fn change(&self, change: impl FnOnce(&mut Sent)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits until there is room for so many bytes, and takes it.
    fn take(&self, bytes: usize) -> io::Result<()> {
        let full = |sent: &mut Sent| !sent.over && sent.bytes + bytes > SERIAL_WINDOW;
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(state, LINE_PATIENCE, full);
        let (mut sent, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if sent.over || timeout.timed_out() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        sent.bytes += bytes;
        Ok(())
    }
}

impl Broken {
    /// Of a message its kind alone: an observation may be long.
    fn out_of_turn(said: &FromAgent) -> Broken {
        let said = format!("{said:?}");
        let kind = said.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        Broken::OutOfTurn(kind.to_owned())
    }
}

impl Session {
    /// Waits until the agent is ready. `factor` is how much slower the target is than this machine.
    pub fn open(link: Link, patience: Duration, factor: f64) -> Result<Session, (Broken, LastWords)> {
        let Link { mut reader, writer, mut keeper, serial } = link;
        let (sender, inbox) = sync_channel(64);
        let line = serial.then(Arc::<Line>::default);
        let sent = line.clone().unwrap_or_default();
        let heard = Arc::<Heard>::default();
        let frames = Frames { inbox, heard: Arc::clone(&heard) };
        std::thread::spawn(move || {
            loop {
                let frame = heard.read(&mut reader);
                if let Ok(FromAgent::Took { bytes }) = frame {
                    sent.change(|sent| sent.bytes = sent.bytes.saturating_sub(bytes as usize));
                    continue;
                }
                let over = frame.is_err();
                if sender.send(frame).is_err() || over {
                    return sent.change(|sent| sent.over = true);
                }
            }
        });
        match frames.wait(Instant::now(), &mut || patience) {
            Ok(FromAgent::Ready { version, facts }) => {
                let fingerprint = env!("KCONFORM_FINGERPRINT");
                if version != WIRE_VERSION || facts.fingerprint != fingerprint {
                    let text = format!("its sources are {}, not {fingerprint}", facts.fingerprint);
                    return Err((Broken::Stale(text), LastWords::default()));
                }
                let grace = GRACE.mul_f64(factor);
                let (facts, spent, in_flight, settled) = (*facts, None, VecDeque::new(), Vec::new());
                Ok(Session {
                    frames,
                    writer,
                    keeper,
                    facts,
                    spent,
                    in_flight,
                    settled,
                    grace,
                    line,
                    held_up: None,
                })
            }
            Ok(FromAgent::Failed { text }) => Err((Broken::Agent(text), keeper.last_words())),
            Ok(other) => Err((Broken::out_of_turn(&other), keeper.last_words())),
            Err(broken) => Err((broken, keeper.last_words())),
        }
    }

    /// What the agent said of its kernel and of itself.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Why a fresh agent must run what comes next, if so: the last case has spoilt this one for others.
    pub fn spent(&self) -> Option<&str> {
        self.spent.as_deref()
    }

    /// How many plans have been sent and not come back.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// How many plans may be sent ahead: none over a serial line, whose agent does not read while a case runs.
    pub fn most_ahead(&self) -> usize {
        if self.line.is_some() { 1 } else { AHEAD }
    }

    /// Brings the kernel's random numbers to where this seed leads.
    pub(super) fn seed(&mut self, seed: GuestSeed) -> Result<(), Broken> {
        let GuestSeed { pool, draws } = seed;
        self.say(&ToAgent::Seed { pool, draws })
    }

    /// Sends a plan; several may be sent ahead, they run in order.
    pub fn send(&mut self, id: u64, plan: Plan) -> Result<(), Broken> {
        let limit = Duration::from_millis(plan.timeout_ms);
        self.in_flight.push_back((id, limit));
        self.say(&ToAgent::Run { id, plan: Box::new(plan) })
    }

    /// From here on the agent looks for what cases leave behind.
    pub fn watch(&mut self) -> Result<(), Broken> {
        self.say(&ToAgent::Watch)
    }

    /// What is there that cases may leave where others see it, by name; nothing may be in flight.
    pub fn look(&mut self) -> Result<Vec<(String, String)>, Broken> {
        self.say(&ToAgent::Look)?;
        let patience = SETTLING + self.grace;
        match self.frames.wait(Instant::now(), &mut || patience)? {
            FromAgent::Looked { things } => Ok(things),
            FromAgent::Failed { text } => Err(Broken::Agent(text)),
            other => Err(Broken::out_of_turn(&other)),
        }
    }

    /// The cases of which nothing lingers any more since this was last asked, and what they have left for good.
    pub fn settled(&mut self) -> Vec<(u64, Vec<Trace>)> {
        std::mem::take(&mut self.settled)
    }

    /// Has the agent wait so long for what lingers, until it can say of each case what it has left; nothing may be in flight.
    pub fn settle(&mut self, patience: Duration) -> Result<Vec<(u64, Vec<Trace>)>, Broken> {
        let patience_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        self.say(&ToAgent::Settle { patience_ms })?;
        let most = patience + SETTLING + self.grace;
        match self.frames.wait(Instant::now(), &mut || most)? {
            FromAgent::Traces { settled } => {
                self.settled.extend(settled);
                Ok(self.settled())
            }
            FromAgent::Failed { text } => Err(Broken::Agent(text)),
            other => Err(Broken::out_of_turn(&other)),
        }
    }

    /// Asks what the kernel's BTF has of some types; nothing may be in flight.
    pub fn btf(&mut self, queries: Vec<BtfQuery>) -> Result<Vec<BtfAnswer>, Broken> {
        let asked = queries.len();
        self.say(&ToAgent::Btf { queries })?;
        let patience = BTF_TIME + self.grace;
        match self.frames.wait(Instant::now(), &mut || patience)? {
            FromAgent::Btf { answers } if answers.len() == asked => Ok(answers),
            FromAgent::Failed { text } => Err(Broken::Agent(text)),
            other => Err(Broken::out_of_turn(&other)),
        }
    }

    /// Asks for the values of sysctls; nothing may be in flight.
    pub fn sysctls(&mut self, names: Vec<String>) -> Result<Vec<Sysctl>, Broken> {
        let asked = names.len();
        self.say(&ToAgent::Sysctls { names })?;
        let patience = self.grace;
        match self.frames.wait(Instant::now(), &mut || patience)? {
            FromAgent::Sysctls { values } if values.len() == asked => Ok(values),
            FromAgent::Failed { text } => Err(Broken::Agent(text)),
            other => Err(Broken::out_of_turn(&other)),
        }
    }

    fn say(&mut self, message: &ToAgent) -> Result<(), Broken> {
        let Some(line) = &self.line else { return Ok(write_frame(&mut self.writer, message)?) };
        let mut frame = Vec::new();
        write_frame(&mut frame, message)?;
        for piece in frame.chunks(SERIAL_SHARE) {
            line.take(piece.len()).map_err(WireError::from)?;
            self.writer.write_all(piece).map_err(WireError::from)?;
        }
        Ok(())
    }

    /// Waits for the next observation, of the first plan in flight. After an error the session is of no more use; the case in flight is
    /// [`Session::current`].
    pub fn receive(&mut self) -> Result<(u64, Observation), Broken> {
        let (expected, limit) = self.in_flight.front().copied().unwrap_or_default();
        let mut patience = limit + self.grace;
        let begun = Instant::now();
        let mut harmed = false;
        self.held_up = None;
        let mut watch = None;
        loop {
            let (keeper, held_up) = (&*self.keeper, &mut self.held_up);
            let mut adapt = || {
                let elapsed = begun.elapsed();
                if !harmed && keeper.has_fault() {
                    harmed = true;
                    patience = patience.min(elapsed + AFTERMATH);
                }
                if harmed || elapsed < GLANCE {
                    return patience;
                }
                let watch = watch.get_or_insert_with(|| keeper.watch());
                let Some((passed, counted)) = watch.as_mut().map(|watch| watch.look(Instant::now())) else {
                    return patience;
                };
                *held_up = HeldUp::of(passed, counted);
                patience + passed.saturating_sub(counted).min(patience * MORE)
            };
            match self.frames.wait(begun, &mut adapt)? {
                FromAgent::Ran { id, observation } if id == expected => {
                    self.in_flight.pop_front();
                    return Ok((id, *observation));
                }
                FromAgent::Started { .. } => {}
                FromAgent::Spent { why } => self.spent = Some(why),
                FromAgent::Traces { settled } => self.settled.extend(settled),
                FromAgent::Failed { text } => return Err(Broken::Agent(text)),
                other => return Err(Broken::out_of_turn(&other)),
            }
        }
    }

    /// Whether the machine held up what holds the agent while the last case ran.
    pub(super) fn held_up(&self) -> Option<HeldUp> {
        self.held_up
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
            // Its silence alone says nothing.
            Broken::Silent(_) if self.held_up.is_some() => {
                let words = self.keeper.last_words();
                LastWords { held_up: words.held_up || words.kernel_fault.is_none(), ..words }
            }
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

/// When something last came from the agent.
#[derive(Default)]
struct Heard(Mutex<Last>);

#[derive(Clone, Copy, Default)]
enum Last {
    /// Nothing has come yet.
    #[default]
    Never,
    /// Bytes came.
    Bytes(Instant),
    /// A message is here and is being decoded, which takes its time on a busy machine.
    Message,
}

impl Heard {
    fn note(&self, last: Last) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }

    /// Reads and decodes a message; each byte of it is a sign of life.
    fn read(&self, reader: &mut impl Read) -> Result<FromAgent, WireError> {
        let body = read_body(&mut Noting { reader, heard: self })?;
        self.note(Last::Message);
        let message = decode(&body);
        self.note(Last::Bytes(Instant::now()));
        message
    }

    /// How long nothing has come since then.
    fn silent_since(&self, begun: Instant) -> Duration {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Last::Never => begun.elapsed(),
            Last::Bytes(then) => begun.max(then).elapsed(),
            Last::Message => Duration::ZERO,
        }
    }
}

/// A stream of which it is noted when bytes come.
struct Noting<'a, R> {
    reader: &'a mut R,
    heard: &'a Heard,
}

impl<R: Read> Read for Noting<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let size = self.reader.read(into)?;
        self.heard.note(Last::Bytes(Instant::now()));
        Ok(size)
    }
}

/// What the agent says.
struct Frames {
    inbox: Receiver<Result<FromAgent, WireError>>,
    heard: Arc<Heard>,
}

impl Frames {
    /// Waits for the next message until the agent was silent for as long as the patience, of which is asked again and again.
    fn wait(&self, begun: Instant, patience: &mut dyn FnMut() -> Duration) -> Result<FromAgent, Broken> {
        loop {
            let patience = patience();
            let left = patience.saturating_sub(self.heard.silent_since(begun));
            match self.inbox.recv_timeout(left.min(GLANCE)) {
                Ok(frame) => return Ok(frame?),
                Err(RecvTimeoutError::Disconnected) => return Err(WireError::Closed.into()),
                Err(RecvTimeoutError::Timeout) if interrupt::requested() => return Err(Broken::Interrupted),
                Err(RecvTimeoutError::Timeout) if left.is_zero() => return Err(Broken::Silent(patience)),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}
