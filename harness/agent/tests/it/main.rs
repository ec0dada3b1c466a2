//! The agent as its host sees it: the real program, plans made by hand, and what it says of them.

mod agent;
mod calls;
mod plans;
