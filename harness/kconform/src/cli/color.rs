//! Whether the output is coloured.

use std::ffi::OsString;
use std::io::IsTerminal;

use crate::style::Style;

use super::args::Color;

/// Whether what is written where is coloured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Styles {
    /// Standard output.
    pub(super) out: Style,
    /// Standard error.
    pub(super) err: Style,
}

impl Styles {
    /// As the command line and the environment wish it.
    pub(super) fn wished(wish: Color) -> Styles {
        let variable = |name: &str| std::env::var_os(name);
        let on = |terminal| Style { color: colors(wish, terminal, variable) };
        Styles { out: on(std::io::stdout().is_terminal()), err: on(std::io::stderr().is_terminal()) }
    }
}

/// Whether to use colours, as <https://no-color.org> and <https://bixense.com/clicolors> say.
pub(super) fn colors(wish: Color, terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let set = |name: &str| variable(name).is_some_and(|value| !value.is_empty() && value != "0");
    match wish {
        Color::Always => true,
        Color::Never => false,
        Color::Auto if variable("NO_COLOR").is_some_and(|value| !value.is_empty()) => false,
        Color::Auto if set("CLICOLOR_FORCE") => true,
        // What a terminal of that name does is not known (terminfo(5)): Emacs, some CI systems.
        Color::Auto if variable("TERM").is_some_and(|value| value == "dumb") => false,
        Color::Auto => terminal && variable("CLICOLOR").is_none_or(|value| value != "0"),
    }
}
