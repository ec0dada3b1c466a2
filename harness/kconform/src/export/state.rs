//! A case on its way to C: the code so far, and what it needs.

use std::collections::{BTreeMap, BTreeSet};

use kconform_abi::Arch;

use crate::case::Case;

use super::fields::{self, Fields};
use super::names::{comment, identifier, wrapped};
use super::outputs::Part;

/// What is kept under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number.
    Number,
    /// Memory.
    Bytes,
}

/// C code, line by line.
#[derive(Default)]
pub(super) struct Code {
    pub(super) text: String,
    depth: usize,
}

impl Code {
    pub(super) fn line(&mut self, line: &str) {
        self.text.push_str(&"\t".repeat(self.depth));
        self.text.push_str(line);
        self.text.push('\n');
    }

    pub(super) fn blank(&mut self) {
        self.text.push('\n');
    }

    pub(super) fn open(&mut self, line: &str) {
        self.line(line);
        self.depth += 1;
    }

    pub(super) fn close(&mut self, line: &str) {
        self.depth -= 1;
        self.line(line);
    }

    /// Ends one block and begins another.
    pub(super) fn turn(&mut self, line: &str) {
        self.depth -= 1;
        self.open(line);
    }

    /// A comment of as many lines as it takes.
    pub(super) fn comment(&mut self, text: &str) {
        match wrapped(&comment(text), 100).as_slice() {
            [one] => self.line(&format!("/* {one} */")),
            several => {
                self.line("/*");
                several.iter().for_each(|line| self.line(&format!(" * {line}")));
                self.line(" */");
            }
        }
    }
}

/// A case on its way to C.
pub(super) struct Export<'a> {
    pub(super) case: &'a Case,
    /// The function that is being written.
    pub(super) out: Code,
    /// Functions that are done, in the order in which they stand in the file.
    pub(super) functions: String,
    /// `exec` blocks: the number of the step.
    pub(super) images: Vec<u32>,
    /// Names for numbers that differ between architectures.
    pub(super) defines: BTreeMap<String, Vec<(Arch, Option<u64>)>>,
    /// The macros of instructions.
    pub(super) macros: BTreeSet<&'static str>,
    /// What the kernel's types are asked, as C.
    pub(super) questions: Vec<String>,
    /// What is saved, by name.
    pub(super) kinds: BTreeMap<String, Kind>,
    /// The attrs of commands.
    pub(super) attrs: BTreeMap<&'static str, Fields>,
    /// The system calls.
    pub(super) calls: BTreeSet<String>,
    /// Capabilities that blocks need of who runs the case.
    pub(super) capabilities: BTreeSet<u8>,
    /// The variables of the step.
    pub(super) locals: BTreeSet<String>,
    /// The outputs that the step speaks of.
    pub(super) wanted: BTreeSet<String>,
    /// Named parts of memory that the step's buffers point to.
    pub(super) inner: Vec<Part>,
}

impl<'a> Export<'a> {
    pub(super) fn new(case: &'a Case) -> Export<'a> {
        let mut attrs = BTreeMap::new();
        fields::used(&case.steps, &mut attrs);
        case.needs.iter().for_each(|probe| fields::used(&probe.steps, &mut attrs));
        Export {
            case,
            out: Code::default(),
            functions: String::new(),
            images: Vec::new(),
            defines: BTreeMap::new(),
            macros: BTreeSet::new(),
            questions: Vec::new(),
            kinds: BTreeMap::new(),
            attrs,
            calls: BTreeSet::new(),
            capabilities: BTreeSet::new(),
            locals: BTreeSet::new(),
            wanted: BTreeSet::new(),
            inner: Vec::new(),
        }
    }

    /// A variable that the step does not have yet.
    pub(super) fn local(&mut self, name: &str) -> String {
        let plain = identifier(name);
        let mut free = plain.clone();
        let mut nth = 2;
        while !self.locals.insert(free.clone()) {
            free = format!("{plain}{nth}");
            nth += 1;
        }
        free
    }

    /// A saved value.
    pub(super) fn saved(&mut self, name: &str) -> String {
        self.kinds.entry(name.to_owned()).or_insert(Kind::Number);
        format!("saved.{}", identifier(name))
    }

    /// Begins a step, which has no variables and no memory yet.
    pub(super) fn forget_step(&mut self, wanted: BTreeSet<String>) {
        self.locals.clear();
        self.inner.clear();
        self.wanted = wanted;
    }
}
