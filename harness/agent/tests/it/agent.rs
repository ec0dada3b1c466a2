//! An agent at the other end of a socket pair.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};

use kconform_plan::{
    Call, ChildEnd, End, Facts, FromAgent, Function, Observation, Plan, Record, RecordKind, Step, ToAgent,
    Trouble, WIRE_VERSION, read_frame, write_frame,
};
use tempfile::TempDir;

/// A running agent; dropping it ends it and checks that it ended well.
pub(crate) struct Agent {
    pub(crate) stream: UnixStream,
    pub(crate) child: Child,
    pub(crate) facts: Facts,
    pub(crate) scratch: TempDir,
}

impl Agent {
    pub(crate) fn start() -> Agent {
        let (stream, theirs) = UnixStream::pair().expect("a socket pair");
        let theirs = OwnedFd::from(theirs);
        let scratch = TempDir::new().expect("a directory");
        let mut command = match elsewhere() {
            Some(way) => {
                let mut command = Command::new("sh");
                command.args(["-c", way.as_str()]).stdout(theirs.try_clone().expect("one fd more"));
                command
            }
            None => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_kconform-agent"));
                command.args(["--scratch".as_ref(), scratch.path()]);
                command
            }
        };
        let child = command.stdin(theirs).spawn().expect("the agent");
        drop(command);
        let mut agent = Agent { stream, child, facts: Facts::default(), scratch };
        match agent.hear() {
            FromAgent::Ready { version: WIRE_VERSION, facts } => agent.facts = *facts,
            other => panic!("{other:?}"),
        }
        agent
    }

    pub(crate) fn hear(&mut self) -> FromAgent {
        read_frame(&mut self.stream).expect("a message")
    }

    pub(crate) fn say(&mut self, message: &ToAgent) {
        write_frame(&mut self.stream, message).expect("the agent listens");
    }

    /// Runs one plan.
    pub(crate) fn run_plan(&mut self, plan: Plan) -> Seen {
        self.say(&ToAgent::Run { id: 7, plan: Box::new(plan) });
        assert_eq!(self.hear(), FromAgent::Started { id: 7 });
        match self.hear() {
            FromAgent::Ran { id: 7, observation } => Seen(*observation),
            other => panic!("{other:?}"),
        }
    }

    /// Runs steps, numbered here, within 20 seconds.
    pub(crate) fn run(&mut self, steps: Vec<Step>) -> Seen {
        self.run_within(20_000, steps)
    }

    pub(crate) fn run_within(&mut self, timeout_ms: u64, mut steps: Vec<Step>) -> Seen {
        crate::plans::count(&mut steps, &mut 0);
        if self.facts.machine == "riscv64" && cfg!(target_arch = "x86_64") {
            crate::plans::each_call(&mut steps, &mut riscv64);
        }
        self.run_plan(Plan { slots: 8, timeout_ms, sysctls: Vec::new(), steps })
    }

    /// Processes that descend from the agent, as far as they can be seen from here. The agent itself is in a PID
    /// namespace of its own, as its PID 1, where it may make one.
    pub(crate) fn descendants(&self) -> Vec<u32> {
        if elsewhere().is_some() {
            return Vec::new();
        }
        let mut found = vec![self.child.id()];
        let mut next = 0;
        while let Some(&parent) = found.get(next) {
            next += 1;
            for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
                let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
                let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
                let ppid = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
                if ppid.and_then(|p| p.parse().ok()) == Some(parent) {
                    found.push(pid);
                }
            }
        }
        let is_agent = |pid: &u32| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            numbers.is_some_and(|numbers| numbers.split_whitespace().nth(1) == Some("1"))
        };
        found.split_off(1).into_iter().filter(|pid| !is_agent(pid)).collect()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        let status = self.child.wait();
        if !std::thread::panicking() {
            assert!(status.expect("an exit status").success());
        }
    }
}

/// Plans are made with this machine's syscall numbers.
fn riscv64(call: &mut Call) {
    if let Function::Syscall(number) = &mut call.function {
        let name = syscalls::x86_64::Sysno::new(*number as usize).map(|there| there.name());
        let here = name.and_then(|name| name.parse::<syscalls::riscv64::Sysno>().ok());
        *number = here.map_or(*number, |here| here.id() as u64);
    }
}

/// A shell command whose stdin and stdout are the stream of another agent, a guest's say: `KCONFORM_TEST_AGENT`. Tests that
/// look at the agent's machine themselves then do nothing.
pub(crate) fn elsewhere() -> Option<String> {
    std::env::var("KCONFORM_TEST_AGENT").ok()
}

/// Runs steps in an agent of their own.
pub(crate) fn run(steps: Vec<Step>) -> Seen {
    Agent::start().run(steps)
}

/// What an agent saw.
#[derive(Debug)]
pub(crate) struct Seen(pub(crate) Observation);

impl Seen {
    /// The return values, by step, in order.
    pub(crate) fn rets(&self) -> Vec<(u32, i64)> {
        self.each(|record| match &record.kind {
            RecordKind::Done { ret, .. } => Some((record.step, *ret)),
            _ => None,
        })
    }

    /// The steps whose call was begun.
    pub(crate) fn begun(&self) -> Vec<u32> {
        self.each(|record| matches!(record.kind, RecordKind::Begin { .. }).then_some(record.step))
    }

    /// The ends of children, by step.
    pub(crate) fn children(&self) -> Vec<(u32, ChildEnd)> {
        self.each(|record| match record.kind {
            RecordKind::Child(end) => Some((record.step, end)),
            _ => None,
        })
    }

    /// What the agent could not do, by step.
    pub(crate) fn troubles(&self) -> Vec<(u32, Trouble)> {
        self.each(|record| match &record.kind {
            RecordKind::Trouble(trouble) => Some((record.step, trouble.clone())),
            _ => None,
        })
    }

    /// The outputs of a step's last call.
    pub(crate) fn outputs(&self, step: u32) -> Vec<Vec<u8>> {
        let all = self.each(|record| match &record.kind {
            RecordKind::Done { outputs, .. } if record.step == step => Some(outputs.clone()),
            _ => None,
        });
        all.last().expect("a call of that step").iter().map(kconform_plan::Bytes::full).collect()
    }

    fn each<T>(&self, of: impl FnMut(&Record) -> Option<T>) -> Vec<T> {
        self.0.records.iter().filter_map(of).collect()
    }

    /// All went well, with nothing left.
    #[track_caller]
    pub(crate) fn clean(self) -> Seen {
        assert_eq!((self.0.end, self.0.left_behind, self.0.dropped), (End::Finished, 0, 0), "{self:#?}");
        assert_eq!(self.troubles(), [], "{self:#?}");
        self
    }
}

/// The tests run privileged (in the initial user namespace, with all that unprivileged blocks and sysctls need).
pub(crate) fn privileged() -> bool {
    Agent::start().facts.capabilities & (1 << 21 | 1 << 7 | 1 << 6) == (1 << 21 | 1 << 7 | 1 << 6)
}
