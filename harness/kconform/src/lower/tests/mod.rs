//! Cases are written as people write them, and plans are shown in a short form of their own ([`show`]).

mod arches;
mod blocks;
mod btf;
mod btf_types;
mod calls;
mod limits;
mod refusals;
mod show;
mod uapi;

use std::path::PathBuf;
use std::sync::Arc;

use kconform_abi::Arch;

use super::{Lowered, lower};
use crate::case::Case;
use crate::kernel::{Kernel, Unmet};
use crate::load::{SuiteFile, load};
use crate::place::File;

/// A kernel of the guest kind, all-powerful, with two CPUs.
fn kernel(arch: Arch) -> Kernel {
    Kernel {
        arch,
        version: vec![6, 12, 5],
        release: "6.12.5".into(),
        possible_cpus: 2,
        page_size: 4096,
        capabilities: u64::MAX,
        in_user_namespace: false,
        uid: 0,
        config: None,
        settings: Arc::default(),
        sysctls: Arc::default(),
        btf: Arc::default(),
        root_lacks: Arc::default(),
        refusals: Arc::default(),
        host: false,
        guest: true,
    }
}

/// The cases of a file with this text, which must be without mistakes.
fn cases(suite: &str, text: &str) -> Vec<Case> {
    let file = Arc::new(File { path: PathBuf::from(format!("{suite}.yaml")), text: text.to_owned() });
    let loaded = load(&[SuiteFile { suite: suite.into(), file }]);
    assert!(loaded.mistakes.is_empty(), "{}", crate::load::message::render(&loaded.mistakes, false));
    loaded.cases
}

/// A case of these steps, each line of which is a YAML list item.
fn case(steps: &str) -> Case {
    let steps: String = steps.trim_matches('\n').lines().map(|line| format!("      {line}\n")).collect();
    let mut cases = cases("test", &format!("cases:\n  - name: test\n    steps:\n{steps}"));
    cases.remove(0)
}

fn lowered(steps: &str) -> Lowered {
    lower(&case(steps), &kernel(Arch::X86_64), 1.0).expect("it can be lowered")
}

fn refused(steps: &str, kernel: &Kernel) -> String {
    lower(&case(steps), kernel, 1.0).map_err(|Unmet { reason }| reason).expect_err("it cannot be lowered")
}
