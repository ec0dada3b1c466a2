//! Builds the agent for this machine's architecture, static, so that a native run needs nothing but kconform itself.
//! Agents for other architectures are built by `ci/agents`.

use std::path::{Path, PathBuf};
use std::process::Command;

include!("../plan/fingerprint.rs");

fn main() {
    let harness = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    println!("cargo:rustc-env=KCONFORM_FINGERPRINT={}", agent_fingerprint(&harness));
    println!("cargo:rerun-if-changed=../agent/Cargo.toml");
    println!("cargo:rerun-if-changed=../plan/Cargo.toml");
    println!("cargo:rerun-if-changed=../plan/fingerprint.rs");
    let target = std::env::var("TARGET").expect("cargo sets TARGET");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    println!("cargo:rustc-env=KCONFORM_AGENT={}", build_agent(&harness, &target, &out).display());
}

/// Builds into a folder of its own, so that the two cargos do not wait for each other's lock.
fn build_agent(harness: &Path, target: &str, out: &Path) -> PathBuf {
    let flags = format!("CARGO_TARGET_{}_RUSTFLAGS", target.to_uppercase().replace('-', "_"));
    let folder = out.join("agent");
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--profile", "agent", "--bin", "kconform-agent", "--target", target])
        .arg("--manifest-path")
        .arg(harness.join("agent/Cargo.toml"))
        .arg("--target-dir")
        .arg(&folder)
        // A static binary at a fixed address starts fastest and is its own only file in a guest.
        .env(flags, "-C target-feature=+crt-static -C relocation-model=static")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .status()
        .expect("cargo can be run");
    assert!(status.success(), "the agent could not be built; a static libc is needed (Debian: libc6-dev)");
    folder.join(target).join("agent/kconform-agent")
}
