//! A project that has something to say of the kernel: case files in `cases/`, and three lines in `tests/conformance.rs`
//! that make each of them, on each target, a test of `cargo test`.
//!
//! Its `Cargo.toml` needs kconform among the `dev-dependencies`, and `harness = false` for the test. The targets are
//! `native`, `x86_64` and `riscv64`, or those that `KCONFORM_TARGETS` names.
