//! Agents that say what they should not.

#![allow(clippy::unwrap_used)]

use std::io::Cursor;

use super::*;
use crate::guest::Work;

struct Gone;

impl Keeper for Gone {
    fn last_words(&mut self) -> LastWords {
        LastWords { what: "it is gone".into(), ..LastWords::default() }
    }
}

/// A session with an agent that says this and no more.
fn open(said: &[FromAgent]) -> Result<Session, (Broken, LastWords)> {
    let mut bytes = Vec::new();
    for message in said {
        write_frame(&mut bytes, message).unwrap();
    }
    let (reader, writer) = (Box::new(Cursor::new(bytes)), Box::new(Vec::new()));
    let link = Link { reader, writer, keeper: Box::new(Gone), serial: false };
    Session::open(link, Duration::from_secs(20), 1.0)
}

fn ready() -> FromAgent {
    let facts = Facts { fingerprint: env!("KCONFORM_FINGERPRINT").into(), ..Facts::default() };
    FromAgent::Ready { version: WIRE_VERSION, facts: Box::new(facts) }
}

fn ran(id: u64) -> FromAgent {
    let observation = Observation {
        records: Vec::new(),
        end: kconform_plan::End::Finished,
        duration_ns: 0,
        kernel_log: Vec::new(),
        taint: None,
        left_behind: 0,
        lingers: false,
        unusual: false,
        dropped: 0,
    };
    FromAgent::Ran { id, observation: Box::new(observation) }
}

fn failed() -> FromAgent {
    FromAgent::Failed { text: "signalfd: errno 24".into() }
}

fn plan() -> Plan {
    Plan { slots: 0, timeout_ms: 1000, sysctls: Vec::new(), steps: Vec::new() }
}

#[test]
fn what_an_agent_should_not_say_is_told() {
    let facts = Facts { fingerprint: "0123456789abcdef".into(), ..Facts::default() };
    let stale = FromAgent::Ready { version: WIRE_VERSION, facts: Box::new(facts) };
    let started = [vec![ran(1)], vec![failed()], vec![stale], vec![]];
    let mut told: Vec<_> = started
        .iter()
        .map(|said| {
            let (broken, words) = open(said).err().unwrap();
            format!("at its start: {}", words.after(&broken))
        })
        .collect();
    for said in [ran(2), ready(), failed(), FromAgent::Btf { answers: Vec::new() }] {
        let mut session = open(&[ready(), said]).unwrap();
        session.send(1, plan()).unwrap();
        told.push(format!("asked for a case: {}", session.receive().unwrap_err()));
    }
    let query = BtfQuery { kind: 4, name: "task_struct".into(), want: kconform_plan::BtfWant::Id };
    for said in [ran(2), failed(), FromAgent::Btf { answers: Vec::new() }] {
        let mut session = open(&[ready(), said]).unwrap();
        told.push(format!("asked for a type: {}", session.btf(vec![query.clone()]).unwrap_err()));
    }
    insta::assert_snapshot!(told.join("\n").replace(env!("KCONFORM_FINGERPRINT"), "[fingerprint]"));
}

/// What the machine gives no time at all, or all of it.
struct Machine {
    is_busy: bool,
    kernel_fault: Option<String>,
}

impl Keeper for Machine {
    fn last_words(&mut self) -> LastWords {
        let kernel_fault = self.kernel_fault.clone();
        LastWords { what: "QEMU is still there".into(), kernel_fault, ..LastWords::default() }
    }

    fn watch(&self) -> Option<Watch> {
        let (begun, is_busy) = (Instant::now(), self.is_busy);
        let worked = move || if is_busy { Duration::ZERO } else { begun.elapsed() };
        Some(Watch::new(Box::new(move || Work { worked: worked(), waits: true })))
    }
}

/// A session with an agent that answers after so many milliseconds, and what it answers with.
fn slow(machine: Machine, answers_after: u64) -> (Session, std::os::unix::net::UnixStream) {
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    write_frame(&mut theirs, &ready()).unwrap();
    let mut answering = theirs.try_clone().unwrap();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(answers_after));
        write_frame(&mut answering, &ran(1))
    });
    let (reader, writer) = (Box::new(ours), Box::new(Vec::new()));
    let link = Link { reader, writer, keeper: Box::new(machine), serial: false };
    // Without a grace.
    (Session::open(link, Duration::from_secs(20), 0.0).unwrap(), theirs)
}

#[test]
fn it_is_known_whether_a_case_was_held_up() {
    for is_busy in [true, false] {
        let machine = || Machine { is_busy, kernel_fault: None };
        let (mut session, _stream) = slow(machine(), 400);
        session.send(1, plan()).unwrap();
        session.receive().unwrap();
        assert_eq!(session.held_up().is_some_and(|held_up| held_up.share < 0.1), is_busy);
        // An answer that comes at once says nothing of that.
        let (mut session, _stream) = slow(machine(), 0);
        session.send(1, plan()).unwrap();
        session.receive().unwrap();
        assert_eq!(session.held_up(), None);
    }
}

#[test]
fn an_agent_that_is_held_up_is_waited_for_longer_but_not_for_ever() {
    for (is_busy, fault, limit) in [(true, None, 300), (false, None, 100), (true, Some("a soft lockup"), 300)]
    {
        let kernel_fault = fault.map(str::to_owned);
        let (mut session, _stream) = slow(Machine { is_busy, kernel_fault }, 5000);
        session.send(1, Plan { timeout_ms: 100, ..plan() }).unwrap();
        let begun = Instant::now();
        let broken = session.receive().unwrap_err();
        assert!(matches!(broken, Broken::Silent(_)), "{broken}");
        assert!(begun.elapsed() >= Duration::from_millis(limit), "{:?}", begun.elapsed());
        let words = session.last_words(&broken);
        // What the kernel says of itself counts whatever the machine does.
        let is_held_up = is_busy && fault.is_none();
        assert_eq!((words.held_up, words.what.as_str()), (is_held_up, "QEMU is still there"));
    }
}

/// What comes piece by piece is no silence, however long the whole takes.
#[test]
fn an_answer_on_its_way_is_waited_for() {
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    write_frame(&mut theirs, &ready()).unwrap();
    let link =
        Link { reader: Box::new(ours), writer: Box::new(Vec::new()), keeper: Box::new(Gone), serial: false };
    let mut session = Session::open(link, Duration::from_secs(20), 0.0).unwrap();
    session.send(1, Plan { timeout_ms: 1000, ..plan() }).unwrap();
    let mut answer = Vec::new();
    write_frame(&mut answer, &ran(1)).unwrap();
    let pause = Duration::from_millis(2500 / answer.len() as u64);
    let _agent = std::thread::spawn(move || {
        for byte in answer {
            std::thread::sleep(pause);
            theirs.write_all(&[byte]).unwrap();
        }
        theirs
    });
    let begun = Instant::now();
    assert_eq!(session.receive().unwrap().0, 1);
    assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
}
