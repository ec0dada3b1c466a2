//! Takes plans from the host and gives observations back.

use kconform_plan::{
    FromAgent, Op, Plan, Step, Sysctl, ToAgent, Value, WIRE_VERSION, WireError, read_frame, write_frame,
};

use crate::case::spare::Spare;
use crate::case::{Cases, Outcome};
use crate::facts::{btf, facts, settings};
use crate::memory::heap;
use crate::signals;
use crate::stream::{Kind, Stream};
use crate::sys;
use crate::traces::look::look;
use crate::trouble::Failed;

/// How long a guest rests before it is ready.
const SETTLING_NS: u64 = 20_000_000;
/// How long a case that does nothing may take.
const REHEARSAL_MS: u64 = 10_000;

/// Says `Ready` and runs what comes, until the host says `Quit` or goes away.
pub(crate) fn session(
    mut stream: Stream,
    mut cases: Cases,
    sysctls: Vec<(String, Sysctl)>,
    remarks: Vec<String>,
) -> Result<(), Failed> {
    let facts = Box::new(facts(&cases.kernel_log, sysctls, remarks));
    cases.objects.blind = facts.refusals.iter().any(|refusal| refusal.call == libc::SYS_bpf as u64);
    heap::lie_close();
    if stream.kind != Kind::Host {
        rehearse(&mut cases);
        cases.spare = Spare::fork(cases.log, &cases.oom_score);
        // What the kernel puts off until a grace period is over had better be done before the guest's snapshot.
        sys::pause_ns(SETTLING_NS);
    }
    let mut more = tell(&mut stream, &FromAgent::Ready { version: WIRE_VERSION, facts })?;
    while more {
        more = match next_message(&mut stream, &mut cases) {
            Ok(ToAgent::Run { id, plan }) if plan.steps.is_empty() => {
                if cfg!(target_arch = "riscv64") {
                    signals::fire_timer();
                }
                tell(&mut stream, &FromAgent::Ran { id, observation: Box::new(cases.nothing()) })?
            }
            Ok(ToAgent::Run { id, plan }) => {
                tell(&mut stream, &FromAgent::Started { id })?
                    && match cases.run(id, &plan, stream.watched()) {
                        Outcome::Ran(seen) => {
                            let settled = cases.objects.settled();
                            let told =
                                settled.is_empty() || tell(&mut stream, &FromAgent::Traces { settled })?;
                            told && tell(&mut stream, &FromAgent::Ran { id, observation: Box::new(seen) })?
                        }
                        Outcome::Spent(seen, why) => {
                            let settled = cases.objects.settled();
                            if !settled.is_empty() {
                                tell(&mut stream, &FromAgent::Traces { settled })?;
                            }
                            tell(&mut stream, &FromAgent::Spent { why })?;
                            tell(&mut stream, &FromAgent::Ran { id, observation: Box::new(seen) })?;
                            return Ok(());
                        }
                        Outcome::Abandoned => false,
                    }
            }
            Ok(ToAgent::Btf { queries }) => {
                tell(&mut stream, &FromAgent::Btf { answers: btf::answers(&queries) })?
            }
            Ok(ToAgent::Sysctls { names }) => {
                let values = names.iter().map(|name| settings::sysctl(name)).collect();
                tell(&mut stream, &FromAgent::Sysctls { values })?
            }
            Ok(ToAgent::Watch) => {
                cases.objects.watch(stream.kind == Kind::Host);
                true
            }
            Ok(ToAgent::Look) => tell(&mut stream, &FromAgent::Looked { things: look(cases.shares) })?,
            Ok(ToAgent::Settle { patience_ms }) => {
                let settled = cases.objects.settle_within(patience_ms);
                tell(&mut stream, &FromAgent::Traces { settled })?
            }
            Ok(ToAgent::Seed { pool, draws }) => {
                sys::seed_random(pool);
                sys::draw_random(draws);
                true
            }
            Ok(ToAgent::Quit) => return Ok(()),
            Err(WireError::Closed) => false,
            Err(error) => return Err(error.to_string()),
        };
    }
    match stream.kind {
        Kind::Host => Ok(()),
        // The host does not close it as long as the guest is to run.
        Kind::Port | Kind::Serial => Err("the port to the host is gone".into()),
    }
}

/// Runs a case that does nothing, so that the first one of a restored guest finds the kernel's caches filled: each path that
/// it need not go is one that QEMU need not translate.
fn rehearse(cases: &mut Cases) {
    // A guest has nothing to gather random numbers from, and until it has them each one costs it a hash of all that it has.
    // They are no secret: the host sends others to each guest of the snapshot.
    sys::seed_random([0x6b; 32]);
    // The first time takes longer.
    sys::draw_random(1);
    let nothing = Op::Repeat { times: Value::Number(0), slot: None, steps: Vec::new() };
    let steps = vec![Step { index: 0, op: nothing }];
    // Whatever comes of it, the first case will meet it too.
    let _ = cases.run(0, &Plan { slots: 0, timeout_ms: REHEARSAL_MS, sysctls: Vec::new(), steps }, None);
}

/// Reads a message. The spare process, if there is one, may have to read it too.
fn next_message(stream: &mut Stream, cases: &mut Cases) -> Result<ToAgent, WireError> {
    match &mut cases.spare {
        Some(spare) => read_frame(&mut spare.listen(stream)),
        None => read_frame(stream),
    }
}

/// Sends a message; `false` when the host is gone.
fn tell(stream: &mut Stream, message: &FromAgent) -> Result<bool, Failed> {
    match write_frame(stream, message) {
        Ok(()) => Ok(true),
        Err(WireError::Io(_)) => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}
