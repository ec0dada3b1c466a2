//! What reads our reports elsewhere, each a program of others' behind a few lines of Python. `tools/kunit-parser`,
//! `tools/validators` and Debian's `chromium` and `chromium-driver` bring them; where one is missing there is nothing to
//! compare with, and the test says so. `ci/gate` sets the variables by which each must be there.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The folder of this file.
fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers")
}

/// Something of the cache, where the scripts put it.
pub(crate) fn cached(path: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("kconform").join(path)).filter(|path| path.exists())
}

/// What is there, or `None` with a word about it, unless the variable says that it must be.
pub(crate) fn wanted(there: Option<PathBuf>, variable: &str, what: &str, mend: &str) -> Option<PathBuf> {
    if there.is_none() {
        assert!(std::env::var_os(variable).is_none(), "{what} is not here; {mend}");
        crate::not_tested::not_tested(&format!("{what} is not here; {mend}"));
    }
    there
}

/// A program that `tools/validators` gets.
pub(crate) fn validator(name: &str) -> Option<PathBuf> {
    let there = cached(&format!("validators/bin/{name}"));
    wanted(there, "KCONFORM_REQUIRE_VALIDATORS", name, "tools/validators gets it")
}

/// What a reader says of a text.
#[track_caller]
pub(crate) fn said(python: &Path, script: &str, arguments: &[&OsStr], text: &str) -> String {
    let mut command = Command::new(python);
    command.arg("-B").arg(here().join(script)).args(arguments);
    let mut python = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python can be started");
    // One that ends early says why.
    let _ = python.stdin.take().expect("a pipe").write_all(text.as_bytes());
    let output = python.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The kernel's own parser: a line `target|suite|case|STATUS` for each test, then the number of errors.
#[track_caller]
pub(crate) fn kunit(ktap: &str) -> Option<String> {
    let parser = cached("kunit/kunit_parser.py");
    let parser =
        wanted(parser, "KCONFORM_REQUIRE_KUNIT", "the kernel's parser", "tools/kunit-parser gets it")?;
    Some(said(Path::new("python3"), "ktap.py", &[parser.parent()?.as_os_str()], ktap))
}

/// The schemas of Jenkins' xUnit plugin, and junitparser: what `junit.py` says.
#[track_caller]
pub(crate) fn junit(xml: &str) -> Option<String> {
    let python = validator("python")?;
    let schemas = cached("validators/schemas").expect("they come with it");
    Some(said(&python, "junit.py", &[schemas.as_os_str()], xml))
}

/// What readers of a format think of a report: each by its name, and whether it takes the run to be as it should be. Empty
/// where none is here. Programs that give a verdict do so by their exit status.
#[track_caller]
pub(crate) fn verdicts(format: &str, text: &str) -> Vec<(&'static str, bool)> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    let path = file.path().as_os_str();
    let run = |program: &Path, arguments: &[&OsStr]| {
        let text = std::fs::File::open(file.path()).expect("readable");
        let output = Command::new(program).args(arguments).stdin(text).output().expect("it can be started");
        assert!(output.status.code().is_some_and(|status| status < 2), "{}: {output:?}", program.display());
        output.status.success()
    };
    let words = |them: &[&str], read: &str| !them.iter().any(|word| read.contains(word));
    match format {
        "ktap" => {
            let parser = cached("kunit/kunit.py");
            let mend = "tools/kunit-parser gets it";
            let parser = wanted(parser, "KCONFORM_REQUIRE_KUNIT", "the kernel's parser", mend);
            let Some(parser) = parser else { return Vec::new() };
            let script = here().join("kunit.py");
            let folder = parser.parent().expect("a folder").as_os_str();
            let arguments = [OsStr::new("-B"), script.as_os_str(), folder, path];
            vec![("kunit.py", run(Path::new("python3"), &arguments))]
        }
        "tap" => {
            let (Some(node), Some(tappy)) = (validator("node"), validator("tappy")) else {
                return Vec::new();
            };
            let parser = cached("validators/tap/node_modules/tap-parser/bin/cmd.cjs");
            let parser = parser.expect("it comes with them");
            let arguments = [parser.as_os_str(), OsStr::new("--silent"), OsStr::new("--strict")];
            vec![("tap-parser", run(&node, &arguments)), ("tap.py", run(&tappy, &[path]))]
        }
        "junit" => {
            let Some(program) = validator("junitparser") else { return Vec::new() };
            vec![("junitparser", run(&program, &[OsStr::new("verify"), path]))]
        }
        "kcidb" => {
            let Some(python) = validator("python") else { return Vec::new() };
            assert_eq!(said(&python, "kcidb.py", &[], text), "", "it is valid");
            let red = ["\"status\": \"FAIL\"", "\"status\": \"ERROR\"", "\"status\": \"MISS\""];
            vec![("statuses", words(&red, text))]
        }
        "github" => vec![("annotations", words(&["::error "], text))],
        other => panic!("who reads {other}?"),
    }
}

/// A person at Chromium: does something with a page, and tells what they see (`browser.py` says what can be done).
#[track_caller]
pub(crate) fn person(page: &Path, actions: &Value) -> Option<Vec<Value>> {
    let found = |name: &str| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
    };
    for program in ["chromium", "chromedriver"] {
        let mend = "Debian has it in the packages chromium and chromium-driver";
        wanted(found(program), "KCONFORM_REQUIRE_CHROMIUM", program, mend)?;
    }
    let python = validator("python")?;
    let seen = said(&python, "browser.py", &[page.as_os_str()], &actions.to_string());
    Some(serde_json::from_str(&seen).expect("a list"))
}

/// The YAML language server that editors use, on case files (`editor.py` says what can be asked).
#[track_caller]
#[allow(dead_code, reason = "one of the two crates of tests that share this file has no question")]
pub(crate) fn editor(questions: &Value) -> Option<Vec<Value>> {
    let (node, python) = (validator("node")?, validator("python")?);
    let server = cached("validators/editor/node_modules/yaml-language-server/bin/yaml-language-server");
    let server = server.expect("it comes with them");
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases/schema.json");
    let schema = schema.canonicalize().expect("the schema");
    let arguments = [node.as_os_str(), server.as_os_str(), schema.as_os_str()];
    let answers = said(&python, "editor.py", &arguments, &questions.to_string());
    Some(serde_json::from_str(&answers).expect("a list"))
}
