//! The wrapper beside plain exec: one row per behaviour, each observed three times: the program alone, the program that the
//! wrapper became (`--become`), and the program under the wrapper as parent.

#![expect(clippy::unwrap_used, reason = "a row that cannot be observed should end the test")]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A behaviour.
struct Row {
    name: &'static str,
    /// The program and its arguments.
    command: Vec<&'static str>,
    /// Sent once the program has said `ready`.
    signal: Option<Signal>,
    stdin: &'static str,
    parent: Parent,
}

/// What the parent may do otherwise.
#[derive(Clone, Copy)]
enum Parent {
    Same,
    /// The exit code that it gives where the program alone is ended by a signal: a parent cannot end by its child's.
    Code(i32),
    /// Standard output differs, as said.
    Output(&'static str),
}

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    code: Option<i32>,
    signal: Option<i32>,
    stdout: String,
    stderr: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    Become,
    Parent,
}

fn see(row: &Row, way: Way) -> Seen {
    let wrapper = env!("CARGO_BIN_EXE_vouchsafe-sidecar");
    let words: Vec<&str> = match way {
        Way::Plain => Vec::new(),
        Way::Become => vec![wrapper, "exec", "--become", "--"],
        Way::Parent => vec![wrapper, "exec", "--"],
    };
    let words: Vec<&str> = words.into_iter().chain(row.command.iter().copied()).collect();
    let spawned = Command::new(words.first().unwrap())
        .args(words.iter().skip(1))
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("KEEP", "a=b c\nd")
        .current_dir("/usr")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        // What a shell gives where it cannot start something, and the wrapper too.
        Err(error) => {
            let code = if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
            return Seen { code: Some(code), signal: None, stdout: String::new(), stderr: String::new() };
        }
    };
    let stdin = child.stdin.take().unwrap();
    // The program may have ended without reading.
    let _ = (&stdin).write_all(row.stdin.as_bytes());
    drop(stdin);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut stdout = String::new();
    if let Some(signal) = row.signal {
        out.read_line(&mut stdout).unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
    }
    let status = child.wait().unwrap();
    out.read_to_string(&mut stdout).unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let stderr: Vec<&str> =
        stderr.lines().filter(|line| !line.starts_with("vouchsafe-sidecar: exec: start ")).collect();
    Seen { code: status.code(), signal: status.signal(), stdout, stderr: stderr.join("\n") }
}

fn rows() -> Vec<Row> {
    let row = |name, command: &[&'static str]| Row {
        name,
        command: command.to_vec(),
        signal: None,
        stdin: "",
        parent: Parent::Same,
    };
    let shell = |name, script| row(name, &["/bin/sh", "-c", script]);
    let told = |name, script, signal| Row { signal: Some(signal), ..shell(name, script) };
    let ended = |name, signal: Signal| Row {
        parent: Parent::Code(128 + signal.as_raw()),
        ..told(name, "echo ready; while :; do sleep 0.05; done", signal)
    };
    let status = |name, line| {
        let script: &'static str = match line {
            "Sig" => "grep -E '^Sig(Blk|Ign):' /proc/self/status",
            "Cap" => "grep ^Cap /proc/self/status",
            "NoNew" => "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status",
            "Groups" => "grep -E '^(Uid|Gid|Groups|Umask):' /proc/self/status",
            _ => "grep -E '^(Cpus_allowed_list|Mems_allowed_list):' /proc/self/status",
        };
        shell(name, script)
    };
    vec![
        shell("success is 0", "exit 0"),
        shell("failure is 1", "exit 1"),
        shell("any code is passed on", "exit 7"),
        shell("the largest code is passed on", "exit 255"),
        row("a program that is not there is 127", &["/no/such/program"]),
        row("a name that is nowhere in PATH is 127", &["no-such-program"]),
        row("a file that is no program is 126", &["/etc/passwd"]),
        row("a folder is 126", &["/usr"]),
        row("a name is looked up in PATH", &["true"]),
        row("a program relative to the folder is found", &["bin/env"]),
        Row { parent: Parent::Code(128 + 15), ..shell("an app that ends itself by SIGTERM", "kill -TERM $$") },
        Row { parent: Parent::Code(128 + 9), ..shell("an app that is killed", "kill -KILL $$") },
        ended("SIGTERM without handler ends it", Signal::TERM),
        ended("SIGINT without handler ends it", Signal::INT),
        ended("SIGQUIT without handler ends it", Signal::QUIT),
        ended("SIGHUP without handler ends it", Signal::HUP),
        ended("SIGUSR1 without handler ends it", Signal::USR1),
        ended("SIGUSR2 without handler ends it", Signal::USR2),
        told("SIGTERM reaches a handler", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done", Signal::TERM),
        told("SIGINT reaches a handler", "trap 'exit 4' INT; echo ready; while :; do sleep 0.05; done", Signal::INT),
        told("SIGQUIT reaches a handler", "trap 'exit 5' QUIT; echo ready; while :; do sleep 0.05; done", Signal::QUIT),
        told(
            "SIGHUP reaches a handler",
            "trap 'echo hup; exit 6' HUP; echo ready; while :; do sleep 0.05; done",
            Signal::HUP,
        ),
        told("SIGUSR1 reaches a handler", "trap 'exit 8' USR1; echo ready; while :; do sleep 0.05; done", Signal::USR1),
        told("SIGUSR2 reaches a handler", "trap 'exit 9' USR2; echo ready; while :; do sleep 0.05; done", Signal::USR2),
        told(
            "SIGWINCH reaches a handler",
            "trap 'exit 10' WINCH; echo ready; while :; do sleep 0.05; done",
            Signal::WINCH,
        ),
        told("SIGTERM may be ignored", "trap '' TERM; echo ready; sleep 0.3; exit 11", Signal::TERM),
        told(
            "a clean end after SIGTERM",
            "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done",
            Signal::TERM,
        ),
        Row { stdin: "one\ntwo\n", ..row("standard input is the app's", &["cat"]) },
        Row { stdin: "", ..shell("the end of standard input is seen", "read line; echo \"got $? $line\"") },
        shell("standard output and error are two", "echo out; echo err >&2; exit 1"),
        shell("bytes are passed as they are", "printf 'a\\tb\\r\\n\\033[0m'"),
        shell("other open files are as before", "ls -l /proc/self/fd | awk 'NR>1 {print $9}' | tr '\\n' ' '"),
        row(
            "arguments with spaces, quotes, nothing and line breaks",
            &["printf", "<%s>", "a b", "", "c\"d'", "e\nf", "--", "ü$(X)"],
        ),
        shell("the app's own name", "tr '\\0' ' ' < /proc/$$/cmdline; :"),
        shell("the environment", "env | sort"),
        shell("the working folder", "pwd"),
        shell("the umask", "umask"),
        shell("limits", "ulimit -a"),
        shell("hard limits", "ulimit -aH"),
        status("blocked and ignored signals", "Sig"),
        status("capabilities", "Cap"),
        status("no new privileges, seccomp", "NoNew"),
        status("users and groups", "Groups"),
        status("processors", "Cpus"),
        shell("scheduling priority", "cut -d' ' -f18,19 /proc/self/stat"),
        shell("the kernel's wish to kill it", "cat /proc/self/oom_score_adj"),
        shell("the root folder and mounts", "readlink /proc/self/root; readlink /proc/self/ns/mnt"),
        shell("a broken pipe ends the writer", "yes | head -n 1"),
        shell("children of the app that it does not await", "(sleep 0.2 &) ; exit 12"),
        shell("grandchildren left behind do not hold the end back", "sleep 3 >/dev/null 2>&1 <&- & exit 13"),
        Row {
            parent: Parent::Output("no\n"),
            ..shell("it leads its process group", "[ \"$(cut -d' ' -f5 /proc/$$/stat)\" = $$ ] && echo yes || echo no")
        },
    ]
}

#[test]
fn the_wrapper_is_as_plain_exec_in_every_row_of_the_table() {
    let rows = rows();
    assert!(rows.len() >= 30);
    let names: BTreeSet<&str> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        let plain = see(row, Way::Plain);
        let became = see(row, Way::Become);
        if became != plain {
            wrong.push(format!("{} (become):\n  plain {plain:?}\n  ours  {became:?}", row.name));
        }
        let parent = see(row, Way::Parent);
        let expected = match row.parent {
            Parent::Same => plain,
            Parent::Code(code) => Seen { code: Some(code), signal: None, ..plain },
            Parent::Output(text) => Seen { stdout: text.to_owned(), ..plain },
        };
        if parent != expected {
            wrong.push(format!("{} (parent):\n  wanted {expected:?}\n  ours   {parent:?}", row.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows differ:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

#[test]
fn the_app_has_the_wrappers_own_process_and_none_of_its_memory() {
    let row = |way| {
        let wrapper = env!("CARGO_BIN_EXE_vouchsafe-sidecar");
        let mut command = Command::new(wrapper);
        let options: &[&str] = if way == Way::Become { &["exec", "--become", "--"] } else { &["exec", "--"] };
        command.args(options).args(["/bin/sh", "-c", "echo $$; readlink /proc/$$/exe"]);
        let child = command.stdout(Stdio::piped()).spawn().unwrap();
        let pid = child.id().to_string();
        let out = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let mut lines = out.lines().map(str::to_owned);
        (lines.next().unwrap() == pid, lines.next().unwrap().contains("vouchsafe"))
    };
    assert_eq!(row(Way::Become), (true, false));
    assert_eq!(row(Way::Parent), (false, false));
}

#[test]
fn the_wrapper_costs_little_time() {
    let time = |words: &[&str]| {
        let rounds = 20;
        let start = Instant::now();
        for _ in 0..rounds {
            assert!(Command::new(words.first().unwrap()).args(words.iter().skip(1)).status().unwrap().success());
        }
        start.elapsed() / rounds
    };
    let wrapper = env!("CARGO_BIN_EXE_vouchsafe-sidecar");
    let plain = time(&["/bin/true"]);
    let became = time(&[wrapper, "exec", "--become", "--", "/bin/true"]);
    let parent = time(&[wrapper, "exec", "--", "/bin/true"]);
    eprintln!("start to end: plain {plain:?}, become {became:?}, parent {parent:?}");
    // A busy machine stretches everything; what is told is the number above.
    assert!(became < plain + Duration::from_secs(1));
}
