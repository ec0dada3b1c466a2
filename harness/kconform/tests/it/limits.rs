//! What is too large is a mistake; what is not too large runs.

use rstest::rstest;

use crate::guests::is_set_up;
use crate::program::{Place, not_here};

/// Cases at the limits, which are told by `kconform check`, are no trouble on any target.
#[rstest]
fn what_is_not_too_large_runs(#[values("native", "x86_64", "riscv64")] target: &str) {
    if target != "native" && !is_set_up(target) {
        return not_here("guests");
    }
    let said = Place::data().say(&["run", "--target", target, "--cases", "hostile/limits.yaml"]);
    assert_eq!(said.assert_status(0).counts(target), "9 passed");
}

/// Nothing is made of what is too large, and nothing is skipped.
#[rstest]
#[case::nested("{times: [0x4000, {times: [0x4000, {times: [32, {u8: 1}]}]}]}", "a buffer of 8 GiB")]
#[case::wide("{times: [0xffffffffffffffff, {u64: 1}]}", "a buffer of 16 EiB or more")]
#[case::many(
    "{list: [{addr_of: {zero: 0x1000000}}, {addr_of: {zero: 0x1000000}}, {addr_of: {zero: 0x1000000}}]}",
    "the buffers of this case are 48.0 MiB (50331672 bytes)"
)]
fn what_is_too_large_is_a_mistake(#[case] buffer: &str, #[case] told: &str) {
    let place = Place::with(&format!("cases:\n  - name: x\n    steps:\n      - write: [1, {buffer}, 4]\n"));
    for words in [&["check"][..], &["run", "--target", "native"]] {
        let said = place.say(words).assert_status(2);
        assert!(said.all().contains(told) && said.all().contains("s.yaml:4:"), "{}", said.all());
    }
}
