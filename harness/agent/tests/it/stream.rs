//! The stream between host and agent.

use std::io::Write;
use std::process::{Command, Stdio};

use kconform_plan::{End, FromAgent, Plan, ToAgent, read_frame, write_frame};

use crate::agent::{Agent, elsewhere};
use crate::plans::*;

fn plan(mut steps: Vec<kconform_plan::Step>) -> Box<Plan> {
    count(&mut steps, &mut 0);
    Box::new(Plan { slots: 4, timeout_ms: 60_000, sysctls: Vec::new(), steps })
}

#[test]
fn facts_are_those_of_this_machine() {
    if elsewhere().is_some() {
        return;
    }
    let agent = Agent::start();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc");
    assert_eq!(agent.facts.release, release.trim());
    assert!(agent.facts.possible_cpus >= agent.facts.online_cpus && agent.facts.online_cpus >= 1);
    assert_eq!(
        agent.facts.uid,
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").expect("/proc"))
    );
    assert!(agent.facts.remarks.is_empty());
}

#[test]
fn plans_that_are_sent_ahead_run_in_order() {
    let mut agent = Agent::start();
    for id in 0..50 {
        agent.say(&ToAgent::Run { id, plan: plan(vec![getpid()]) });
    }
    for id in 0..50 {
        assert_eq!(agent.hear(), FromAgent::Started { id });
        match agent.hear() {
            FromAgent::Ran { id: ran, observation } => {
                assert_eq!((ran, observation.end), (id, End::Finished))
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn quit_ends_the_agent() {
    let mut agent = Agent::start();
    agent.say(&ToAgent::Quit);
    assert!(agent.child.wait().expect("a status").success());
}

#[test]
fn a_host_that_goes_away_takes_the_case_and_its_daemons_along() {
    if elsewhere().is_some() {
        return;
    }
    let mut agent = Agent::start();
    let steps = vec![fork(vec![syscall(libc::SYS_setsid, &[]), clone(0)]), sleep(1000)];
    agent.say(&ToAgent::Run { id: 1, plan: plan(steps) });
    assert_eq!(agent.hear(), FromAgent::Started { id: 1 });
    let tree = loop {
        let tree = agent.descendants();
        if tree.len() == 2 {
            break tree;
        }
    };
    drop(agent);
    assert!(tree.iter().all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()));
}

#[test]
fn a_pair_of_pipes_serves_as_well() {
    let scratch = tempfile::TempDir::new().expect("a directory");
    let mut child = Command::new(env!("CARGO_BIN_EXE_kconform-agent"))
        .args(["--scratch".as_ref(), scratch.path()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the agent");
    let (mut to, mut from) = (child.stdin.take().expect("stdin"), child.stdout.take().expect("stdout"));
    assert!(matches!(read_frame(&mut from).expect("a message"), FromAgent::Ready { .. }));
    write_frame(&mut to, &ToAgent::Run { id: 3, plan: plan(vec![getpid()]) }).expect("it listens");
    assert_eq!(read_frame::<FromAgent>(&mut from).expect("a message"), FromAgent::Started { id: 3 });
    assert!(matches!(read_frame(&mut from).expect("a message"), FromAgent::Ran { id: 3, .. }));
    drop(to);
    assert!(child.wait().expect("a status").success());
}

#[test]
fn what_is_no_message_is_refused_aloud() {
    if elsewhere().is_some() {
        return;
    }
    let mut agent = Agent::start();
    agent.stream.write_all(&[0xff; 8]).expect("it listens");
    assert!(matches!(agent.hear(), FromAgent::Failed { .. }));
    assert!(!agent.child.wait().expect("a status").success());
    // Its end is what this test is about, so it need not be a good one.
    std::mem::forget(agent);
}
