//! Scenario: certificates that end soon, for which the server keeps no lease.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use super::audit::count;
use super::ground::{Ground, LEASE};
use crate::smoke::outcome::{Outcome, ensure};
use crate::smoke::process::{QUICK, run};

/// Certificate, key and authority are always of one issuance, and the certificate is always valid.
pub(crate) fn certificates_are_replaced_as_one_set(ground: &mut Ground) -> Outcome<String> {
    ground.start("native", "certified")?;
    let folder = ground.world.path("certified");
    fs::create_dir_all(&folder)?;
    let mut serials: Vec<String> = Vec::new();
    let mut looks = 0;
    let end = Instant::now() + WATCHED;
    while Instant::now() < end {
        let all = ground.in_app(
            ("native", "certified"),
            "cat tls.crt && echo && echo -- && cat tls.key && echo && echo -- && cat ca.crt",
        )?;
        let parts: Vec<&str> = all.split("\n--\n").collect();
        ensure(parts.len() == 3, || format!("{} files", parts.len()))?;
        for (name, text) in ["tls.crt", "tls.key", "ca.crt"].iter().zip(&parts) {
            fs::write(folder.join(name), text)?;
        }
        let openssl = |arguments: &[&str]| {
            let mut command = Command::new("openssl");
            run(command.current_dir(&folder).args(arguments), "", QUICK)?
                .good(&format!("openssl {}", arguments.join(" ")))
        };
        openssl(&["verify", "-CAfile", "ca.crt", "tls.crt"])?;
        let of_certificate = openssl(&["x509", "-in", "tls.crt", "-noout", "-pubkey"])?;
        let of_key = openssl(&["pkey", "-in", "tls.key", "-pubout"])?;
        ensure(of_certificate == of_key, || "certificate and key are of two issuances".to_owned())?;
        let serial = openssl(&["x509", "-in", "tls.crt", "-noout", "-serial"])?;
        if serials.last() != Some(&serial) {
            serials.push(serial);
        }
        looks += 1;
        std::thread::sleep(PAUSE);
    }
    let issued = count(&ground.asked("native", "certified"), "update pki/issue/app");
    ground.world.cluster.kubectl(&["-n", "native", "delete", "pod", "certified", "--wait=false"])?;
    // One at the start, then one every 12 to 14 s.
    let most = usize::try_from(WATCHED.as_secs() / (LEASE / 2)).unwrap_or_default() + 2;
    ensure(serials.len() >= 4 && issued <= most && issued >= serials.len(), || {
        format!("{issued} issued, {} seen", serials.len())
    })?;
    Ok(format!("{looks} looks at valid sets, {} certificates one after the other, {issued} issued", serials.len()))
}

/// Four to five lives between replacements.
const WATCHED: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);
