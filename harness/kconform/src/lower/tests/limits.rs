//! What reading case files lets pass can be lowered, and what it does not is far too large to be made.

use kconform_abi::Arch;
use kconform_plan::Op;
use proptest::prelude::*;

use super::kernel;
use crate::kernel::Kernel;
use crate::limits::{CASE, CONTENTS, CPUS, PARTS};
use crate::load::{SuiteFile, load, message};
use crate::lower::lower;
use crate::place::File;

/// Sizes around all limits, and around those of numbers.
fn size() -> impl Strategy<Value = u64> {
    let sizes: Vec<u64> =
        [0, 1, 8, 1 << 12, 1 << 18, 1 << 20, 1 << 23, 1 << 24, 1 << 25, 1 << 32, 1 << 63].to_vec();
    let near =
        (prop::sample::select(sizes), 0..3_u64).prop_map(|(size, more)| (size + more).saturating_sub(1));
    prop_oneof![4 => near, 1 => Just(u64::MAX)]
}

fn piece() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        size().prop_map(|n| format!("{{zero: {n}}}")),
        size().prop_map(|n| format!("{{out: {n}}}")),
        size().prop_map(|n| format!("{{fill: [1, {n}]}}")),
        Just("{u32: [1, 2]}".to_owned()),
        Just("{str: x}".to_owned()),
        Just("{bytes: $saved}".to_owned()),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            (size(), inner.clone()).prop_map(|(n, piece)| format!("{{times: [{n}, {piece}]}}")),
            prop::collection::vec(inner.clone(), 1..4)
                .prop_map(|all| format!("{{list: [{}]}}", all.join(", "))),
            inner.prop_map(|piece| format!("{{addr_of: {piece}}}")),
            size().prop_map(|n| format!("{{percpu: {{out: {n}}}}}")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_passes_can_be_lowered(calls in prop::collection::vec(piece(), 1..4)) {
        let calls: String = calls.iter().map(|piece| format!("      - write: [1, {piece}, 4]\n")).collect();
        let text = format!(
            "cases:\n  - name: x\n    steps:\n      - read: [0, {{out: 100, as: saved}}, 100]\n        save: {{saved: saved}}\n{calls}"
        );
        let file = File { path: "s.yaml".into(), text };
        let loaded = load(&[SuiteFile { suite: "s".into(), file: file.into() }]);
        let told = message::render(&loaded.mistakes, false);
        for mistake in &loaded.mistakes {
            prop_assert!(mistake.text.contains("; the most is "), "{}", told);
        }
        for case in &loaded.cases {
            let kernel = Kernel { possible_cpus: CPUS as u32, ..kernel(Arch::X86_64) };
            let lowered = lower(case, &kernel, 1.0).map_err(|unmet| TestCaseError::fail(unmet.reason))?;
            let calls = lowered.plan.steps.iter().filter_map(|step| match &step.op {
                Op::Call(call) => Some(call),
                _ => None,
            });
            let buffers: Vec<_> = calls.flat_map(|call| &call.buffers).collect();
            let parts = buffers.iter().map(|buffer| buffer.pieces.len() as u64).sum::<u64>();
            let bytes = buffers.iter().filter_map(|b| crate::lower::buffer::size(&b.pieces)).sum::<u64>();
            prop_assert!(parts <= PARTS && bytes <= CASE, "{} parts, {} bytes", parts, bytes);
            // A part takes less than this on the wire.
            let wire = kconform_plan::encode(&lowered.plan).expect("a message").len() as u64;
            prop_assert!(wire <= CONTENTS + 16 * PARTS, "{} bytes", wire);
        }
        prop_assert!(loaded.cases.is_empty() != loaded.mistakes.is_empty());
    }
}
