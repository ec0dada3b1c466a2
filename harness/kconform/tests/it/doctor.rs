//! `kconform doctor`, on a machine that has nothing but its own kernel, and on this one.

use crate::program::Place;

#[test]
fn what_is_missing_is_said_with_what_mends_it() {
    let place = Place::new();
    let folder = |name: &str| place.folder().join(name).display().to_string();
    let (cache, agents, programs) = (folder("cache"), folder("agents"), folder("programs"));
    let place = place.env("KCONFORM_CACHE", &cache).env("KCONFORM_AGENTS", &agents).env("PATH", &programs);
    let said = place.say(&["doctor"]).assert_status(3);
    for what in [
        "qemu-system-riscv64 is not installed",
        "the kernel of x86_64-6.12 is not here",
        "to mend it: kconform image fetch x86_64-6.12",
        "there is no agent for riscv64",
        "/ci/agents riscv64",
        "would leave out: x86_64, riscv64",
    ] {
        assert!(said.out.contains(what), "{what} is not said:\n{}", said.all());
    }
}

#[test]
fn its_status_is_that_of_the_default_targets() {
    let targets = Place::new().say(&["targets"]).assert_status(0);
    let ready = |name: &&str| {
        let mut lines = targets.out.lines();
        lines.any(|line| line.ends_with("  ready") && line.split([' ', ',']).any(|word| word == *name))
    };
    let all = ["native", "x86_64", "riscv64"].iter().all(ready);
    let said = Place::new().say(&["doctor"]).assert_status(if all { 0 } else { 3 });
    assert!(said.out.contains("\nPrivileges\n") && said.out.contains("\nTargets\n"), "{}", said.all());
}
