//! Tells the agent what it is built from.

include!("../plan/fingerprint.rs");

fn main() {
    let harness = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    println!("cargo:rustc-env=KCONFORM_FINGERPRINT={}", agent_fingerprint(&harness));
}
