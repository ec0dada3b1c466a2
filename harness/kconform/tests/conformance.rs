//! The project's own suite, each case on each target a trial.

fn main() -> std::process::ExitCode {
    kconform::trials::main(&[std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../cases"))])
}
