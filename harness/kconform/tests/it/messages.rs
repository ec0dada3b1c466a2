//! Every message that a person can meet is shown by some test.

use std::path::Path;
use std::process::Command;

#[test]
fn every_message_is_shown_by_a_test() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ci/messages");
    let output = Command::new(script).output().expect("Python");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}
