//! The reports of a run, from before it begins until they are written.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use crate::case::Case;
use crate::document::gather::{Places, gather};
use crate::document::{Document, Shard, SuiteIdentity, jsonl};
use crate::run::{Event, TargetRun};
use crate::targets::{Note, Target};

use super::{Destination, Format, Wanted, WantedError};

/// All reports that are asked for; each can be written where it shall be.
pub struct Outputs {
    all: Vec<Output>,
    places: Places,
}

struct Output {
    format: Format,
    destination: Destination,
    growing: Growing,
}

/// How far a report is that is written as results come.
enum Growing {
    /// It has not begun, or could not, or no more; or it is of another format.
    No,
    Yes(Box<dyn Write>),
}

/// Which run it is, of which the reports are.
pub struct Run<'a> {
    /// What runs.
    pub cases: &'a [Case],
    /// Where the cases come from.
    pub suite: SuiteIdentity,
    /// Which part of them these are.
    pub shard: Option<Shard>,
    /// When it began.
    pub started: SystemTime,
}

impl Run<'_> {
    /// What is known of it by now.
    pub fn gather(&self, runs: &[TargetRun]) -> Document {
        let document = gather(self.cases, runs, self.suite.clone(), self.started);
        Document { shard: self.shard.clone(), ..document }
    }
}

impl Outputs {
    /// Tries all places: a run of an hour must not end in a folder that is not there.
    ///
    /// # Errors
    /// Nothing can be written to one of them, or two would be written to one.
    pub fn open(wanted: &[Wanted]) -> Result<Outputs, WantedError> {
        let mut outputs = Outputs { all: Vec::new(), places: Places::default() };
        for wanted in wanted {
            let destination = Destination::open(wanted.path.as_deref())?;
            if outputs.hold(&destination) {
                return Err(match destination.is_stdout() {
                    true => WantedError::Stdout(wanted.format.name()),
                    false => WantedError::Twice(destination.called().to_owned()),
                });
            }
            outputs.all.push(Output { format: wanted.format, destination, growing: Growing::No });
        }
        Ok(outputs)
    }

    /// One of them is written there.
    pub fn hold(&self, destination: &Destination) -> bool {
        self.all.iter().any(|output| output.destination.is_that_of(destination))
    }

    /// One of them is written to standard output, and must be alone there.
    pub fn to_stdout(&self) -> bool {
        self.all.iter().any(|output| output.destination.is_stdout())
    }

    /// Begins those that are written as results come.
    pub fn begin(&mut self, run: &Run<'_>, targets: &[Target]) {
        if !self.all.iter().any(|output| output.format == Format::Jsonl) {
            return;
        }
        let unknown: Vec<TargetRun> =
            targets.iter().map(|target| TargetRun::new(&target.name, run.cases.len())).collect();
        let document = jsonl::head(run.gather(&unknown));
        for output in self.all.iter_mut().filter(|output| output.format == Format::Jsonl) {
            // What goes wrong now is told when the whole report cannot be written either.
            if let Ok(out) = output.destination.write(&mut |out| jsonl::begin(&document, out)) {
                output.growing = Growing::Yes(out);
            }
        }
    }

    /// Writes what happened on a target, of which `run` is known by now, to those that have begun.
    pub fn tell(&mut self, cases: &[Case], event: &Event, run: &TargetRun) {
        if !self.all.iter().any(|output| matches!(output.growing, Growing::Yes(_))) {
            return;
        }
        let line = match event {
            Event::Note(Note::Opened { .. }) | Event::Finished { .. } => jsonl::target(run),
            Event::Note(Note::Result(nth, _) | Note::NotRun(nth, _)) => {
                jsonl::result(&cases[*nth], *nth, run, &mut self.places)
            }
            Event::Note(Note::Opening(_) | Note::Doing(_) | Note::Running(_) | Note::Remark(_))
            | Event::Round(_) => return,
        };
        for output in &mut self.all {
            let Growing::Yes(out) = &mut output.growing else { continue };
            // In one piece, so that whoever reads meanwhile sees whole lines.
            let grown = line.as_ref().is_ok_and(|line| out.write_all(line.as_bytes()).is_ok());
            if !grown || out.flush().is_err() {
                output.growing = Growing::No;
            }
        }
    }

    /// Writes all reports that can be written, and tells which cannot.
    pub fn write(&mut self, document: &Document) -> Vec<(PathBuf, io::Error)> {
        let mut wrong = Vec::new();
        for output in &mut self.all {
            if let Err(error) = output.end(document) {
                // The reader of a pipe has seen enough.
                if output.destination.is_stdout() && error.kind() == io::ErrorKind::BrokenPipe {
                    continue;
                }
                wrong.push((output.destination.called().to_owned(), error));
            }
        }
        wrong
    }
}

impl Output {
    fn end(&mut self, document: &Document) -> io::Result<()> {
        if let Growing::Yes(out) = &mut self.growing {
            let line = jsonl::end(document)?;
            if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_ok() {
                return Ok(());
            }
        }
        // One that could not grow is written anew, like all others.
        self.destination.write(&mut |out| self.format.write(document, out)).map(drop)
    }
}
