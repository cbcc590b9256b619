//! `agent-inject-command`: shell text that our image has no shell for.
//!
//! vault-k8s runs the text in the agent's container after a file changed. What people write there is nearly always "tell
//! the app": `kill -HUP $(pidof nginx)`, `pkill -HUP nginx`. Those become a typed signal; `true` and the like become
//! nothing; everything else is named together with what does the same here. Nothing is ever executed.

use vouchsafe_model::plan::Signal;
use vouchsafe_model::text::quoted;

/// What a command means here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// It does nothing.
    Nothing,
    /// The app is sent this signal.
    Signal {
        /// Which one.
        signal: Signal,
        /// The program that the text names, if any: `nginx`.
        program: Option<String>,
    },
    /// It cannot be carried out; the text says what to do instead.
    Foreign(String),
}

impl Command {
    /// Reads shell text.
    pub fn read(text: &str) -> Self {
        let whole = text.trim();
        let inner = unwrapped(whole);
        let inner = SILENCERS.iter().fold(inner, |text, tail| text.strip_suffix(tail).map_or(text, str::trim_end));
        if NOTHINGS.contains(&inner) {
            return Self::Nothing;
        }
        let words: Vec<&str> = inner.split_whitespace().collect();
        match words.as_slice() {
            ["kill" | "/bin/kill" | "/usr/bin/kill", rest @ ..] => kill(rest, whole),
            ["pkill" | "/usr/bin/pkill" | "killall" | "/usr/bin/killall", rest @ ..] => pkill(rest, whole),
            _ => Self::Foreign(instead(whole)),
        }
    }
}

/// The text inside of `sh -c '…'`, or the text itself.
fn unwrapped(text: &str) -> &str {
    let Some((shell, rest)) = text.split_once(char::is_whitespace) else { return text };
    if !SHELLS.contains(&shell) {
        return text;
    }
    let rest = rest.trim_start();
    let Some(script) = ["-c ", "-ec ", "-ce "].iter().find_map(|flag| rest.strip_prefix(flag)) else { return text };
    let script = script.trim();
    let bare = |quote: char| {
        script.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)).filter(|inner| !inner.contains(quote))
    };
    bare('\'').or_else(|| bare('"')).unwrap_or(script).trim()
}

fn kill(words: &[&str], whole: &str) -> Command {
    let Some((name, target)) = signal_and_rest(words) else {
        return Command::Foreign(instead(whole));
    };
    let joined = target.join(" ");
    if !joined.is_empty() && joined.bytes().all(|byte| byte.is_ascii_digit()) {
        return named(name, None, whole);
    }
    match target_program(&joined) {
        Some(program) => named(name, Some(program), whole),
        None => Command::Foreign(instead(whole)),
    }
}

fn pkill(words: &[&str], whole: &str) -> Command {
    let Some((name, target)) = signal_and_rest(words) else {
        return Command::Foreign(instead(whole));
    };
    let names: Vec<&str> = target.iter().copied().filter(|word| !PKILL_FLAGS.contains(word)).collect();
    match names.as_slice() {
        [program] if is_program(program) => named(name, Some((*program).to_owned()), whole),
        _ => Command::Foreign(instead(whole)),
    }
}

/// `-HUP`, `-1`, `-s HUP`, `-SIGHUP`, `--signal=HUP`, and what follows; SIGTERM where none is named.
fn signal_and_rest<'a>(words: &'a [&'a str]) -> Option<(&'a str, &'a [&'a str])> {
    match words {
        ["-s" | "--signal" | "-n", name, rest @ ..] => Some((name, rest)),
        [first, rest @ ..] => {
            if let Some(name) = first.strip_prefix("--signal=") {
                return Some((name, rest));
            }
            match first.strip_prefix('-') {
                Some(name) if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric()) => Some((name, rest)),
                Some(_) => None,
                None => Some(("TERM", words)),
            }
        }
        [] => None,
    }
}

fn named(name: &str, program: Option<String>, whole: &str) -> Command {
    let upper = name.to_ascii_uppercase();
    let signal = match upper.strip_prefix("SIG").unwrap_or(&upper) {
        "HUP" | "1" => Signal::Sighup,
        "USR1" | "10" => Signal::Sigusr1,
        "USR2" | "12" => Signal::Sigusr2,
        _ => {
            return Command::Foreign(format!(
                "{} sends a signal that ends the app; to start it anew after a change roll its Deployment out, or let it reload on SIGHUP",
                quoted(whole)
            ));
        }
    };
    Command::Signal { signal, program }
}

/// The program behind `$(pidof nginx)`, `` `pgrep -x nginx` ``, `$(cat /run/nginx.pid)`.
fn target_program(target: &str) -> Option<String> {
    let unquoted = target.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(target);
    let dollar = unquoted.strip_prefix("$(").and_then(|rest| rest.strip_suffix(')'));
    let ticks = || unquoted.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
    let words: Vec<&str> = dollar.or_else(ticks)?.split_whitespace().collect();
    match words.as_slice() {
        ["pidof" | "/bin/pidof" | "pgrep" | "/usr/bin/pgrep", rest @ ..] => {
            let names: Vec<&str> = rest.iter().copied().filter(|word| !PKILL_FLAGS.contains(word)).collect();
            match names.as_slice() {
                [program] if is_program(program) => Some((*program).to_owned()),
                _ => None,
            }
        }
        ["cat", file] if is_program(file) => {
            let name = file.rsplit('/').next().unwrap_or_default();
            Some(name.strip_suffix(".pid").unwrap_or(name).to_owned())
        }
        _ => None,
    }
}

/// A word without any meaning to a shell.
fn is_program(word: &str) -> bool {
    !word.is_empty()
        && !word.starts_with('-')
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/' | b':' | b'@'))
}

/// What does the same without a shell.
fn instead(whole: &str) -> String {
    let way = if whole.contains("curl") || whole.contains("wget") {
        "an HTTP reload is an action here: move the pod to a Grant with onChange: {action: HTTP, http: {port: …, path: …}}"
    } else if ["cp ", "mv ", "ln ", "chmod", "chown", "cat ", "tee "].iter().any(|word| whole.contains(word)) {
        "say where the file belongs with agent-inject-file-NAME, secret-volume-path-NAME and agent-inject-perms-NAME instead"
    } else if ["keytool", "openssl", "base64"].iter().any(|word| whole.contains(word)) {
        "templates write bytes exactly (base64Decode, writeToFile); what needs a program belongs into an init container of the pod"
    } else if whole.contains("vault ") || whole.contains("bao ") {
        "what a Vault client does there belongs into an init container or the app"
    } else {
        "it is not run: the sidecar has no shell; a signal (kill -HUP $(pidof APP)) is understood, anything else belongs into the app or an init container"
    };
    format!("{} is shell text; {way}", quoted(whole))
}

/// Commands that do nothing.
const NOTHINGS: [&str; 7] = ["", "true", "/bin/true", "/usr/bin/true", ":", "exit 0", "sleep 0"];
/// Shells whose `-c` script is looked into.
const SHELLS: [&str; 6] = ["sh", "/bin/sh", "bash", "/bin/bash", "ash", "/bin/ash"];
/// Tails that only say that a failure does not matter.
const SILENCERS: [&str; 4] = ["|| true", "|| :", "2>/dev/null", "|| exit 0"];
/// Flags of pkill, pidof and pgrep that only choose the process.
const PKILL_FLAGS: [&str; 6] = ["-x", "-f", "-o", "-n", "-s", "--exact"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hup(program: Option<&str>) -> Command {
        Command::Signal { signal: Signal::Sighup, program: program.map(str::to_owned) }
    }

    #[test]
    fn every_usual_way_to_say_reload_becomes_a_signal() {
        for (text, program) in [
            ("kill -HUP $(pidof nginx)", Some("nginx")),
            ("kill -s HUP $(pidof nginx)", Some("nginx")),
            ("kill -SIGHUP `pidof nginx`", Some("nginx")),
            ("kill -1 1", None),
            ("kill -HUP \"$(pgrep -x envoy)\" || true", Some("envoy")),
            ("pkill -HUP nginx", Some("nginx")),
            ("pkill --signal HUP -x prometheus || :", Some("prometheus")),
            ("/bin/sh -c 'kill -HUP $(pidof vault-app) || true'", Some("vault-app")),
            ("sh -c \"pkill -HUP -f app\"", Some("app")),
            ("kill -HUP $(cat /run/nginx.pid)", Some("nginx")),
            ("killall -HUP haproxy 2>/dev/null", Some("haproxy")),
        ] {
            assert_eq!(Command::read(text), hup(program), "{text}");
        }
        let usr1 = Command::Signal { signal: Signal::Sigusr1, program: Some("app".to_owned()) };
        assert_eq!(Command::read("pkill -USR1 app"), usr1);
    }

    #[test]
    fn doing_nothing_is_nothing() {
        for text in ["", " ", "true", "/bin/true", ":", "sh -c true", "/bin/sh -c 'true'", "exit 0"] {
            assert_eq!(Command::read(text), Command::Nothing, "{text:?}");
        }
    }

    #[test]
    fn killing_signals_and_foreign_text_say_what_to_do_instead() {
        for (text, hint) in [
            ("kill -9 1", "ends the app"),
            ("pkill nginx", "ends the app"),
            ("kill -TERM $(pidof app)", "ends the app"),
            ("curl -X POST http://127.0.0.1:9090/-/reload", "action: HTTP"),
            ("cp /vault/secrets/a /etc/b", "agent-inject-file-NAME"),
            ("keytool -importkeystore", "init container"),
            ("kill -HUP $(pidof a); rm -rf /", "not run"),
            ("kill -HUP $(pidof $(evil))", "not run"),
            ("pkill -HUP `evil`", "not run"),
            ("kill -HUP 1 && reboot", "not run"),
            ("kill", "not run"),
        ] {
            match Command::read(text) {
                Command::Foreign(message) => assert!(message.contains(hint), "{text}: {message}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn shell_text_that_chains_substitutes_or_redirects_is_never_taken_for_a_signal(
            program in "[a-z]{1,8}", evil in "(; x|&& x|\\| x|> /x|\\$\\(x\\)|`x`|\nreboot)"
        ) {
            let text = format!("pkill -HUP {program} {evil}");
            prop_assert!(matches!(Command::read(&text), Command::Foreign(_)), "{}", text);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}") {
            let _ = Command::read(&text);
        }
    }
}
