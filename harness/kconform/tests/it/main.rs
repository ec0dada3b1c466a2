//! The kconform program as a person meets it: what it prints, its exit status, and what it leaves behind, which is
//! nothing. Unit tests of the parts are beside the parts.

mod agents;
mod beside;
mod bisect;
mod bisect_step;
mod bless;
mod cache;
mod check;
mod colors;
mod command;
mod command_line;
mod compare;
mod docs;
mod doctor;
mod editors;
mod enough;
mod environment;
mod explain;
mod export;
mod faults;
mod floors;
mod folders;
mod format;
mod guests;
mod help;
mod images;
mod kernel_bugs;
mod kernels;
mod kvm;
mod leftovers;
mod library;
mod limits;
mod losses;
mod mutants;
mod never_run;
#[path = "../readers/not_tested.rs"]
mod not_tested;
mod outputs;
mod privileges;
mod program;
#[path = "../readers/mod.rs"]
mod readers;
mod record;
mod renamed;
mod reports;
mod selection;
mod settings;
mod shards;
mod ssh;
mod stale_bounds;
mod trees;
mod trials;
mod verdicts;
mod workflows;
