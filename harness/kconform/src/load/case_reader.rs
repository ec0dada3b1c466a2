//! What every part of reading one case or probe shares.

use std::ops::{Deref, DerefMut};

use kconform_plan::BtfQuery;

use crate::place::Span;
use crate::yaml::reader::Reader;
use crate::yaml::tree::Node;

use super::names::Names;

/// Reads one case or probe of a file. Its mistakes are those of the file, hence all that a [`Reader`] does it does too.
pub(crate) struct CaseReader<'r> {
    reader: &'r mut Reader,
    /// Where the case stands, and its name; `None` for a probe.
    case: Option<(Span, Span)>,
    /// What `$names` mean at the step being read.
    pub(crate) names: Names,
    /// The number of the next step.
    pub(crate) next_step: u32,
    /// Whether the case is exclusive, and never on the host.
    pub(crate) may_set_sysctls: bool,
    /// What it asks of the kernel's types.
    pub(crate) btf: Vec<BtfQuery>,
    /// The sysctls that its conditions speak of.
    pub(crate) sysctls: Vec<String>,
}

impl<'r> CaseReader<'r> {
    /// For a case, or for a probe (`None`), of whose steps none is read yet.
    pub(crate) fn new(
        reader: &'r mut Reader,
        case: Option<(Span, Span)>,
        steps: Option<&Node>,
    ) -> CaseReader<'r> {
        CaseReader {
            reader,
            case,
            names: Names::of_steps(steps),
            next_step: 0,
            may_set_sysctls: false,
            btf: Vec::new(),
            sysctls: Vec::new(),
        }
    }

    /// Notes a mistake that a case makes of what is written for many (an alias): it says which case.
    pub(crate) fn wrong_in_case(&mut self, span: Span, text: impl Into<String>, help: Option<String>) {
        let outside = |(case, _): &(Span, Span)| span.end <= case.start || case.end <= span.start;
        let see = self.case.filter(outside).map(|(_, name)| (self.place(name), "in this case".to_owned()));
        self.reader.note(span, text.into(), || (help, see));
    }
}

impl Deref for CaseReader<'_> {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        self.reader
    }
}

impl DerefMut for CaseReader<'_> {
    fn deref_mut(&mut self) -> &mut Reader {
        self.reader
    }
}
