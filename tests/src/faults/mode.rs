//! What the fault proxy does to those who call: one word, and a number where it needs one.

use std::fmt;
use std::str::FromStr;

use super::dice::Dice;

/// What is done to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Passes everything on.
    Pass,
    /// Nobody listens.
    Refuse,
    /// Accepts, and never says or reads a byte.
    Blackhole,
    /// Hears the first bytes, then resets the connection.
    Reset,
    /// Holds back whatever the client says, for this many milliseconds, give or take a half.
    Delay(u64),
    /// Lets the server's answer through at this many bytes a second.
    Drip(u64),
    /// Answers every request with this status, as Vault would.
    Answer(u16),
    /// Answers as a sealed Vault.
    Sealed,
    /// Any of the others, drawn anew for each connection.
    Mixed,
}

impl Mode {
    /// What `Mixed` means for the next connection.
    pub(crate) fn drawn(self, dice: &mut Dice) -> Self {
        match self {
            Self::Mixed => match dice.below(8) {
                0..3 => Self::Pass,
                3 => Self::Blackhole,
                4 => Self::Reset,
                5 => Self::Delay(2000),
                6 => Self::Drip(500),
                _ => Self::Answer(500),
            },
            other => other,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => formatter.write_str("pass"),
            Self::Refuse => formatter.write_str("refuse"),
            Self::Blackhole => formatter.write_str("blackhole"),
            Self::Reset => formatter.write_str("reset"),
            Self::Delay(milliseconds) => write!(formatter, "delay {milliseconds}"),
            Self::Drip(bytes) => write!(formatter, "drip {bytes}"),
            Self::Answer(status) => write!(formatter, "answer {status}"),
            Self::Sealed => formatter.write_str("sealed"),
            Self::Mixed => formatter.write_str("mixed"),
        }
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, number) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let mode = match (word, number.parse::<u64>()) {
            ("delay", Ok(milliseconds)) => Self::Delay(milliseconds),
            ("drip", Ok(bytes)) => Self::Drip(bytes),
            ("answer", Ok(status)) => Self::Answer(u16::try_from(status).map_err(|_| format!("status {status}"))?),
            ("pass", _) => Self::Pass,
            ("refuse", _) => Self::Refuse,
            ("blackhole", _) => Self::Blackhole,
            ("reset", _) => Self::Reset,
            ("sealed", _) => Self::Sealed,
            ("mixed", _) => Self::Mixed,
            _ => return Err(format!("'{text}' is no mode of the fault proxy")),
        };
        Ok(mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_read_as_it_is_written() {
        let modes = [
            Mode::Pass,
            Mode::Refuse,
            Mode::Blackhole,
            Mode::Reset,
            Mode::Delay(1500),
            Mode::Drip(64),
            Mode::Answer(429),
            Mode::Sealed,
            Mode::Mixed,
        ];
        for mode in modes {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert!("delay".parse::<Mode>().is_err() && "answer 70000".parse::<Mode>().is_err());
    }

    #[test]
    fn mixed_becomes_each_fault_and_lets_some_pass() {
        let mut dice = Dice::new(1);
        let drawn: Vec<Mode> = (0..200).map(|_| Mode::Mixed.drawn(&mut dice)).collect();
        assert!(!drawn.contains(&Mode::Mixed));
        for wanted in [Mode::Pass, Mode::Blackhole, Mode::Reset, Mode::Answer(500)] {
            assert!(drawn.contains(&wanted), "{wanted} was never drawn");
        }
        assert_eq!(Mode::Sealed.drawn(&mut dice), Mode::Sealed);
    }
}
