//! A container's variables, over a socket in its run folder: the sidecar hands them out, the wrapper sets them.
//!
//! ```text
//! wrapper → sidecar   env
//! sidecar → wrapper   LENGTH \n  then that many bytes:  =NAME=value \0 …  $NAME=text \0 …
//! ```
//! The sidecar answers as soon as the first generation is complete. `=` sets a variable; `$` sets one that is made of others:
//! in its text `$(NAME)` is a variable's value and `$$` one dollar sign, as the kubelet reads them. Each folder is mounted into
//! one container only, so the socket that was used is the identity. Out of scope: starting the app (exec).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use vouchsafe_model::Secret;
use vouchsafe_model::plan::PlanEnvironment;
use vouchsafe_net::lifecycle::Lifecycle;
use vouchsafe_template::reference::kubelet::{Token, tokens};

use crate::cause::NO_VARIABLES;
use crate::gate::{bind, connect, lines};

/// The variables of one container, as the driver sees them.
pub(crate) struct Environment(watch::Sender<Option<Arc<Secret>>>);

impl Environment {
    /// Listens in `folder`.
    pub(crate) fn listen(folder: &Path, lifecycle: &Lifecycle) -> io::Result<Self> {
        let listener = bind(folder, SOCKET)?;
        let (sender, receiver) = watch::channel(None);
        lifecycle.spawn("environment", accept(listener, receiver, lifecycle.clone()));
        Ok(Self(sender))
    }

    /// Hands out `answer` from now on.
    pub(crate) fn publish(&self, answer: Secret) {
        self.0.send_replace(Some(Arc::new(answer)));
    }
}

/// What the wrapper of a container is told.
pub(crate) fn answer(environment: &PlanEnvironment, variables: &[(&str, &Secret)]) -> Secret {
    let dependents = || environment.dependents.iter().map(|one| (one.name.as_str(), one.text.as_bytes()));
    let length = |name: &str, value: usize| name.len() + value + 3;
    let bytes: usize = variables.iter().map(|(name, value)| length(name, value.len())).sum::<usize>()
        + dependents().map(|(name, text)| length(name, text.len())).sum::<usize>();
    // Sized beforehand: a growing buffer would be copied.
    let mut answer = Vec::with_capacity(bytes);
    let mut put = |kind: u8, name: &str, value: &[u8]| {
        answer.push(kind);
        answer.extend_from_slice(name.as_bytes());
        answer.push(b'=');
        answer.extend_from_slice(value);
        answer.push(0);
    };
    for (name, value) in variables {
        // EXPOSE: the container that asks gets the value; that is what it was read for.
        put(VALUE, name, value.expose());
    }
    dependents().for_each(|(name, text)| put(MADE, name, text));
    Secret::new(answer)
}

async fn accept(listener: UnixListener, answers: watch::Receiver<Option<Arc<Secret>>>, lifecycle: Lifecycle) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = lifecycle.stopping() => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // One too many is closed at once; it tries again.
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
        let answers = answers.clone();
        lifecycle.spawn("environment connection", async move {
            let _permit = permit;
            // Who asked may have gone.
            let _ = tokio::time::timeout(CONVERSATION, serve(stream, answers)).await;
        });
    }
}

async fn serve(stream: UnixStream, mut answers: watch::Receiver<Option<Arc<Secret>>>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = lines(reader);
    if lines.next_line().await?.as_deref() != Some(ASK) {
        return Ok(());
    }
    let answer = tokio::select! {
        answer = answers.wait_for(Option::is_some) => answer.ok().and_then(|answer| answer.clone()),
        _ = lines.next_line() => None,
    };
    if let Some(answer) = answer {
        writer.write_all(format!("{}\n", answer.len()).as_bytes()).await?;
        // EXPOSE: see `answer`.
        writer.write_all(answer.expose()).await?;
    }
    Ok(())
}

/// Asks the sidecar for this container's variables, until it answers or `bound` is over.
pub(crate) async fn ask(folder: &Path, bound: Duration) -> Result<Secret, String> {
    let asking = async {
        loop {
            match ask_once(folder).await {
                Ok(answer) => return answer,
                // It is starting, or was restarted.
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    };
    tokio::time::timeout(bound, asking).await.map_err(|_| {
        format!(
            "the sidecar gave no variables within {} s; its own message says why: look at container vouchsafe-sidecar ({})",
            bound.as_secs(),
            NO_VARIABLES.as_str()
        )
    })
}

async fn ask_once(folder: &Path) -> io::Result<Secret> {
    let mut stream = connect(folder, SOCKET).await?;
    stream.write_all(format!("{ASK}\n").as_bytes()).await?;
    let mut reader = BufReader::with_capacity(HEADER_BYTES, stream);
    let mut header = String::new();
    (&mut reader).take(u64::try_from(HEADER_BYTES).unwrap_or_default()).read_line(&mut header).await?;
    let wrong = || io::Error::from(io::ErrorKind::InvalidData);
    let length: usize = header.trim_end().parse().map_err(|_| wrong())?;
    if length > ANSWER_BYTES {
        return Err(wrong());
    }
    let mut answer = vec![0; length];
    reader.read_exact(&mut answer).await?;
    Ok(Secret::new(answer))
}

/// The app's environment: `own` with the variables of `answer`, then with what is made of them.
pub(crate) fn apply(own: impl Iterator<Item = (OsString, OsString)>, answer: &Secret) -> Vec<(OsString, OsString)> {
    let mut all: Vec<(OsString, OsString)> = own.collect();
    // EXPOSE: the app's environment is where the values belong.
    let entries = answer.expose().split(|byte| *byte == 0).filter_map(|entry| {
        let (kind, rest) = entry.split_first()?;
        let at = rest.iter().position(|byte| *byte == b'=')?;
        Some((*kind, OsStr::from_bytes(rest.get(..at)?), rest.get(at + 1..)?))
    });
    for (kind, name, value) in entries {
        let value = match (kind, std::str::from_utf8(value)) {
            (MADE, Ok(text)) => expand(text, &all),
            _ => OsStr::from_bytes(value).to_owned(),
        };
        match all.iter_mut().find(|(known, _)| known == name) {
            Some(slot) => slot.1 = value,
            None => all.push((name.to_owned(), value)),
        }
    }
    all
}

fn expand(text: &str, known: &[(OsString, OsString)]) -> OsString {
    let pieces: Vec<&[u8]> = tokens(text)
        .into_iter()
        .map(|token| match token {
            Token::Text(text) => text.as_bytes(),
            Token::Name(name, whole) => known
                .iter()
                .find(|(known, _)| known.as_bytes() == name.as_bytes())
                .map_or(whole.as_bytes(), |(_, value)| value.as_bytes()),
        })
        .collect();
    OsString::from_vec(pieces.concat())
}

/// Name of the socket in a run folder.
const SOCKET: &str = "env.sock";
/// What the wrapper says.
const ASK: &str = "env";
/// Marks a variable.
const VALUE: u8 = b'=';
/// Marks a variable that is made of others.
const MADE: u8 = b'$';
/// Connections at a time: the wrapper, and those who look.
const CONNECTIONS: usize = 16;
/// Longest conversation: a container that starts with the pod waits for the first generation, and asks again after that.
const CONVERSATION: Duration = Duration::from_secs(600);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest header: the digits of a length.
const HEADER_BYTES: usize = 32;
/// Longest answer: all values of a pod and the Plan's texts.
const ANSWER_BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use vouchsafe_model::plan::Dependent;

    use super::*;

    fn told(dependents: &[(&str, &str)], variables: &[(&str, &str)]) -> Secret {
        let environment = PlanEnvironment {
            container: "app".parse().unwrap(),
            dependents: dependents
                .iter()
                .map(|(name, text)| Dependent { name: (*name).to_owned(), text: (*text).to_owned() })
                .collect(),
        };
        let secrets: Vec<(&str, Secret)> =
            variables.iter().map(|(name, value)| (*name, Secret::from((*value).to_owned()))).collect();
        answer(&environment, &secrets.iter().map(|(name, value)| (*name, value)).collect::<Vec<_>>())
    }

    fn applied(own: &[(&str, &str)], answer: &Secret) -> Vec<(String, String)> {
        let own = own.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let text = |text: OsString| text.into_string().unwrap();
        apply(own, answer).into_iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn variables_are_set_and_what_is_made_of_them_is_put_together_in_order() {
        let answer = told(
            &[("DSN", "u:$(PASS)@$(HOST)/$$x$(NONE)"), ("LONG", "$(DSN)?y")],
            &[("PASS", "p$(HOST)=\n"), ("NEW", "")],
        );
        let own = [("HOST", "db"), ("DSN", "u:$(PASS)@db"), ("PASS", "old"), ("KEEP", "k")];
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            applied(&own, &answer),
            [
                pair("HOST", "db"),
                pair("DSN", "u:p$(HOST)=\n@db/$x$(NONE)"),
                pair("PASS", "p$(HOST)=\n"),
                pair("KEEP", "k"),
                pair("NEW", ""),
                pair("LONG", "u:p$(HOST)=\n@db/$x$(NONE)?y"),
            ]
        );
    }

    #[tokio::test]
    async fn the_wrapper_waits_for_the_first_generation_and_gets_each_later_one() {
        let folder = tempfile::tempdir().unwrap();
        let lifecycle = Lifecycle::new();
        let environment = Environment::listen(folder.path(), &lifecycle).unwrap();
        let early = ask(folder.path(), Duration::from_secs(20));
        let publish = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            environment.publish(told(&[], &[("A", "1")]));
        };
        let (early, ()) = tokio::join!(early, publish);
        assert_eq!(applied(&[], &early.unwrap()), [("A".to_owned(), "1".to_owned())]);
        environment.publish(told(&[], &[("A", "2")]));
        let later = ask(folder.path(), Duration::from_secs(20)).await.unwrap();
        assert_eq!(applied(&[], &later), [("A".to_owned(), "2".to_owned())]);
        lifecycle.stop("over");
    }

    #[tokio::test]
    async fn without_a_sidecar_the_wrapper_gives_up_with_a_code() {
        let folder = tempfile::tempdir().unwrap();
        let error = ask(folder.path(), Duration::from_millis(50)).await.unwrap_err();
        assert!(error.ends_with("(E-ENV-001)"), "{error}");
    }
}
