//! A report under the names of today: suites and cases may have been renamed since it was written.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::renamed::Renamed;

use super::gather::digest;
use super::{Document, SuiteFile};

/// The extension of case files, which the names of files have and those of suites have not.
const YAML: &str = ".yaml";

impl Document {
    /// The report with all suites and cases under their names of today, as if it had been written now. The report of all
    /// shards is in the order of its files; a shard stays in its own, which its numbers speak of.
    #[must_use]
    pub(crate) fn renamed(mut self, renamed: &Renamed) -> Document {
        let mut any = false;
        for case in &mut self.cases {
            let Some(id) = renamed.now(&case.id) else { continue };
            case.suite = id.split_once("::").map_or(&*id, |(suite, _)| suite).to_owned();
            case.id = id;
            any = true;
        }
        for file in &mut self.suite.files {
            let suite = file.name.strip_suffix(YAML).unwrap_or(&file.name);
            let Some(now) = renamed.now(suite) else { continue };
            *file = SuiteFile { name: format!("{now}{YAML}"), sha256: std::mem::take(&mut file.sha256) };
            any = true;
        }
        if !any {
            return self;
        }
        self.suite.files.sort();
        self.suite.sha256 = digest(&self.suite.files);
        if self.shard.is_none() {
            let path = |file: &SuiteFile| PathBuf::from(&file.name);
            let mut paths: Vec<PathBuf> = self.suite.files.iter().map(path).collect();
            paths.sort();
            let places: HashMap<PathBuf, usize> = paths.into_iter().zip(0..).collect();
            // Cases of one suite keep their order.
            self.cases
                .sort_by_key(|case| places.get(&PathBuf::from(format!("{}{YAML}", case.suite))).copied());
        }
        self
    }
}
