//! Canaries: random values that begin alike, so that one search finds each of them wherever it leaked.
//!
//! They are sought raw, in base64 (each of the three alignments that the text may have in a longer one) and in hex.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::outcome::{Outcome, because, ensure};
use super::process::run;

/// Makes canaries and knows what they look like in other spellings.
pub(crate) struct Canaries {
    /// What every canary of this run begins with; random itself.
    mark: String,
}

impl Canaries {
    /// A family of canaries with a random beginning.
    pub(crate) fn new() -> Outcome<Self> {
        Ok(Self { mark: format!("Kanarie{}", random_text()?) })
    }

    /// The next one.
    pub(crate) fn next(&self) -> Outcome<String> {
        Ok(format!("{}{}", self.mark, random_text()?))
    }

    /// Every spelling that is sought.
    pub(crate) fn spellings(&self) -> Vec<String> {
        let bytes = self.mark.as_bytes();
        let hex = hex(bytes);
        let mut all = vec![self.mark.clone(), hex.to_uppercase(), hex];
        all.extend((0..3).map(|shift| base64_inside(bytes, shift)));
        all
    }

    /// Whether `bytes` hold a canary in any spelling.
    pub(crate) fn is_in(&self, bytes: &[u8]) -> bool {
        let contains = |spelling: &String| bytes.windows(spelling.len()).any(|window| window == spelling.as_bytes());
        self.spellings().iter().any(contains)
    }

    /// Files below these folders that hold a canary. A file that vanishes meanwhile is no fault.
    pub(crate) fn files_with(&self, folders: &[&Path]) -> Outcome<Vec<String>> {
        let mut grep = Command::new("grep");
        grep.args(["-rlaF", "-f", "-"]).args(folders).env("LC_ALL", "C");
        let finished = run(&mut grep, &(self.spellings().join("\n") + "\n"), SEARCH)?;
        Ok(finished.out.lines().map(str::to_owned).collect())
    }

    /// Processes of this machine whose command line or environment holds a canary.
    pub(crate) fn processes_with(&self) -> Outcome<(usize, Vec<String>)> {
        let mut found = Vec::new();
        let mut seen = 0;
        for entry in fs::read_dir("/proc")?.filter_map(Result::ok) {
            if !entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            seen += 1;
            for part in ["cmdline", "environ"] {
                if fs::read(entry.path().join(part)).is_ok_and(|bytes| self.is_in(&bytes)) {
                    found.push(entry.path().join(part).display().to_string());
                }
            }
        }
        ensure(seen > 10, || "the process list is all but empty".to_owned())?;
        Ok((seen, found))
    }
}

/// Twenty random letters and digits.
fn random_text() -> Outcome<String> {
    let mut bytes = [0_u8; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let text: String = bytes
        .iter()
        .filter_map(|byte| LETTERS.get(usize::from(*byte & 63)).map(|letter| char::from(*letter)))
        .take(TEXT_LENGTH)
        .collect();
    if text.len() < TEXT_LENGTH { because("too little randomness") } else { Ok(text) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The characters of base64 that depend on `bytes` alone when `shift` other bytes stand before them.
pub(crate) fn base64_inside(bytes: &[u8], shift: usize) -> String {
    let mut padded = vec![0; shift];
    padded.extend_from_slice(bytes);
    let whole = base64(&padded);
    // Bits of the bytes before are in the first `shift + 1` characters, of those behind in the last and its padding.
    let from = if shift == 0 { 0 } else { shift + 1 };
    let to = padded.len() * 8 / 6;
    whole.get(from..to).unwrap_or_default().to_owned()
}

/// Standard base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let index = (bits >> (18 - 6 * at)) & 63;
            let letter = usize::try_from(index).ok().and_then(|index| BASE64.get(index)).copied().unwrap_or_default();
            text.push(if at > chunk.len() { '=' } else { char::from(letter) });
        }
    }
    text
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// 57 of 64: no digit or letter that people confuse.
const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
/// 57 kinds of letters, twenty of them: 116 bits.
const TEXT_LENGTH: usize = 20;
/// Some hundred megabytes of logs and images.
const SEARCH: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_usual_one() {
        assert_eq!(base64(b"any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw==");
        assert_eq!(base64(b"Man"), "TWFu");
    }

    #[test]
    fn a_canary_is_found_raw_in_hex_and_in_base64_wherever_it_stands() {
        let canaries = Canaries::new().unwrap();
        let canary = canaries.next().unwrap();
        assert!(canary.len() > 40);
        for before in ["", "a", "ab", "abc", "{\"password\":\""] {
            let text = format!("{before}{canary} and more");
            assert!(canaries.is_in(text.as_bytes()));
            assert!(canaries.is_in(base64(text.as_bytes()).as_bytes()), "{} bytes before it", before.len());
        }
        assert!(canaries.is_in(hex(canary.as_bytes()).as_bytes()));
        assert!(!canaries.is_in(b"nothing of the kind"));
    }
}
