//! How text looks in a terminal.

/// Whether and how text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// ANSI colours.
    pub color: bool,
}

impl Style {
    /// The renderer for messages that point into a file.
    pub fn renderer(self) -> annotate_snippets::Renderer {
        if self.color { annotate_snippets::Renderer::styled() } else { annotate_snippets::Renderer::plain() }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// For what is as it should be.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// For what is not.
    pub fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// For what wants a look.
    pub fn warn(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// For headings.
    pub fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// For what matters less.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }
}
