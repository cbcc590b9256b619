//! What is shown at the login, read anew each time: whoever puts it there may replace it.
//!
//! Out of scope: the login itself (server).

use std::io::{self, Read as _};
use std::path::Path;

use vouchsafe_model::Secret;
use vouchsafe_model::plan::{LoginMethod, Plan};

use crate::place::Place;

/// What is shown.
#[derive(Debug)]
pub(crate) enum Shown {
    /// A service account's token.
    Token(Secret),
    /// A role id and a secret id.
    AppRole { role_id: Secret, secret_id: Option<Secret> },
    /// Nothing but the connection's certificate, and the name of a role.
    Certificate(Option<String>),
    /// A token of Vault's own: no login is needed.
    Vault(Secret),
}

/// Reads it; `own` is the file of the sidecar's projected token.
pub(crate) fn read(plan: &Plan, place: &Place, own: &Path) -> io::Result<Shown> {
    let usual = LoginMethod::Kubernetes;
    match plan.agent.as_ref().map_or(&usual, |agent| &agent.method) {
        LoginMethod::Kubernetes => secret(own).map(Shown::Token),
        LoginMethod::TokenOf { file } => secret(&place.at(file)).map(Shown::Token),
        LoginMethod::AppRole { role_id, secret_id } => Ok(Shown::AppRole {
            role_id: secret(&place.at(role_id))?,
            secret_id: secret_id.as_ref().map(|file| secret(&place.at(file))).transpose()?,
        }),
        LoginMethod::Cert { name } => Ok(Shown::Certificate(name.clone())),
        LoginMethod::TokenFile { file } => secret(&place.at(file)).map(Shown::Vault),
    }
}

/// The content of a file, without white space at its ends.
fn secret(file: &Path) -> io::Result<Secret> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
    let mut bytes = Vec::new();
    std::fs::File::open(file).map_err(named)?.take(TOKEN_BYTES).read_to_end(&mut bytes).map_err(named)?;
    let whole = Secret::new(bytes);
    // EXPOSE: only trimmed.
    let trimmed = Secret::new(whole.expose().trim_ascii().to_vec());
    if trimmed.is_empty() {
        return Err(named(io::Error::new(io::ErrorKind::UnexpectedEof, "it is empty")));
    }
    Ok(trimmed)
}

/// Largest token.
const TOKEN_BYTES: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::tests::plan;

    #[test]
    fn each_method_shows_its_own_files_trimmed() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path());
        std::fs::write(folder.path().join("id"), " role\n").unwrap();
        std::fs::write(folder.path().join("empty"), "\n").unwrap();
        let mut plan = plan(0);
        let mut shown = |method: LoginMethod| {
            plan.agent = Some(Box::new(vouchsafe_model::plan::AgentPlan { method, ..Default::default() }));
            read(&plan, &place, Path::new("/absent"))
        };
        let file = "/id".to_owned();
        let role = Secret::from("role".to_owned());
        assert!(matches!(shown(LoginMethod::TokenOf { file: file.clone() }), Ok(Shown::Token(token)) if token == role));
        assert!(
            matches!(shown(LoginMethod::TokenFile { file: file.clone() }), Ok(Shown::Vault(token)) if token == role)
        );
        let pair = shown(LoginMethod::AppRole { role_id: file, secret_id: None });
        assert!(matches!(pair, Ok(Shown::AppRole { role_id, secret_id: None }) if role_id == role));
        let error = shown(LoginMethod::TokenFile { file: "/empty".to_owned() }).unwrap_err();
        assert!(error.to_string().contains("empty: it is empty"), "{error}");
        assert!(shown(LoginMethod::Kubernetes).is_err());
    }
}
