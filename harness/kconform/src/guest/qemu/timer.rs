//! The timer of a RISC-V guest, which QEMU 7.2 does not carry over when a guest is saved and restored.
//!
//! A CPU with the extension Sstc has its timer in a register, `stimecmp`. QEMU saves the register (vmstate_riscv_cpu in
//! target/riscv/machine.c), but starts the timer of its own that stands behind it only where the guest writes the register
//! (riscv_timer_write_timecmp() in target/riscv/time_helper.c): a guest that is restored waits for an interrupt that never
//! comes. Its kernel believes that the timer is set, and need not set it for what is due later (hrtimer_reprogram() in
//! kernel/time/hrtimer.c). Since Linux 7.2 it does not set it for what is due already either, if user space asks for that
//! (hrtimer_start_range_ns_user()): then nothing that runs in the guest can mend it.
//!
//! So the register is written for the guest between its stop and its saving, through QEMU's debugger: with a time that is
//! over. The interrupt is pending then, and pending interrupts are saved (`mip`). The first thing that a restored guest
//! does is to handle it, and to set its timer anew.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

/// `stimecmp` and `mip` among the control and status registers (RISC-V, Volume II).
const STIMECMP: u32 = 0x14d;
const MIP: u32 = 0x344;
/// The supervisor's timer interrupt in `mip`.
const STIP: u64 = 1 << 5;
/// A register by which those of the debugger are found, since its numbers differ between versions of QEMU: its name, and its
/// number among the control and status registers.
const LANDMARK: (&str, u32) = ("sstatus", 0x100);
/// The longest answer that is asked for at a time, in hexadecimal digits.
const PIECE: &str = "ffb";

/// Has the timer interrupt of a guest that is stopped pending; `stream` leads to QEMU's debugger (Debugging with GDB,
/// "Remote Protocol"). `false` for a CPU without such a register.
///
/// # Errors
/// Those of the stream, and what cannot be understood of the debugger's answers.
pub(super) fn make_due(stream: UnixStream) -> io::Result<bool> {
    let mut debugger = Debugger { stream };
    // The descriptions of registers are made when the first one is asked for.
    debugger.file("target.xml")?;
    let registers = debugger.file("riscv-csr.xml")?;
    let first = first_register(&registers).ok_or_else(|| not_understood("riscv-csr.xml"))?;
    if debugger.ask(&format!("P{:x}={:016x}", first + STIMECMP, 0))? != "OK" {
        return Ok(false);
    }
    let pending = debugger.ask(&format!("p{:x}", first + MIP))?;
    let pending = u64::from_str_radix(&pending, 16).map_err(|_| not_understood(&pending))?.swap_bytes();
    Ok(pending & STIP != 0)
}

/// The debugger's number of the first control and status register.
fn first_register(description: &str) -> Option<u32> {
    let (name, number) = LANDMARK;
    let element = description.split('<').find(|element| element.contains(&format!("name=\"{name}\"")))?;
    let (_, value) = element.split_once("regnum=\"")?;
    value.split('"').next()?.parse::<u32>().ok()?.checked_sub(number)
}

fn not_understood(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("QEMU's debugger is not understood: {text}"))
}

struct Debugger {
    stream: UnixStream,
}

impl Debugger {
    /// A description that the debugger has.
    fn file(&mut self, name: &str) -> io::Result<String> {
        let mut text = String::new();
        loop {
            let piece = self.ask(&format!("qXfer:features:read:{name}:{:x},{PIECE}", text.len()))?;
            match piece.split_at_checked(1) {
                Some(("m", more)) if !more.is_empty() => text.push_str(more),
                Some(("l", rest)) => return Ok(text + rest),
                _ => return Err(not_understood(&piece)),
            }
        }
    }

    /// What it answers: between `$` and `#`, then two digits of a checksum, which the stream needs not.
    fn ask(&mut self, question: &str) -> io::Result<String> {
        let sum = question.bytes().fold(0_u8, u8::wrapping_add);
        // The receipt for the answer before comes with it.
        write!(self.stream, "+${question}#{sum:02x}")?;
        let mut answer = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => answer.extend_from_slice(&chunk[..read]),
            }
            let text = String::from_utf8_lossy(&answer);
            // Before it there is the receipt for what was asked, `+`.
            if let Some((text, sum)) = text.split_once('$').and_then(|(_, rest)| rest.split_once('#'))
                && sum.len() >= 2
            {
                return Ok(text.to_owned());
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::Shutdown;

    use rstest::rstest;

    use super::*;

    const REGISTERS: &str = "<feature name=\"org.gnu.gdb.riscv.csr\"><reg name=\"fflags\" bitsize=\"64\" regnum=\"67\"/>\
                             <reg name=\"sstatus\" bitsize=\"64\" regnum=\"322\"/></feature>";

    /// What comes of a debugger that answers so, once it has described its registers, and what it was asked.
    fn debug(answers: &[&str]) -> (io::Result<bool>, Vec<String>) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (begin, end) = REGISTERS.split_at(50);
        let described = ["l<target/>".to_owned(), format!("m{begin}"), format!("l{end}")];
        let answers: Vec<_> =
            described.into_iter().chain(answers.iter().map(|&answer| answer.into())).collect();
        let debugger = std::thread::spawn(move || {
            let mut asked = vec![String::new(); answers.len()];
            for (asked, answer) in asked.iter_mut().zip(answers) {
                // A question ends in two digits.
                while asked.split_once('#').is_none_or(|(_, sum)| sum.len() < 2) {
                    let mut heard = [0; 100];
                    let read = theirs.read(&mut heard).unwrap();
                    asked.push_str(std::str::from_utf8(&heard[..read]).unwrap());
                }
                write!(theirs, "+${answer}#00").unwrap();
            }
            // It hears what else is asked, and says no more.
            theirs.shutdown(Shutdown::Write).unwrap();
            theirs.read_to_end(&mut Vec::new()).unwrap();
            asked
        });
        let said = make_due(ours);
        let asked = debugger.join().unwrap();
        (said, asked.iter().map(|asked| asked.trim_start_matches(['+', '$']).to_owned()).collect())
    }

    #[test]
    fn the_timer_is_set_to_a_time_that_is_over() {
        let (said, asked) = debug(&["OK", "2002000000000000"]);
        assert!(said.unwrap());
        let asked: Vec<_> = asked.iter().map(|asked| asked.split('#').next().unwrap()).collect();
        let expected = [
            "qXfer:features:read:target.xml:0,ffb",
            "qXfer:features:read:riscv-csr.xml:0,ffb",
            "qXfer:features:read:riscv-csr.xml:32,ffb",
            "P18f=0000000000000000",
            "p386",
        ];
        assert_eq!(asked, expected);
    }

    #[rstest]
    #[case::no_such_register(&["E14"])]
    #[case::an_interrupt_that_is_not_pending(&["OK", "0002000000000000"])]
    fn a_cpu_may_have_no_such_timer(#[case] answers: &[&str]) {
        assert!(!debug(answers).0.unwrap());
    }

    #[rstest]
    #[case::nonsense(&["OK", "what"], "QEMU's debugger is not understood: what")]
    #[case::silence(&["OK"], "unexpected end of file")]
    fn a_debugger_in_trouble_is_told(#[case] answers: &[&str], #[case] expected: &str) {
        assert_eq!(debug(answers).0.unwrap_err().to_string(), expected);
    }
}
