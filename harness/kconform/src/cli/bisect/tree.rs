//! `kconform bisect --tree`: the commit that broke cases, or fixed them.

use std::io::Write;
use std::path::PathBuf;

use kconform_abi::Arch;

use crate::bisect::BisectError;
use crate::bisect::build::Recipe;
use crate::bisect::git::{Bisection, Limits, Repository};
use crate::bisect::lab::{KernelLab, LabError, Trial};
use crate::bisect::search::{Case as Wanted, Ending, Question, Search};
use crate::bisect::state::{Identity, State, StateError, default_folder, hex};
use crate::case::Case;
use crate::cli::args::{BisectArgs, BuildingArgs};
use crate::cli::bisect::text::{Teller, endings};
use crate::cli::color::Styles;
use crate::cli::error::{CliError, FAILED, LOST, USAGE};
use crate::guest::Images;
use crate::load::suites::renamed_in;

/// How kernels are built.
pub(in crate::cli) fn recipe(args: &BuildingArgs) -> Result<Recipe, CliError> {
    let name = args.arch.as_deref().unwrap_or(std::env::consts::ARCH);
    let arch = Arch::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = Arch::ALL.iter().map(|arch| arch.name()).collect();
        CliError::Usage(format!("there is no architecture {name:?}; there are {}", known.join(", ")))
    })?;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Recipe {
        arch,
        command: args.build.clone(),
        config: args.config.clone(),
        jobs: args.jobs.map_or(cpus, usize::from),
    })
}

/// Searches a tree for the commit.
pub(in crate::cli) fn in_tree(
    args: &BisectArgs,
    repository: &Repository,
    [good, bad]: [&String; 2],
    cases: Vec<Case>,
    styles: Styles,
) -> Result<u8, CliError> {
    let lab_error = |error: LabError| CliError::from(BisectError::from(error));
    let recipe = recipe(&args.building)?;
    let question = question(args, repository, [good, bad], &cases)?;
    let identity = Identity {
        repository: repository.common.clone(),
        old: question.old.clone(),
        new: question.new.clone(),
        arch: recipe.arch.name().into(),
        build: recipe.identity().map_err(|error| lab_error(error.into()))?,
        expect_fail: question.expect_fail,
        confirm: args.building.confirm.get(),
        limits: args
            .paths
            .iter()
            .cloned()
            .chain(args.first_parent.then(|| "--first-parent".into()))
            .collect(),
    };
    let (state, table) = open(args, identity).map_err(BisectError::from)?;
    let mut table = table.renamed(&renamed_in(&args.suite.paths)?);
    let mut teller = Teller::new(repository, styles.err, args.quiet);
    teller.begins(&state, &recipe.notes(), &table);
    let worktree = state.worktree();
    if args.restart {
        repository.remove_worktree(&worktree).map_err(BisectError::from)?;
    }
    repository.worktree(&worktree, &question.new).map_err(BisectError::from)?;
    let mut history =
        Bisection::new(&worktree, &question.old, &question.new, limits(args), question.expect_fail);
    let trial = Trial { images: Images::known(None)?, confirm: args.building.confirm.get() };
    let mut lab = KernelLab { state: &state, recipe, trial, cases };
    let found = Search {
        history: &mut history,
        lab: &mut lab,
        table: &mut table,
        keep: &mut |table| state.keep(table),
        tell: &mut |event| teller.hear(&event),
    }
    .run(&question)?;
    // What stays is what can be looked up: the kernels, the logs, what is known.
    repository.remove_worktree(&worktree).map_err(BisectError::from)?;
    state.remove("build").map_err(BisectError::from)?;
    let mut out = std::io::stdout().lock();
    write!(
        out,
        "{}",
        endings(repository, &question, &found, &table, styles.out).map_err(BisectError::from)?
    )?;
    writeln!(out, "{}", styles.out.dim(&format!("logs and kernels: {}", state.folder().display())))?;
    Ok(exit_status(&found))
}

fn open(args: &BisectArgs, identity: Identity) -> Result<(State, crate::bisect::table::Table), StateError> {
    let folder: PathBuf = match &args.state {
        Some(folder) => folder.clone(),
        None => default_folder()?.join(identity.name()),
    };
    State::open(&folder, identity, args.restart)
}

/// What is looked for, if the two ends can be its ends.
pub(in crate::cli) fn question(
    args: &BisectArgs,
    repository: &Repository,
    [good, bad]: [&String; 2],
    cases: &[Case],
) -> Result<Question, CliError> {
    let resolve = |rev: &str| repository.resolve(rev).map_err(BisectError::from);
    let (good_id, bad_id) = (resolve(good)?, resolve(bad)?);
    if good_id == bad_id {
        return Err(CliError::Usage(format!("{good} and {bad} are the same commit")));
    }
    let expect_fail = args.building.expect_fail;
    let (old, new) = if expect_fail { (bad_id, good_id) } else { (good_id, bad_id) };
    repository.has_between(&old, &new).map_err(BisectError::from)?;
    if repository.is_ancestor(&new, &old).map_err(BisectError::from)? {
        return Err(CliError::Usage(match expect_fail {
            false => format!("{good} comes after {bad}; to find the commit that fixed it, add --expect-fail"),
            true => format!(
                "{good} comes before {bad}; to find the commit that broke it, leave out --expect-fail"
            ),
        }));
    }
    let wanted = |case: &Case| Wanted { id: case.id.clone(), file: hex(case.place.file.text.as_bytes()) };
    Ok(Question { old, new, expect_fail, cases: cases.iter().map(wanted).collect() })
}

fn limits(args: &BisectArgs) -> Limits {
    let terms = match (&args.term_old, &args.term_new) {
        (Some(old), Some(new)) => Some((old.clone(), new.clone())),
        _ => args.building.expect_fail.then(|| ("broken".to_owned(), "fixed".to_owned())),
    };
    Limits { paths: args.paths.clone(), first_parent: args.first_parent, terms }
}

fn exit_status(found: &[Ending]) -> u8 {
    let any = |wanted: fn(&Ending) -> bool| found.iter().any(wanted);
    if any(|ending| matches!(ending, Ending::NotBetween { lost: true, .. })) {
        LOST
    } else if any(|ending| matches!(ending, Ending::OneOf { .. })) {
        FAILED
    } else if any(|ending| matches!(ending, Ending::Found { .. })) {
        0
    } else {
        USAGE
    }
}
