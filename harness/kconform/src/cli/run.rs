//! `kconform run`.

use std::io::Write;
use std::sync::Arc;
use std::time::SystemTime;

use crate::case::Case;
use crate::document::{Document, SuiteIdentity, Trouble, TroubleKind, identity};
use crate::guest::Start;
use crate::interrupt;
use crate::load::SuiteFile;
use crate::load::selected::Contents;
use crate::load::suites::choose_cases;
use crate::report::{Outputs, Progress, Run, failures, passes, set_up, summary};
use crate::run::enough::{self, Demands, Lack};
use crate::run::{Options, TargetRun, exit_status, run as run_cases};
use crate::select::Selection;
use crate::style::Style;
use crate::targets::choose::{choose, names};
use crate::targets::{EarlyGuests, Leaks, Target};

use super::args::{Isolate, RunArgs};
use super::color::Styles;
use super::error::CliError;
use super::reports::write_reports;
use super::shard;

pub(super) fn run(args: &RunArgs, styles: Styles) -> Result<u8, CliError> {
    let mut outputs = Outputs::open(&args.reports)?;
    // A report on standard output must be alone there.
    let aside = outputs.to_stdout();
    let style = if aside { styles.err } else { styles.out };
    interrupt::watch()?;
    let names: Vec<String> = args.targets.iter().flat_map(|list| names(list)).map(str::to_owned).collect();
    let mut chosen = choose(&names, &args.kernels, args.images.as_deref());
    let _early = chosen.as_mut().ok().map(|chosen| start_guests(&mut chosen.targets, args));
    // What is wrong with case files is said first.
    let meant = choose_cases(&args.suite.paths, &Selection::from(&args.select), style.color)?;
    // Only reports say which files there are.
    let identity = match args.reports.is_empty() {
        true => SuiteIdentity::default(),
        false => of_all(&meant.contents()?),
    };
    let unread = meant.note().filter(|_| !args.quiet);
    // Only a shard's times speak of cases by older names.
    let renamed = args.times.is_some().then(|| meant.renamed()).transpose()?.unwrap_or_default();
    let mut cases = meant.cases;
    let keep = |wish| shard::keep(wish, args.times.as_deref(), &renamed, &mut cases);
    let shard = args.shard.map(keep).transpose()?;
    let cases: Arc<[Case]> = cases.into();
    let chosen = chosen?;
    let mut out: Box<dyn Write> = match aside {
        true => Box::new(std::io::stderr()),
        false => Box::new(std::io::stdout().lock()),
    };
    let shuffle = args.shuffle.map(|seed| seed.unwrap_or_else(|| fastrand::u64(..NUMBERS)));
    let order =
        shuffle.map(|seed| format!("the cases run in a shuffled order; --shuffle={seed} gives it again"));
    for note in chosen.notes.iter().chain(&unread).chain(&order) {
        seen_or(writeln!(out, "{} {note}", style.warn("note:")))?;
    }
    let run = Run { cases: &cases, suite: identity, shard, started: SystemTime::now() };
    outputs.begin(&run, &chosen.targets);
    let mut progress = Progress::new(&chosen.targets, &cases, args.quiet, styles.err);
    let options = options(args, chosen.targets.len(), shuffle);
    let runs = run_cases(&cases, &chosen.targets, options, &mut |target, event, known| {
        progress.tell(target, event);
        outputs.tell(&cases, event, known);
    });
    progress.end();
    let is_shard = run.shard.is_some();
    let demands = Demands { no_skips: args.fail_on_skip, min_run: args.min_run, is_shard };
    let lacks = enough::lacks(&runs, demands);
    // Reports come whatever becomes of the text.
    let told = report(&mut out, &cases, &runs, args, style).and_then(|()| end(&mut out, &lacks, style));
    if !args.reports.is_empty() {
        let document = Document { trouble: trouble(&lacks), ..run.gather(&runs) };
        write_reports(&mut outputs, &document, styles.err)?;
    }
    seen_or(told)?;
    Ok(enough::exit_status(exit_status(&runs), &lacks))
}

/// Which case files there are.
fn of_all(contents: &Contents) -> SuiteIdentity {
    let read = contents.files.iter().map(SuiteFile::name_and_text);
    SuiteIdentity { forge: forge(|name| std::env::var(name).ok()), ..identity(read, contents.cases) }
}

/// What is to be said after the summary.
fn end(out: &mut dyn Write, lacks: &[Lack], style: Style) -> std::io::Result<()> {
    for left in crate::folder::left() {
        writeln!(out, "{} could not be removed: {left}", style.bad("error:"))?;
    }
    if interrupt::requested() {
        writeln!(out, "{} interrupted: this report is partial", style.bad("note:"))?;
    }
    for lack in lacks {
        let mark = if lack.status() == 0 { style.warn("warning:") } else { style.bad("error:") };
        writeln!(out, "{mark} {lack}")?;
    }
    Ok(())
}

/// What reports say was wrong beside the cases, and do not know otherwise.
fn trouble(lacks: &[Lack]) -> Vec<Trouble> {
    let left = crate::folder::left().into_iter().map(|left| Trouble {
        kind: TroubleKind::NotRemoved,
        target: None,
        text: format!("could not be removed: {left}"),
    });
    let lacks = lacks.iter().filter_map(|lack| {
        let (kind, target) = match lack {
            Lack::Skipped(counts) => (TroubleKind::Skipped, &counts.target),
            Lack::TooFew { counts, .. } => (TroubleKind::TooFew, &counts.target),
            Lack::Nothing { .. } | Lack::NothingOn(_) => return None,
        };
        Some(Trouble { kind, target: Some(target.clone()), text: lack.to_string() })
    });
    left.chain(lacks).collect()
}

/// The reader of a pipe has seen enough, or a terminal was closed (SIGHUP): that says nothing of the cases.
fn seen_or(written: std::io::Result<()>) -> std::io::Result<()> {
    let gone = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
    written.or_else(|error| if gone(&error) || interrupt::requested() { Ok(()) } else { Err(error) })
}

/// Has guests start while case files are read.
fn start_guests(targets: &mut [Target], args: &RunArgs) -> EarlyGuests {
    if args.cold {
        targets.iter_mut().for_each(|target| target.start = Start::Cold);
    }
    if let Some(seed) = args.seed {
        targets.iter_mut().for_each(|target| *target = target.clone().seeded(seed));
    }
    let jobs = jobs(args);
    Target::start_early(targets, jobs)
}

fn jobs(args: &RunArgs) -> usize {
    args.jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
}

/// Seeds of orders are below it: a person may type one.
const NUMBERS: u64 = 1_000_000;

fn options(args: &RunArgs, targets: usize, shuffle: Option<u64>) -> Options {
    let jobs = jobs(args);
    let isolate = args.isolate == Some(Isolate::Guest);
    let on_each = jobs / targets.max(1);
    Options {
        jobs,
        // Cases on one kernel take turns unless asked otherwise: then each run of them is like the last.
        guests: if isolate || args.jobs.is_some() { on_each } else { 1 },
        beside: args.jobs.is_some().then_some(on_each),
        isolate,
        shuffle,
        rounds: match args.repeat {
            Some(rounds) => Some(rounds.get()),
            None if args.until_fail => None,
            None => Some(1),
        },
        until_fail: args.until_fail,
        leaks: match (args.check_leaks, args.no_check_leaks) {
            (_, true) => Leaks::Ignored,
            (true, false) => Leaks::Demanded,
            (false, false) => Leaks::Looked,
        },
    }
}

fn report(
    out: &mut dyn Write,
    cases: &[Case],
    runs: &[TargetRun],
    args: &RunArgs,
    style: Style,
) -> std::io::Result<()> {
    if args.verbose {
        write!(out, "{}", passes(cases, runs, style))?;
    }
    let called = std::env::args().next().unwrap_or_default();
    let program = program(&called, std::env::var_os("CARGO").is_some());
    let again = |targets: &[&str], id: &str| again(&program, args, targets, id);
    write!(out, "{}", failures(cases, runs, &again, style))?;
    write!(out, "{}", summary(cases, runs, style))?;
    if args.verbose {
        write!(out, "{}", set_up(runs, style))?;
    }
    match runs.iter().find_map(|run| run.seed) {
        Some(seed) if args.verbose => {
            let told = format!("guests are sent the same random numbers again with --seed {seed}");
            writeln!(out, "{}", style.dim(&told))
        }
        _ => Ok(()),
    }
}

/// Where GitHub or GitLab shows the files of the commit that its job has checked out.
fn forge(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let of = |name: &str| variable(name).filter(|value| !value.is_empty());
    let github = || {
        let (server, repository) = (of("GITHUB_SERVER_URL")?, of("GITHUB_REPOSITORY")?);
        Some(format!("{server}/{repository}/blob/{}", of("GITHUB_SHA")?))
    };
    let gitlab = || Some(format!("{}/-/blob/{}", of("CI_PROJECT_URL")?, of("CI_COMMIT_SHA")?));
    github().or_else(gitlab)
}

/// A word as a shell takes it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=+:,@%".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// How kconform was called. Under `cargo run` the binary has a long path that nobody typed.
fn program(called: &str, by_cargo: bool) -> String {
    if by_cargo { "cargo run -q --".into() } else { quoted(called) }
}

/// The command that runs a case again.
fn again(program: &str, args: &RunArgs, targets: &[&str], id: &str) -> String {
    let kernels: Vec<String> = args.kernels.iter().map(|path| path.display().to_string()).collect();
    let (own, named): (Vec<&str>, Vec<&str>) =
        targets.iter().copied().partition(|name| kernels.iter().any(|kernel| kernel == name));
    let mut words = vec![program.to_owned(), "run".into()];
    let (commands, named): (Vec<&str>, Vec<&str>) =
        named.into_iter().partition(|name| name.starts_with("cmd:"));
    if !named.is_empty() {
        words.extend(["--target".into(), named.join(",")]);
    }
    for command in commands {
        words.extend(["--target".into(), quoted(command)]);
    }
    for kernel in own {
        words.extend(["--kernel".into(), quoted(kernel)]);
    }
    for path in &args.suite.paths {
        words.extend(["--cases".into(), quoted(&path.display().to_string())]);
    }
    if let Some(images) = &args.images {
        words.extend(["--images".into(), quoted(&images.display().to_string())]);
    }
    words.extend(args.cold.then(|| "--cold".into()));
    if args.isolate.is_some() {
        words.extend(["--isolate".into(), "guest".into()]);
    }
    if let Some(seed) = args.seed {
        words.extend(["--seed".into(), seed.to_string()]);
    }
    words.extend(args.check_leaks.then(|| "--check-leaks".into()));
    words.extend(args.no_check_leaks.then(|| "--no-check-leaks".into()));
    words.extend(["--exact".into(), format!("'{}'", id.replace('\'', r"'\''"))]);
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use clap::Parser;

    use super::{again, forge, program};
    use crate::cli::args::{Cli, Command};

    /// What can be pasted into a shell, with all that makes a difference.
    #[test]
    fn the_command_that_runs_a_case_again() {
        let again = |called: &str, by_cargo, words: &[&str], targets: &[&str]| {
            let words = [&["kconform", "run"], words].concat();
            let Command::Run(args) = Cli::try_parse_from(words).expect("right").command else { panic!() };
            again(&program(called, by_cargo), &args, targets, "s::it's[a,b]") + "\n"
        };
        let all = [
            "--cases",
            "my cases",
            "--kernel",
            "own/bzImage",
            "--images",
            "vm",
            "--cold",
            "--isolate",
            "guest",
            "--check-leaks",
        ];
        insta::assert_snapshot!(
            [
                again("target/debug/kconform", true, &[], &["native", "x86_64"]),
                again("/usr/bin/kconform", false, &[], &["native"]),
                again("./my kconform", false, &all, &["own/bzImage", "x86_64"]),
            ]
            .concat(),
            @r"
        cargo run -q -- run --target native,x86_64 --exact 's::it'\''s[a,b]'
        /usr/bin/kconform run --target native --exact 's::it'\''s[a,b]'
        './my kconform' run --target x86_64 --kernel own/bzImage --cases 'my cases' --images vm --cold --isolate guest --check-leaks --exact 's::it'\''s[a,b]'
        "
        );
    }

    #[rstest]
    #[case::nowhere(&[], None)]
    #[case::github(
        &[("GITHUB_SERVER_URL", "https://forge"), ("GITHUB_REPOSITORY", "me/it"), ("GITHUB_SHA", "abc")],
        Some("https://forge/me/it/blob/abc")
    )]
    #[case::gitlab(
        &[("CI_PROJECT_URL", "https://forge/me/it"), ("CI_COMMIT_SHA", "abc")],
        Some("https://forge/me/it/-/blob/abc")
    )]
    #[case::no_commit(&[("CI_PROJECT_URL", "https://forge/me/it"), ("CI_COMMIT_SHA", "")], None)]
    fn forges_are_known(#[case] variables: &[(&str, &str)], #[case] address: Option<&str>) {
        let of = |name: &str| variables.iter().find(|v| v.0 == name).map(|v| v.1.to_owned());
        assert_eq!(forge(of).as_deref(), address);
    }
}
