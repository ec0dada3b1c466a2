//! The page: what is in the file, and what a browser makes of it where there is one.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::sample::{NASTY, document};
use super::written;
use crate::report::Format;

#[test]
fn nothing_in_it_is_fetched_and_nothing_ends_the_data() {
    let page = written(Format::Html, &document());
    assert!(NASTY.contains("</script>"));
    assert_eq!(page.matches("</script>").count(), 2, "the data's and the page's own");
    assert!(!page.contains('\0'));
    for fetch in ["http:", "https:", "src=", "@import", "url("] {
        assert!(!page.contains(fetch), "{fetch}");
    }
    assert!(page.contains(r#"http-equiv="Content-Security-Policy" content="default-src 'none'"#));
}

#[test]
fn the_same_text_is_there_once() {
    let mut many = document();
    let case = many.cases[0].clone();
    many.cases.extend((0..1000).map(|nth| {
        let mut case = case.clone();
        case.id = format!("{}_{nth}", case.id);
        case
    }));
    let each = (written(Format::Html, &many).len() - written(Format::Html, &document()).len()) / 1000;
    assert!(each < 200, "{each} bytes for each further case");
}

/// What Chromium has made of the page at that address (the part after `#`).
fn rendered(address: &str) -> Option<String> {
    const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
    let program = PROGRAMS.iter().find_map(|name| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder: PathBuf| folder.join(name)).find(|file| file.is_file())
    });
    let Some(program) = program else {
        eprintln!("ignored: there is no Chromium here");
        return None;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("report.html");
    std::fs::write(&page, written(Format::Html, &document())).expect("written");
    let output = Command::new(program)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--virtual-time-budget=2000", "--dump-dom"])
        .arg(user_data(folder.path()))
        .arg(format!("file://{}#{address}", page.display()))
        .output()
        .expect("it runs");
    let dom = String::from_utf8(output.stdout).expect("text");
    assert!(dom.contains("data-ready="), "the script did not come to its end:\n{dom}");
    // What follows is data and script.
    dom.split("<footer>").next().map(str::to_owned)
}

fn user_data(folder: &Path) -> String {
    format!("--user-data-dir={}", folder.join("browser").display())
}

#[test]
fn a_browser_shows_the_matrix() {
    let Some(dom) = rendered("") else { return };
    let place = |words: &str| dom.find(words).unwrap_or_else(|| panic!("{words} is not there:\n{dom}"));
    assert!(place("Targets differ") < place("on all targets alike"));
    assert!(place("on all targets alike") < place("<caption>bpf/map/array"));
    assert!(dom.contains("8 of 8 cases"));
    assert!(dom.contains("lost: given up after 20 agents"));
    assert!(dom.contains(r#"aria-label="delete_is_refused on native: failed""#));
    assert!(dom.contains("✗ failed (flaky)"));
    assert!(dom.contains(r#"<p id="partial" role="alert">"#), "that it is partial is said");
}

#[test]
fn a_browser_filters_and_opens_a_cell() {
    let address = "errno=EINVAL&target=0&text=refused&open=bpf/map/array::delete_is_refused&on=native";
    let Some(dom) = rendered(address) else { return };
    assert!(dom.contains("1 of 8 cases"));
    assert!(!dom.contains("is_skipped"));
    for words in [
        "<dd>ENOENT (2, No such file or directory)</dd>",
        "<dd>EINVAL (22, Invalid argument)</dd>",
        "<code>errno: ENOENT</code>",
        "cases/bpf/map/array.yaml:23:9",
        "<mark>&gt; bpf(BPF_MAP_DELETE_ELEM, {map_fd=3}, 32) = -1 EINVAL (Invalid argument)</mark>",
        "bpf: a remark",
        "kconform run --target native --exact 'bpf/map/array::delete_is_refused'",
    ] {
        assert!(dom.contains(words), "{words} is not there:\n{dom}");
    }
}
