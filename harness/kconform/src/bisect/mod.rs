//! From "it fails" to the commit that broke it, or to the kernel that changed.
//!
//! [`search`] decides which commit is tested next and what follows: git is asked through [`search::History`], commits are
//! built and tried through [`search::Lab`], so that its rules can be tested without either. [`git`] is the history that
//! `git bisect` leads through; [`lab`] builds a commit ([`build`]) and boots it ([`boot`]). What is known is a [`table`] of
//! commits and cases, kept on disk ([`state`]) after every step. [`between`] finds changes between kernels that are built already.

pub mod answer;
pub mod between;
pub mod boot;
pub mod build;
pub mod commit;
pub mod git;
pub mod lab;
pub mod process;
pub mod search;
pub mod state;
pub mod table;

/// Why a bisection stops: git, a build or a boot, or the disk.
pub type BisectError = search::SearchError<git::GitError, lab::LabError, state::StateError>;

#[cfg(test)]
pub(crate) mod tests;
