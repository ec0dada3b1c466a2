//! What a case of two calls costs: in the agent, beside a bare fork, exit and wait of the same process (it is to be at most
//! twice that), and for the host at the other end of the stream.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use kconform_plan::{
    Call, Expect, FromAgent, Function, Last, Op, Plan, Ret, Save, Source, Step, ToAgent, Value, read_frame,
    write_frame,
};
use tempfile::TempDir;

const AGENT: &str = env!("CARGO_BIN_EXE_kconform-agent");

/// What the agent says that one run of `what` takes, times `count`.
fn told(what: &str, count: u64) -> Duration {
    let scratch = TempDir::new().expect("a directory");
    let mut agent = Command::new(AGENT);
    agent.args(["--scratch".as_ref(), scratch.path()]).args(["--bench", &count.to_string()]);
    let output = agent.output().expect("the agent").stdout;
    let text = String::from_utf8_lossy(&output);
    let line = text.lines().find_map(|line| line.strip_prefix(what)).expect("a line for each");
    Duration::from_nanos(line.trim().parse::<u64>().expect("nanoseconds") * count)
}

struct Agent {
    stream: UnixStream,
    child: Child,
    _scratch: TempDir,
}

impl Agent {
    fn start() -> Agent {
        let (mut stream, theirs) = UnixStream::pair().expect("a socket pair");
        let scratch = TempDir::new().expect("a directory");
        let mut agent = Command::new(AGENT);
        agent.args(["--scratch".as_ref(), scratch.path()]).stdin(OwnedFd::from(theirs));
        let child = agent.spawn().expect("the agent");
        let _: FromAgent = read_frame(&mut stream).expect("it is ready");
        Agent { stream, child, _scratch: scratch }
    }

    fn run(&mut self, message: &ToAgent) {
        write_frame(&mut self.stream, message).expect("it listens");
        for _ in ["Started", "Ran"] {
            let _: FromAgent = read_frame(&mut self.stream).expect("a message");
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = write_frame(&mut self.stream, &ToAgent::Quit);
        let _ = self.child.wait();
    }
}

/// dup(0), and close of what it returned.
fn two_calls() -> ToAgent {
    let step = |index, number: libc::c_long, arg, saves| {
        let big_endian = cfg!(target_endian = "big");
        let expect = Expect { ret: Ret::Success, outputs: Vec::new(), signal: None, big_endian };
        let (function, args) = (Function::Syscall(number as u64), vec![arg]);
        let (buffers, outputs) = (Vec::new(), Vec::new());
        let call = Call {
            function,
            args,
            buffers,
            outputs,
            saves,
            expect,
            last: Last::default(),
            eventually_ms: None,
            gives_fd: false,
        };
        Step { index, op: Op::Call(Box::new(call)) }
    };
    let dup = step(0, libc::SYS_dup, Value::Number(0), vec![Save { slot: 0, from: Source::Ret }]);
    let close = step(1, libc::SYS_close, Value::Slot(0, 0), Vec::new());
    ToAgent::Run {
        id: 0,
        plan: Box::new(Plan { slots: 1, timeout_ms: 10_000, sysctls: Vec::new(), steps: vec![dup, close] }),
    }
}

fn cases(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("case");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    group.bench_function("bare fork, exit and wait", |b| b.iter_custom(|count| told("bare", count)));
    group.bench_function("two calls, in the agent", |b| b.iter_custom(|count| told("case", count)));
    group.bench_function("two calls, seen from the host", |b| {
        let (mut agent, plan) = (Agent::start(), two_calls());
        b.iter(|| agent.run(&plan));
    });
    group.finish();
}

criterion_group!(benches, cases);
criterion_main!(benches);
