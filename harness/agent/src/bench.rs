//! What a case costs beside the least that it could cost.

use kconform_plan::{Call, Expect, Function, Last, Op, Plan, Ret, Save, Source, Step, Value, encode};

use crate::case::apart::Place;
use crate::case::{Cases, Outcome};
use crate::signals::Signals;
use crate::start::setup;
use crate::sys;
use crate::traces::look::Namespaces;
use crate::trouble::{Failed, failed};

/// How many runs are timed at once; the time is then theirs on average.
const AT_ONCE: u64 = 20;

/// Times a bare fork, exit and wait of the agent and a case of two calls, so many times each, in turns; prints the medians
/// in nanoseconds (`bare 61000`, `case 83000`) to stdout. The exit status: 0, or 1.
pub fn bench(times: usize, scratch: &str) -> i32 {
    match measure(times, scratch) {
        Ok((bare, case)) => {
            let _ = sys::write(1, format!("bare {bare}\ncase {case}\n").as_bytes());
            0
        }
        Err(text) => {
            crate::panic::say(&text);
            1
        }
    }
}

fn measure(times: usize, scratch: &str) -> Result<(u64, u64), Failed> {
    let signals = Signals::take().map_err(failed("signalfd"))?;
    setup::be_guest_of_the_machine();
    let mut cases = setup::cases(signals, scratch, Place::Machine, Namespaces::now().shared(true))?;
    let plan = two_calls();
    let (mut bare, mut case) = (Vec::new(), Vec::new());
    for _ in 0..times.div_ceil(AT_ONCE as usize).max(1) {
        bare.push(timed(fork_and_wait)?);
        // What the signalfd has to say of those children is not the case's affair.
        signals.hear();
        case.push(timed(|| run(&mut cases, &plan))?);
    }
    Ok((median(bare), median(case)))
}

fn timed(mut run: impl FnMut() -> Result<(), Failed>) -> Result<u64, Failed> {
    let begun = sys::now();
    for _ in 0..AT_ONCE {
        run()?;
    }
    Ok((sys::now() - begun) / AT_ONCE)
}

fn median(mut times: Vec<u64>) -> u64 {
    times.sort_unstable();
    times[times.len() / 2]
}

fn fork_and_wait() -> Result<(), Failed> {
    match sys::fork().map_err(failed("fork"))? {
        0 => sys::exit(0),
        child => sys::wait(child, 0).map(drop).map_err(failed("wait")),
    }
}

fn run(cases: &mut Cases, plan: &Plan) -> Result<(), Failed> {
    match cases.run(0, plan, None) {
        Outcome::Ran(seen) if seen.records.len() == 4 => {
            encode(&seen).map(drop).map_err(|error| error.to_string())
        }
        _ => Err("the two calls did not do what is expected".into()),
    }
}

/// dup(0), and close of what it returned.
fn two_calls() -> Plan {
    let step = |index, function, arg, saves| {
        let big_endian = cfg!(target_endian = "big");
        let expect = Expect { ret: Ret::Success, outputs: Vec::new(), signal: None, big_endian };
        let (args, buffers, outputs) = (vec![arg], Vec::new(), Vec::new());
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
    let number = |number: libc::c_long| Function::Syscall(number as u64);
    let dup = step(0, number(libc::SYS_dup), Value::Number(0), vec![Save { slot: 0, from: Source::Ret }]);
    let close = step(1, number(libc::SYS_close), Value::Slot(0, 0), Vec::new());
    Plan { slots: 1, timeout_ms: 10_000, sysctls: Vec::new(), steps: vec![dup, close] }
}
