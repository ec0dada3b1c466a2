//! Names put into scope and looked up, while a case is read.

use crate::place::Span;
use crate::yaml::names::is_name;

use super::case_reader::CaseReader;
use super::names::{Kept, Saved};

impl CaseReader<'_> {
    /// Puts a name into scope.
    pub(crate) fn declare(&mut self, name: &str, kept: Kept, span: Span) {
        if self.params.iter().any(|p| &**p == name) {
            self.wrong_help(span, format!("{name} is a parameter already"), "save it under another name");
        }
        self.names.saved.push(Saved { name: name.to_owned(), kept, span });
    }

    /// A name that a step gives, of a saved value or of a buffer.
    pub(crate) fn new_name(&mut self, text: &str, span: Span) -> Option<String> {
        if is_name(text) {
            return Some(text.to_owned());
        }
        match text.strip_prefix('$').filter(|name| is_name(name)) {
            Some(name) => {
                self.wrong_help(span, format!("{text} where a name belongs"), format!("write {name}"))
            }
            None => self.wrong_help(
                span,
                format!("{text} is not a name"),
                "a name has letters, digits and _, and does not start with a digit",
            ),
        }
        None
    }

    /// What is kept under a name; a mistake if nothing is.
    pub(crate) fn saved(&mut self, name: &str, span: Span) -> Option<Kept> {
        if let Some(saved) = self.names.saved.iter().rev().find(|s| s.name == name) {
            return Some(saved.kept);
        }
        let text = format!("${name} is never saved");
        if let Some(&(_, at, why)) = self.names.gone.iter().rev().find(|g| g.0 == name) {
            self.wrong_see(span, text, at, why);
            return None;
        }
        if let Some(&(_, later)) = self.names.anywhere.iter().find(|(known, _)| known == name) {
            self.wrong_see(
                span,
                format!("${name} is not saved before this"),
                later,
                "it is saved here, which is later",
            );
            return None;
        }
        let saved = self.names.saved.iter().map(|s| s.name.as_str());
        let near = kconform_abi::nearest(name, saved.chain(self.params.iter().map(|p| &**p)));
        let help = near.map(|n| format!("did you mean ${n}?")).unwrap_or_else(|| self.names.instead(name));
        self.wrong_in_case(span, text, Some(help));
        None
    }

    /// Like [`CaseReader::saved`], for a place where a number belongs.
    pub(crate) fn saved_number(&mut self, name: &str, span: Span) -> Option<()> {
        if self.saved(name, span)? == Kept::Bytes {
            let help = format!("{{bytes: ${name}}} stands for them where a buffer may stand");
            self.wrong_help(span, format!("${name} is bytes, not a number"), help);
            return None;
        }
        Some(())
    }
}
