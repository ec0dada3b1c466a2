//! Each case on each target is a test: `cargo test -p kconform-example native::eventfd`.
fn main() -> std::process::ExitCode {
    kconform::trials::main(&["cases".as_ref()])
}
