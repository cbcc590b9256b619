//! `root-token`: the first token of a new store comes out once; after that its file is gone.
//!
//! The file is removed only when the token has left: a broken pipe loses nothing. Out of scope: making a new root token.

use std::io::{ErrorKind, Read as _, Write};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use vouchsafe_model::Secret;

/// Most that is read of the file: a token has about 40 bytes.
const FILE_LIMIT: u64 = 4096;

/// Arguments of `root-token`.
#[derive(Args, Debug)]
pub struct RootToken {
    /// The file that the broker's --store-create names.
    #[arg(long, env = "VOUCHSAFE_BROKER_STORE_CREATE", value_name = "FILE")]
    file: PathBuf,
}

impl RootToken {
    /// Prints the token and removes its file.
    pub(crate) fn run(&self, out: &mut dyn Write) -> Result<()> {
        let shown = self.file.display();
        let file = match std::fs::File::open(&self.file) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => bail!(
                "{shown}: there is no root token here any more: it comes out once, when the store is made. Who needs a root \
                 token makes one with another: `bao token create -policy=root`"
            ),
            Err(error) => return Err(error).with_context(|| format!("read {shown}")),
        };
        let mut bytes = Vec::new();
        file.take(FILE_LIMIT).read_to_end(&mut bytes).with_context(|| format!("read {shown}"))?;
        let token = Secret::new(bytes.trim_ascii().to_vec());
        if token.is_empty() {
            bail!("{shown} is empty: the store was not made with it; remove the file and start the broker again");
        }
        // EXPOSE: the one time that the root token is shown, to the person who asks for it.
        out.write_all(token.expose()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush())?;
        std::fs::remove_file(&self.file).with_context(|| {
            format!("{shown}: the token above was shown, but its file cannot be removed; remove it by hand")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes nothing, as a closed pipe does.
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_token_comes_out_once_and_survives_a_closed_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let verb = RootToken { file: folder.path().join("root-token") };
        assert!(verb.run(&mut Vec::new()).unwrap_err().to_string().contains("comes out once"));
        std::fs::write(&verb.file, "hvs.first").unwrap();
        assert!(verb.run(&mut Closed).is_err());
        assert!(verb.file.exists(), "a token that nobody saw is kept");
        let mut out = Vec::new();
        verb.run(&mut out).unwrap();
        assert_eq!(out, b"hvs.first\n");
        assert!(!verb.file.exists());
        assert!(verb.run(&mut Vec::new()).is_err());
    }

    #[test]
    fn an_empty_file_is_no_token() {
        let folder = tempfile::tempdir().unwrap();
        let verb = RootToken { file: folder.path().join("root-token") };
        std::fs::write(&verb.file, "\n").unwrap();
        assert!(verb.run(&mut Vec::new()).unwrap_err().to_string().contains("is empty"));
    }
}
