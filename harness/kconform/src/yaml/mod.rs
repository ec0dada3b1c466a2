//! YAML as a tree in which every word keeps its place, and what every part of reading a file shares: the text, and the
//! mistakes found so far. What a word means is none of its concern.

pub(crate) mod names;
pub(crate) mod parse;
pub(crate) mod reader;
mod syntax;
pub(crate) mod tree;
