//! Agents that say what they should not.

#![allow(clippy::unwrap_used)]

use std::io::Cursor;

use super::*;

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
