//! Plans made by hand.

use kconform_plan::{
    Buffer, Call, Expect, Function, Last, Op, Output, Piece, Region, Ret, Save, Source, Step, Value, Want,
};

/// An argument.
pub(crate) fn n(number: i64) -> Value {
    Value::Number(number as u64)
}

/// A saved value.
pub(crate) fn slot(slot: u32) -> Value {
    Value::Slot(slot, 0)
}

/// A system call that must succeed.
pub(crate) fn syscall(number: libc::c_long, args: &[Value]) -> Step {
    call(Function::Syscall(number as u64), args)
}

pub(crate) fn call(function: Function, args: &[Value]) -> Step {
    let big_endian = cfg!(target_endian = "big");
    let expect = Expect { ret: Ret::Success, outputs: Vec::new(), signal: None, big_endian };
    let (args, buffers) = (args.to_vec(), Vec::new());
    let (outputs, saves) = (Vec::new(), Vec::new());
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
    op(Op::Call(Box::new(call)))
}

pub(crate) fn op(op: Op) -> Step {
    Step { index: 0, op }
}

/// What a test adds to a call.
pub(crate) trait With {
    fn with(self, change: impl FnOnce(&mut Call)) -> Step;
    fn buffer(self, pieces: Vec<Piece>) -> Step;
    fn output(self, buffer: u32) -> Step;
    fn expect(self, nth: u32, want: Want) -> Step;
    fn ret(self, ret: i64) -> Step;
    fn errno(self, errno: i32) -> Step;
    fn save(self, slot: u32) -> Step;
    fn signal(self, signal: i32) -> Step;
}

impl With for Step {
    fn with(mut self, change: impl FnOnce(&mut Call)) -> Step {
        match &mut self.op {
            Op::Call(call) => change(call),
            other => panic!("{other:?} is no call"),
        }
        self
    }

    fn buffer(self, pieces: Vec<Piece>) -> Step {
        self.with(|call| call.buffers.push(Buffer { pieces, overlays: Vec::new() }))
    }

    fn output(self, buffer: u32) -> Step {
        self.with(|call| call.outputs.push(Output { buffer, region: Region::Whole }))
    }

    fn expect(self, nth: u32, want: Want) -> Step {
        self.with(|call| call.expect.outputs.push((nth, want)))
    }

    fn ret(self, ret: i64) -> Step {
        self.with(|call| call.expect.ret = Ret::Exactly(n(ret)))
    }

    fn errno(self, errno: i32) -> Step {
        self.with(|call| call.expect.ret = Ret::Errno(vec![errno]))
    }

    fn save(self, slot: u32) -> Step {
        self.with(|call| call.saves.push(Save { slot, from: Source::Ret }))
    }

    fn signal(self, signal: i32) -> Step {
        self.with(|call| call.expect.signal = Some(signal))
    }
}

/// The lists of steps inside a step.
fn inside(step: &mut Step) -> Vec<&mut Vec<Step>> {
    match &mut step.op {
        Op::Call(_) => Vec::new(),
        Op::Parallel(lists) => lists.iter_mut().collect(),
        Op::Fork(steps)
        | Op::Exec(steps)
        | Op::Unprivileged { steps, .. }
        | Op::Repeat { steps, .. }
        | Op::SendFd { steps, .. }
        | Op::Sysctl { steps, .. } => vec![steps],
    }
}

/// Numbers steps in written order, blocks before their contents.
pub(crate) fn count(steps: &mut [Step], next: &mut u32) {
    for step in steps {
        step.index = *next;
        *next += 1;
        inside(step).into_iter().for_each(|steps| count(steps, next));
    }
}

/// Does something to each call.
pub(crate) fn each_call(steps: &mut [Step], change: &mut dyn FnMut(&mut Call)) {
    for step in steps {
        if let Op::Call(call) = &mut step.op {
            change(call);
        }
        inside(step).into_iter().for_each(|steps| each_call(steps, change));
    }
}

pub(crate) fn getpid() -> Step {
    syscall(libc::SYS_getpid, &[])
}

/// The process's own pid in slot 0, then a signal to itself.
pub(crate) fn kill_itself(signal: i32) -> [Step; 2] {
    [getpid().save(0), syscall(libc::SYS_kill, &[slot(0), n(signal.into())])]
}

pub(crate) fn exit_group(status: i64) -> Step {
    syscall(libc::SYS_exit_group, &[n(status)])
}

/// Sleeps for so many seconds.
pub(crate) fn sleep(seconds: u64) -> Step {
    let time = [seconds, 0].map(|value| Piece::Value { value: Value::Number(value), width: 8, shift: 0 });
    syscall(libc::SYS_nanosleep, &[Value::Address(0), n(0)]).buffer(time.to_vec())
}

/// Anonymous private memory of that length in slot `to`.
pub(crate) fn mmap(length: i64, to: u32) -> Step {
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let args = [0, length, prot.into(), flags.into(), -1, 0].map(n);
    syscall(libc::SYS_mmap, &args).save(to)
}

/// open(2) of a path as it stands, into slot `to`.
pub(crate) fn open(path: &str, flags: i32, to: u32) -> Step {
    let args = [n(libc::AT_FDCWD.into()), Value::Address(0), n(flags.into()), n(0o644)];
    syscall(libc::SYS_openat, &args).buffer(vec![text(path)]).save(to)
}

pub(crate) fn text(text: &str) -> Piece {
    Piece::Bytes([text.as_bytes(), b"\0"].concat())
}

/// A clone(2) that makes a process which waits for ever; `flags` beside SIGCHLD.
pub(crate) fn clone(flags: i32) -> Step {
    let flags = n(i64::from(flags | libc::SIGCHLD));
    let args = if cfg!(target_arch = "s390x") { [n(0), flags] } else { [flags, n(0)] };
    syscall(libc::SYS_clone, &args)
}

pub(crate) fn fork(steps: Vec<Step>) -> Step {
    op(Op::Fork(steps))
}

pub(crate) fn exec(steps: Vec<Step>) -> Step {
    op(Op::Exec(steps))
}

pub(crate) fn repeat(times: i64, counter: Option<u32>, steps: Vec<Step>) -> Step {
    op(Op::Repeat { times: n(times), slot: counter, steps })
}
