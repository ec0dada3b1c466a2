//! An agent's stream behind a shell that may greet first.

use std::io::{self, BufRead, BufReader, Read};

/// The line after which the stream is the agent's.
pub(super) const BEGINS: &str = "kconform's agent begins";

/// What is wrong with a shell that never comes to it.
pub(super) const ENDLESS: &str = "the shell there greets without end";

/// Bytes that a shell may print before that.
const MOST: u64 = 1 << 20;

/// Gives what follows the line [`BEGINS`].
pub(super) struct Greeted<R> {
    stream: BufReader<R>,
    begun: bool,
}

impl<R: Read> Greeted<R> {
    pub(super) fn new(stream: R) -> Greeted<R> {
        Greeted { stream: BufReader::new(stream), begun: false }
    }

    fn begin(&mut self) -> io::Result<()> {
        let mut greeting = (&mut self.stream).take(MOST);
        let mut line = Vec::new();
        while line != format!("{BEGINS}\n").as_bytes() {
            line.clear();
            if greeting.read_until(b'\n', &mut line)? == 0 {
                return match greeting.limit() {
                    0 => Err(io::Error::new(io::ErrorKind::InvalidData, ENDLESS)),
                    _ => Ok(()),
                };
            }
        }
        self.begun = true;
        Ok(())
    }
}

impl<R: Read> Read for Greeted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.begun {
            self.begin()?;
        }
        self.stream.read(buffer)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_says_first_is_passed_over() {
        let read = |text: &[u8]| {
            let mut rest = Vec::new();
            Greeted::new(text).read_to_end(&mut rest).map(|_| rest)
        };
        let begins = format!("\n{BEGINS}\n");
        assert_eq!(read(&[begins.as_bytes(), b"\x01\0\n"].concat()).unwrap(), b"\x01\0\n");
        let greeting = b"Welcome to board-7\nno end of line";
        assert_eq!(read(&[greeting, begins.as_bytes(), b"frames"].concat()).unwrap(), b"frames");
        assert_eq!(read(b"Welcome to board-7\n").unwrap(), b"");
        let endless = b"y\n".repeat(1 << 20);
        assert_eq!(read(&endless).unwrap_err().to_string(), "the shell there greets without end");
    }
}
