//! The help of every command.

use crate::program::{Place, assert_said};

/// The words that lead to each command: `image fetch`.
fn commands(place: &Place, above: &[&str]) -> Vec<String> {
    let help = place.say(&[above, &["--help"]].concat()).assert_status(0).out;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed =
        listed.take_while(|line| !line.is_empty() && !line.starts_with(|c: char| !c.is_whitespace()));
    // What is set in further goes on with what is said of a command.
    let names = listed.filter(|line| line.find(|c: char| c != ' ') == Some(2));
    let names: Vec<String> =
        names.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect();
    names.into_iter().filter(|name| name != "help").collect()
}

#[test]
fn of_every_command() {
    let place = Place::new();
    let mut all = place.say(&["--help"]).assert_status(0);
    for name in commands(&place, &[]) {
        let mut words = vec![vec![name.clone()]];
        words.extend(commands(&place, &[&name]).into_iter().map(|below| vec![name.clone(), below]));
        for words in words {
            let words: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
            let said = place.say(&words).assert_status(0);
            assert_eq!(said.err, "");
            all.out.push_str(&format!("\n$ kconform {}\n{}", words.join(" "), said.out));
        }
    }
    assert!(
        all.out.contains("$ kconform image fetch --help")
            && all.out.contains("$ kconform completions --help")
    );
    assert_said!("help", all);
}
