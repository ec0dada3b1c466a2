//! Files as they will be: what takes the place of which parts of them. All is kept by the places of the files as they are, so
//! that each change can be taken back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::load::SuiteFile;
use crate::place::{File, Mistake, Place};

use super::{Change, Part, Proposal};

/// Something that stays as it is, although the kernel does something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// `FILE:LINE:COLUMN`, in the file as it is.
    pub(crate) place: String,
    /// The case.
    pub(crate) case: String,
    /// Why, in words.
    pub(crate) why: String,
}

/// A stretch of the file as it is, in bytes.
type Stretch = (usize, usize);

#[derive(Debug)]
struct Edit {
    text: String,
    /// The first case that asked for it.
    case: String,
    /// It was asked for in this round: who asks for something else there now disagrees.
    fresh: bool,
    /// It was taken back in this round, and is in the text that places are of.
    gone: bool,
}

/// A file as it will be.
#[derive(Debug)]
struct Draft {
    file: SuiteFile,
    edits: BTreeMap<Stretch, Edit>,
    /// What is not to change any more.
    fixed: BTreeSet<Stretch>,
    /// What the file was made of, if it is no file as it is.
    below: Option<Box<Draft>>,
}

/// Where a place of the file as it will be comes from.
enum Origin {
    /// These words of the file as it is.
    Kept(Stretch),
    /// What was changed there.
    Changed(Stretch),
}

/// All files.
#[derive(Debug)]
pub(super) struct Drafts {
    drafts: Vec<Draft>,
    /// The parts of steps that asked for a change already, and where.
    asked: BTreeMap<(String, u32, Part), Stretch>,
    left: Vec<Left>,
}

impl Drafts {
    pub(super) fn new(files: &[SuiteFile]) -> Drafts {
        let drafts = files.iter().map(|file| Draft::of(file.clone(), None)).collect();
        Drafts { drafts, asked: BTreeMap::new(), left: Vec::new() }
    }

    /// Further changes of the files as they will be, which take none of the changes so far back.
    pub(super) fn on_top(self) -> Drafts {
        let on_top = |draft: Draft| Draft::of(draft.now(), Some(Box::new(draft)));
        Drafts {
            drafts: self.drafts.into_iter().map(on_top).collect(),
            asked: BTreeMap::new(),
            left: self.left,
        }
    }

    /// The files as they will be.
    pub(super) fn files(&self) -> Vec<SuiteFile> {
        self.drafts.iter().map(Draft::now).collect()
    }

    /// Nothing changes.
    pub(super) fn is_untouched(&self) -> bool {
        self.drafts.iter().all(|draft| draft.edits.is_empty())
    }

    /// How many changes there are.
    pub(super) fn changes(&self) -> usize {
        self.drafts.iter().map(Draft::changes).sum()
    }

    /// Adds what a case asks for; `true` if the files will be others than before.
    pub(super) fn add(&mut self, case: &str, proposal: Proposal) -> bool {
        let Proposal { step, part, place, what } = proposal;
        let Some(draft) = self.drafts.iter_mut().find(|draft| draft.file.file.path == place.file.path) else {
            return false;
        };
        let (at, why) = match (draft.origin((place.start, place.end)), what) {
            // What was written there a round ago does not hold now.
            (Origin::Changed(changed), _) => {
                let first = draft.edits.get(&changed).map(|edit| edit.case.clone()).unwrap_or_default();
                return self.take_out(&place, changed, &disagreement(&first, case), case);
            }
            (Origin::Kept(at), Err(why)) => (at, why),
            (Origin::Kept(at), Ok(change)) => match draft.origin((change.start, change.end)) {
                Origin::Changed(changed) => {
                    let first = draft.edits.get(&changed).map(|edit| edit.case.clone()).unwrap_or_default();
                    return self.take_out(&place, changed, &disagreement(&first, case), case);
                }
                Origin::Kept(stretch) => {
                    let asked = (case.to_owned(), step, part);
                    match self.asked.get(&asked) {
                        // It had what it asks for until that was taken back, and why is told.
                        Some(before) if draft.fixed.contains(before) => return false,
                        Some(_) => (at, VARIES.to_owned()),
                        None => {
                            self.asked.insert(asked, stretch);
                            return self.put(&place, stretch, change, case);
                        }
                    }
                }
            },
        };
        let place = draft.told(at);
        self.leave(Left { place, case: case.to_owned(), why });
        false
    }

    /// Puts a change in, unless somebody asks for another one there.
    fn put(&mut self, place: &Place, stretch: Stretch, change: Change, case: &str) -> bool {
        let Some(draft) = self.drafts.iter_mut().find(|draft| draft.file.file.path == place.file.path) else {
            return false;
        };
        if draft.fixed.contains(&stretch) {
            return false;
        }
        match draft.edits.get(&stretch) {
            Some(edit) if edit.text == change.text => false,
            Some(edit) => {
                let first = edit.case.clone();
                self.take_out(place, stretch, &disagreement(&first, case), case)
            }
            // A part of what changes already.
            None if draft.edits.keys().any(|&(start, end)| stretch.0 < end && stretch.1 > start) => false,
            None => {
                let edit = Edit { text: change.text, case: case.to_owned(), fresh: true, gone: false };
                draft.edits.insert(stretch, edit);
                true
            }
        }
    }

    /// Takes a change back for good.
    fn take_out(&mut self, place: &Place, stretch: Stretch, why: &str, case: &str) -> bool {
        let Some(draft) = self.drafts.iter_mut().find(|draft| draft.file.file.path == place.file.path) else {
            return false;
        };
        draft.fixed.insert(stretch);
        let place = draft.told(stretch);
        let taken = draft.edits.get_mut(&stretch).filter(|edit| !edit.gone);
        let taken = taken.map(|edit| edit.gone = true).is_some();
        self.leave(Left { place, case: case.to_owned(), why: why.to_owned() });
        taken
    }

    /// Remembers it, unless something was said of that place already.
    fn leave(&mut self, left: Left) {
        if !self.left.iter().any(|known| known.place == left.place) {
            self.left.push(left);
        }
    }

    /// The round is over: what it changed counts from now on.
    pub(super) fn settle(&mut self) {
        for draft in &mut self.drafts {
            draft.edits.retain(|_, edit| !edit.gone);
            draft.edits.values_mut().for_each(|edit| edit.fresh = false);
        }
    }

    /// Takes back the changes that made these mistakes; `false` if none did.
    pub(super) fn take_back(&mut self, mistakes: &[Mistake]) -> bool {
        let mut any = false;
        for mistake in mistakes {
            let place = &mistake.place;
            let found = self.drafts.iter().find(|draft| draft.file.file.path == place.file.path);
            // Either of two keys that cannot stand beside each other may be the new one.
            let places = [Some(place), mistake.see.as_ref().map(|(place, _)| place)];
            let changed = places.into_iter().flatten().find_map(|place| {
                match found?.origin((place.start, place.end)) {
                    Origin::Changed(stretch) => Some(stretch),
                    Origin::Kept(_) => None,
                }
            });
            let Some(changed) = changed else { continue };
            let case = found.and_then(|draft| draft.edits.get(&changed)).map(|edit| edit.case.clone());
            let why = format!("a case file cannot say it there: {}", mistake.text);
            any |= self.take_out(&place.clone(), changed, &why, &case.unwrap_or_default());
        }
        self.settle();
        any
    }

    /// The files that change, with the new text, and what stays as it is.
    pub(super) fn into_changed(self) -> (Vec<(SuiteFile, String)>, Vec<Left>) {
        let changed = self.drafts.iter().filter(|draft| draft.changes() > 0);
        let files = changed.map(|draft| (draft.as_it_is().clone(), draft.text())).collect();
        (files, self.left)
    }
}

const VARIES: &str = "what the kernel answers differs from run to run";

fn disagreement(first: &str, second: &str) -> String {
    if first == second {
        return VARIES.to_owned();
    }
    format!(
        "{first} has the same words here, and the kernel answers the two differently; give the table a column for it"
    )
}

impl Draft {
    fn of(file: SuiteFile, below: Option<Box<Draft>>) -> Draft {
        Draft { file, edits: BTreeMap::new(), fixed: BTreeSet::new(), below }
    }

    fn as_it_is(&self) -> &SuiteFile {
        self.below.as_ref().map_or(&self.file, |below| below.as_it_is())
    }

    fn changes(&self) -> usize {
        self.edits.len() + self.below.as_ref().map_or(0, |below| below.changes())
    }

    fn text(&self) -> String {
        let old = &self.file.file.text;
        let (mut text, mut at) = (String::with_capacity(old.len()), 0);
        for ((start, end), edit) in &self.edits {
            text.push_str(old.get(at..*start).unwrap_or_default());
            text.push_str(&edit.text);
            at = *end;
        }
        text.push_str(old.get(at..).unwrap_or_default());
        text
    }

    fn now(&self) -> SuiteFile {
        let file = Arc::new(File { path: self.file.file.path.clone(), text: self.text() });
        SuiteFile { suite: self.file.suite.clone(), file }
    }

    /// Where a stretch of the text as it will be comes from.
    fn origin(&self, (start, end): Stretch) -> Origin {
        let (mut grown, mut shrunk) = (0, 0);
        // What changed in this round is not in the text yet that places are of.
        for (&(old_start, old_end), edit) in self.edits.iter().filter(|(_, edit)| !edit.fresh) {
            let new_start = old_start + grown - shrunk;
            let new_end = new_start + edit.text.len();
            if start < new_end && end > new_start {
                return Origin::Changed((old_start, old_end));
            }
            if end <= new_start {
                break;
            }
            grown += edit.text.len();
            shrunk += old_end - old_start;
        }
        Origin::Kept((start + shrunk - grown, end + shrunk - grown))
    }

    fn told(&self, (start, end): Stretch) -> String {
        if let Some(below) = &self.below {
            let (Origin::Kept(stretch) | Origin::Changed(stretch)) = below.origin((start, end));
            return below.told(stretch);
        }
        let text = &self.file.file.text;
        let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
        // What is added stands behind a line.
        let indented = line + text[line..].len() - text[line..].trim_start().len();
        let start = if start == end { indented } else { start };
        Place { file: self.file.file.clone(), start, end: end.max(start) }.to_string()
    }
}
