//! The page: what is in the file, and what a person at a browser does with it and sees.

use std::collections::BTreeMap;

use rstest::rstest;
use serde_json::{Value, json};

use crate::document::tests::sample::{NASTY, document};
use crate::document::{Document, Status};
use crate::report::Format;

use super::{readers, written};

#[test]
fn nothing_in_it_is_fetched_and_nothing_ends_the_data() {
    let page = written(Format::Html, &document());
    assert!(NASTY.contains("</script>"));
    assert_eq!(page.matches("</script>").count(), 2, "the data's and the page's own");
    let is_none = |c: char| u32::from(c) & 0xfffe == 0xfffe || ('\u{fdd0}'..='\u{fdef}').contains(&c);
    let wrong: String = page.chars().filter(|&c| c.is_control() && c != '\n' || is_none(c)).collect();
    assert_eq!(wrong, "", "what a page may not hold");
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

/// What a person sees of the page of a report.
fn seen(document: &Document, actions: &Value) -> Option<Vec<Value>> {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("report.html");
    std::fs::write(&page, written(Format::Html, document)).expect("written");
    readers::person(&page, actions)
}

#[track_caller]
fn text(seen: &Value) -> &str {
    seen.as_str().unwrap_or_else(|| panic!("no text: {seen}"))
}

#[test]
fn a_person_sees_the_matrix() {
    let actions =
        json!([["open"], ["see", "body"], ["click", "header summary"], ["see", "#words"], ["complaints"]]);
    let Some(seen) = seen(&document(), &actions) else { return };
    insta::assert_snapshot!("page", text(&seen[1]));
    insta::assert_snapshot!("page_words", text(&seen[2]));
    assert_eq!(seen[3], json!([]));
}

#[test]
fn a_person_filters() {
    let count = || json!(["see", "#count"]);
    let names = || json!(["see", ".matrix tbody th"]);
    let actions = json!([
        ["open"],
        ["keys", "/", "refused"],
        ["wait", "#count", "1 of 9 cases"],
        ["focus"],
        names(),
        ["click", "button[type=reset]"],
        ["wait", "#count", "9 of 9 cases"],
        ["choose", "#status", "crashed"],
        ["wait", "#count", "1 of 9 cases"],
        names(),
        // Crashed on the other target only.
        ["choose", "#target", "native"],
        ["wait", "#count", "0 of 9 cases"],
        ["see", "main"],
        ["choose", "#target", "x86_64"],
        ["wait", "#count", "1 of 9 cases"],
        ["click", "button[type=reset]"],
        ["wait", "#count", "9 of 9 cases"],
        ["choose", "#errno", "EINVAL"],
        ["wait", "#count", "9 of 9 cases"],
        ["choose", "#target", "native"],
        ["wait", "#count", "8 of 9 cases"],
        count(),
        ["click", "button[type=reset]"],
        ["click", "#divergent"],
        ["wait", "#count", "5 of 9 cases"],
        names(),
        ["click", "button[type=reset]"],
        ["choose", "#status", "flaky"],
        ["wait", "#count", "1 of 9 cases"],
        names(),
    ]);
    let Some(seen) = seen(&document(), &actions) else { return };
    insta::assert_snapshot!("page_filtered", seen[1..].iter().map(text).collect::<Vec<_>>().join("\n--\n"));
}

/// Without a mouse: from the search to the first cell that failed, into it and out of it.
#[test]
fn a_person_opens_a_failed_cell_by_keyboard() {
    let actions = json!([
        ["open", "text=delete"],
        ["keys", "/"],
        // Status, target, errno, "targets differ", "Clear", the heading, the cell.
        ["keys", "TAB", "TAB", "TAB", "TAB", "TAB", "TAB"],
        ["focus"],
        ["keys", "TAB"],
        ["focus"],
        ["keys", "ARROW_RIGHT"],
        ["focus"],
        ["keys", "ARROW_LEFT", "ENTER"],
        ["focus"],
        ["see", ".more"],
        ["keys", "TAB"],
        ["focus"],
        ["keys", "ESCAPE"],
        ["focus"],
        ["see", ".more"],
    ]);
    let Some(seen) = seen(&document(), &actions) else { return };
    insta::assert_snapshot!(
        "page_by_keyboard",
        seen[1..].iter().map(text).collect::<Vec<_>>().join("\n--\n")
    );
}

/// Every kind of cell says what came, and the address brings others to it.
#[rstest]
#[case::failed("delete_is_refused", "native", "failed")]
#[case::crashed("times_out", "x86_64", "crashed")]
#[case::timed_out("times_out", "native", "timed out")]
#[case::lost("is_lost", "x86_64", "lost")]
#[case::skipped("is_skipped", "native", "skipped")]
#[case::expected("fails_as_expected", "native", "expected failure")]
#[case::unexpected("fails_as_expected", "x86_64", "unexpected pass")]
fn an_address_opens_a_cell(#[case] case: &str, #[case] target: &str, #[case] word: &str) {
    let document = document();
    let case = document.cases.iter().find(|c| c.id.ends_with(case)).expect("a case");
    let address = format!("open={}&on={target}", case.id);
    let Some(seen) = seen(&document, &json!([["open", address], ["see", ".more"]])) else { return };
    assert!(text(&seen[1]).starts_with(&format!("{word} on {target}")), "{}", seen[1]);
    insta::assert_snapshot!(format!("page_{}", word.replace(' ', "_")), text(&seen[1]));
}

#[rstest]
#[case::light("light", "rgba(255, 255, 255, 1)")]
#[case::dark("dark", "rgba(13, 17, 23, 1)")]
fn nobody_is_kept_out(#[case] scheme: &str, #[case] paper: &str) {
    let open = "open=bpf/map/array::delete_is_refused&on=native";
    let actions = json!([["scheme", scheme], ["open", open], ["colour", ".cell.bad"], ["barriers"]]);
    let Some(seen) = seen(&document(), &actions) else { return };
    assert_eq!(seen[1][0], paper);
    assert_eq!(seen[2], json!([]));
}

#[test]
fn it_fits_a_telephone() {
    let actions = json!([["window", 400, 800], ["open"], ["wider_than_the_window"]]);
    let Some(seen) = seen(&document(), &actions) else { return };
    assert_eq!(seen[1], json!(0));
}

#[test]
fn all_of_it_is_printed() {
    let open = "open=bpf/map/array::delete_is_refused&on=native";
    let Some(seen) = seen(&document(), &json!([["open", open], ["print"]])) else { return };
    let paper = text(&seen[1]);
    for case in &document().cases {
        let short = case.id.split("::").nth(1).expect("an id");
        assert!(paper.contains(short), "{short} is not in\n{paper}");
    }
    for words in ["got EINVAL", "BPF_MAP_DELETE_ELEM", "Partial:"] {
        assert!(paper.contains(words) || paper.contains(words.trim_start_matches("got ")), "{words}");
    }
    assert!(!paper.contains("Clear"), "nothing can be filtered on paper:\n{paper}");
}

/// 20,000 cases on three targets, of which some fail.
fn many() -> Document {
    let mut document = document();
    let (fine, bad) = (document.cases[0].clone(), document.cases[1].clone());
    let nth = |nth: usize| {
        let mut case = if nth % 500 == 7 { bad.clone() } else { fine.clone() };
        case.suite = format!("bpf/map/suite_{}", nth / 100);
        case.name = format!("case {nth}");
        case.id = format!("{}::case_{nth}", case.suite);
        let third = case.results[1].clone();
        case.results.push(third);
        case
    };
    document.cases = (0..20_000).map(nth).collect();
    document.targets.push(document.targets[1].clone());
    document.targets[2].name = "riscv64".into();
    document.cases.iter_mut().for_each(|case| case.results[2].target = "riscv64".into());
    for (nth, target) in document.targets.iter_mut().enumerate() {
        target.counts = BTreeMap::new();
        for case in &document.cases {
            *target.counts.entry(case.results[nth].status).or_default() += 1;
        }
    }
    assert_eq!(document.targets[0].counts[&Status::Failed], 40);
    document
}

/// Generous bounds, in milliseconds: the machine may be busy. What it takes is printed.
#[test]
fn many_cases_are_no_burden() {
    let document = many();
    let actions = json!([
        ["open"],
        ["filter", "case_19999", "1 of 20000 cases"],
        ["filter", "", "20000 of 20000 cases"],
        ["open", "open=bpf/map/suite_199::case_19999&on=riscv64"],
        ["see", ".more"],
    ]);
    let Some(seen) = seen(&document, &actions) else { return };
    let size = written(Format::Html, &document).len();
    println!(
        "{size} bytes; open {} ms, filter {} ms, all again {} ms, open at a cell {} ms",
        seen[0], seen[1], seen[2], seen[3]
    );
    assert!(size < 6_000_000, "{size} bytes");
    for (what, most) in [(0, 30_000), (1, 10_000), (2, 10_000), (3, 30_000)] {
        assert!(seen[what].as_u64() < Some(most), "{what}: {} ms", seen[what]);
    }
    assert!(text(&seen[4]).contains("passed on riscv64"));
}

#[test]
fn the_page_says_what_flaky_means() {
    let page = written(Format::Html, &document());
    assert!(page.contains("It passed when it ran again: the kernel went down the first time."));
}
