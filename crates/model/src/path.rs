//! Paths: where a secret lies in Vault, and where its file lies in a pod.
//!
//! Every rule here has an attack behind it: `..` escapes a volume, `%2e` and `?` are read differently by proxy and
//! server, a mount below `/proc` or `/etc` shadows the system. Out of scope: opening files (the sidecar does, beneath a
//! directory handle).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::{NameError, characters, checked_text};
use crate::text::quoted;

checked_text!(
    /// Path of a secret inside its mount, without leading or trailing slash: `argocd/github-oauth`.
    VaultPath, "Vault path", vault_path
);
checked_text!(
    /// Mount of a secrets engine, without leading or trailing slash: `secret`.
    MountName, "mount", vault_path
);
checked_text!(
    /// Mount of an auth method as an API path: `auth/kubernetes`.
    AuthPath, "auth path", |text| {
        vault_path(text)?;
        match text.strip_prefix("auth/") {
            Some(_) => Ok(()),
            None => Err("must start with 'auth/', as in auth/kubernetes".to_owned()),
        }
    }
);
checked_text!(
    /// Vault or OpenBao namespace, without leading or trailing slash.
    VaultNamespace, "Vault namespace", |text| {
        vault_path(text)?;
        if text == "root" {
            return Err("is the root namespace; leave the field out".to_owned());
        }
        Ok(())
    }
);
checked_text!(
    /// File below a mount path: one to four components of letters, digits, '.', '_' and '-'.
    FileName, "file name", file_name
);
checked_text!(
    /// Folder in a container where files appear: absolute, clean, and not one of the system's own.
    MountPath, "mount path", mount_path
);

/// Permission bits of a delivered file, written in octal as `"0440"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileMode(u16);

impl FileMode {
    /// Readable by everybody in the container: the default where no group is known to reach the file.
    pub const READ_ALL: Self = Self(0o444);
    /// Readable by owner and group.
    pub const READ_GROUP: Self = Self(0o440);

    /// The bits, at most `0o777`.
    pub fn bits(self) -> u32 {
        u32::from(self.0)
    }
}

impl FileMode {
    /// Bits that the drop-in dialect may ask for: everything but none at all, setuid, setgid and sticky.
    pub fn of_agent(bits: u32) -> Option<Self> {
        u16::try_from(bits).ok().filter(|bits| (1..=0o777).contains(bits)).map(Self)
    }
}

impl FileName {
    /// A name that the drop-in dialect may ask for: hidden ones and any character, but nothing that leads out of the volume
    /// or belongs to its layout (names that begin with two dots).
    pub fn of_agent(text: &str) -> Result<Self, NameError> {
        let problem = text.split('/').find_map(|component| match component {
            "" | "." => Some("an empty component or a dot"),
            _ if component.starts_with("..") => Some("a component that begins with two dots"),
            _ if component.chars().any(char::is_control) => Some("a control character"),
            _ if component.len() > AGENT_COMPONENT_BYTES => Some("a component that is too long"),
            _ => None,
        });
        match problem {
            None => Ok(Self(text.to_owned())),
            Some(what) => {
                Err(NameError { kind: "file name", value: text.to_owned(), problem: format!("has {what}; rename it") })
            }
        }
    }
}

impl MountPath {
    /// A folder that the drop-in dialect may ask for: absolute and clean, `/etc/app` and `/run/secrets/x` included.
    pub fn of_agent(text: &str) -> Result<Self, NameError> {
        let clean = |text: &str| {
            let relative = text.strip_prefix('/')?;
            let odd = |part: &str| {
                matches!(part, "" | "." | "..") || part.contains(':') || part.chars().any(char::is_control)
            };
            (!relative.split('/').any(odd) && text.len() <= MOUNT_PATH_BYTES).then_some(())
        };
        let ours = ["/proc", "/sys", "/dev", "/vouchsafe/internal"].iter().any(|system| is_below(text, system));
        match clean(text) {
            Some(()) if !ours => Ok(Self(text.to_owned())),
            _ => Err(NameError {
                kind: "mount path",
                value: text.to_owned(),
                problem: "is not absolute, not clean, or the system's own; use a folder as in /vault/secrets"
                    .to_owned(),
            }),
        }
    }
}

impl FromStr for FileMode {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |problem: &str| NameError { kind: "mode", value: text.to_owned(), problem: problem.to_owned() };
        if !(3..=4).contains(&text.len()) || !text.bytes().all(|b| (b'0'..=b'7').contains(&b)) {
            return Err(fail("write it in octal and in quotes, as in \"0440\""));
        }
        let bits = u16::from_str_radix(text, 8).map_err(|_| fail("write it in octal, as in \"0440\""))?;
        match bits {
            0 => Err(fail("nobody could read the file; use \"0440\" or \"0444\"")),
            _ if bits > 0o777 => Err(fail("setuid, setgid and sticky bits are refused; use \"0440\" or \"0444\"")),
            _ if bits & 0o002 != 0 => Err(fail("everybody could write the file; use \"0440\" or \"0444\"")),
            _ if bits & 0o111 != 0 => Err(fail("a secret is no program; leave the execute bits out")),
            _ => Ok(Self(bits)),
        }
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04o}", self.0)
    }
}

impl fmt::Debug for FileMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04o}", self.0)
    }
}

impl Serialize for FileMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FileMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Where a server listens: `https://HOST[:PORT]`, nothing else. Plain HTTP is refused.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    host: String,
    port: u16,
}

impl ServerAddress {
    /// DNS name or IP address; an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port; 8200 unless the text says otherwise.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port` as in an HTTP `Host` header.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for ServerAddress {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |problem: String| NameError { kind: "server address", value: text.to_owned(), problem };
        let Some(rest) = text.strip_prefix("https://") else {
            return Err(fail("must start with https://".to_owned()));
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = split_port(rest).map_err(fail)?;
        let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let looks_numeric = host.starts_with("0x") || numeric;
        if looks_numeric && host.parse::<std::net::Ipv4Addr>().is_err() {
            return Err(fail("the host is no IPv4 address in dotted form".to_owned()));
        }
        if !host.contains(':') {
            characters(
                host,
                253,
                |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'),
                "a DNS name or an IP address",
            )
            .map_err(fail)?;
        }
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "https://{}", self.authority())
    }
}

impl fmt::Debug for ServerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl Serialize for ServerAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ServerAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Splits `host:port` or `[v6]:port`; the port defaults to Vault's 8200.
fn split_port(text: &str) -> Result<(&str, u16), String> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("the '[' of the IPv6 address is never closed")?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| "between the brackets stands no IPv6 address")?;
        match after {
            "" => (host, None),
            _ => (host, Some(after.strip_prefix(':').ok_or("after ']' only ':PORT' may follow")?)),
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let port = match port {
        None => DEFAULT_PORT,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok().filter(|port| *port != 0).ok_or("the port must be 1 to 65535")?
        }
        Some(_) => return Err("only a host and a port may stand there: no user, path, query or fragment".to_owned()),
    };
    Ok((host, port))
}

/// Rules shared by everything that becomes part of a Vault URL.
fn vault_path(text: &str) -> Result<(), String> {
    characters(
        text,
        VAULT_PATH_BYTES,
        |c| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | ':' | '@' | '=' | ',' | '~' | '+'),
        "letters, digits and - _ . : @ = , ~ + in segments joined by '/'",
    )?;
    for segment in text.split('/') {
        match segment {
            "" => return Err("has an empty segment; write it without leading, trailing or double slashes".to_owned()),
            "." | ".." => return Err(format!("segment {} is not allowed", quoted(segment))),
            "+" => return Err("a segment '+' is a wildcard in Vault policies and is not allowed".to_owned()),
            _ => {}
        }
    }
    Ok(())
}

fn file_name(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    let components: Vec<&str> = text.split('/').collect();
    if components.len() > FILE_COMPONENTS {
        return Err(format!("has {} components, the limit is {FILE_COMPONENTS}", components.len()));
    }
    components.into_iter().try_for_each(file_component)
}

fn file_component(component: &str) -> Result<(), String> {
    let named = |problem: String| format!("component {} {problem}", quoted(component));
    characters(
        component,
        FILE_COMPONENT_BYTES,
        |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'),
        "letters, digits, '.', '_' and '-' (a relative path, no leading slash)",
    )
    .map_err(named)?;
    if component.starts_with(['.', '-']) || component.ends_with('.') {
        return Err(named("may not start with '.' or '-' nor end with '.'".to_owned()));
    }
    Ok(())
}

fn mount_path(text: &str) -> Result<(), String> {
    let Some(relative) = text.strip_prefix('/') else {
        return Err("must be absolute, as in /vouchsafe/secrets".to_owned());
    };
    if text.len() > MOUNT_PATH_BYTES {
        return Err(format!("is {} bytes long, the limit is {MOUNT_PATH_BYTES}", text.len()));
    }
    if relative.is_empty() {
        return Err("would replace the whole file system; use a folder such as /vouchsafe/secrets".to_owned());
    }
    for component in relative.split('/') {
        if matches!(component, "" | "." | "..") {
            return Err(format!("component {} is not allowed; write the path clean", quoted(component)));
        }
        characters(
            component,
            FILE_COMPONENT_BYTES,
            |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'),
            "letters, digits, '.', '_' and '-'",
        )?;
    }
    match FORBIDDEN_MOUNTS.iter().find(|forbidden| is_below(text, forbidden) || is_below(forbidden, text)) {
        Some(forbidden) => Err(format!("collides with {forbidden}, which belongs to the system or to Vouchsafe")),
        None => Ok(()),
    }
}

/// Whether `path` is `folder` or lies below it.
pub fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Port of Vault's API listener.
const DEFAULT_PORT: u16 = 8200;
/// Longest path in Vault that we name; far above any real one, far below a URL limit.
const VAULT_PATH_BYTES: usize = 512;
/// Components of a file name: enough for `conf.d/10-db.xml` in a subfolder or two.
const FILE_COMPONENTS: usize = 4;
/// Longest component of a file name; half of what Linux allows.
const FILE_COMPONENT_BYTES: usize = 128;
/// Longest component of a file name in the drop-in dialect: Linux's limit.
const AGENT_COMPONENT_BYTES: usize = 255;
/// Longest mount path; Kubernetes itself has no limit, Linux has 4096.
const MOUNT_PATH_BYTES: usize = 512;
/// Folders that a secret volume may neither be, contain nor lie in.
const FORBIDDEN_MOUNTS: [&str; 11] = [
    "/proc",
    "/sys",
    "/dev",
    "/etc",
    "/bin",
    "/lib",
    "/usr/bin",
    "/usr/lib",
    "/var/run/secrets",
    "/run/secrets",
    "/vouchsafe/internal",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rejects_file_names_that_escape_hide_or_look_like_options() {
        for bad in
            ["", "..", "../x", "/abs", "a/../../b", ".", "-rf", "..data", "a.", "a b", "a\0", "ä", "a//b", "a/b/c/d/e"]
        {
            assert!(bad.parse::<FileName>().is_err(), "{bad}");
        }
        assert!("conf.d/10-db.xml".parse::<FileName>().is_ok());
        assert!("x".repeat(129).parse::<FileName>().is_err());
    }

    #[test]
    fn rejects_vault_paths_that_servers_and_proxies_read_differently() {
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "..",
            "a/../b",
            "%2e%2e",
            "x?version=1",
            "a b",
            "a\"b",
            "a{{b}}",
            "a`b",
            "a*",
            "+",
        ] {
            assert!(bad.parse::<VaultPath>().is_err(), "{bad}");
        }
        assert!("argocd/github-oauth".parse::<VaultPath>().is_ok());
    }

    #[test]
    fn rejects_mounts_over_the_system() {
        for bad in [
            "/",
            "x",
            "/etc",
            "/etc/app",
            "/proc/1",
            "/var/run/secrets/x",
            "/var/run",
            "/vouchsafe",
            "/a/",
            "/a//b",
            "/a/../b",
        ] {
            assert!(bad.parse::<MountPath>().is_err(), "{bad}");
        }
        assert!("/vouchsafe/secrets".parse::<MountPath>().is_ok());
        assert!("/etcetera".parse::<MountPath>().is_ok());
    }

    #[test]
    fn modes_are_octal_text_without_dangerous_bits() {
        for bad in ["4777", "0000", "abc", "99999", "0666", "0777", "44", "0o44"] {
            assert!(bad.parse::<FileMode>().is_err(), "{bad}");
        }
        assert_eq!("0440".parse::<FileMode>().unwrap().bits(), 0o440);
        assert_eq!("640".parse::<FileMode>().unwrap().to_string(), "0640");
    }

    #[test]
    fn addresses_are_https_host_and_port_only() {
        for bad in [
            "http://v",
            "file:///x",
            "https://",
            "https://u:p@h",
            "https://h/x",
            "https://h?x",
            "https://h#x",
            "https://h:0",
            "https://h:70000",
            "https://h;x",
            "https://2130706433",
            "https://0x7f.1",
            "https://127.1",
            "https://[::1",
            "https://a b",
        ] {
            assert!(bad.parse::<ServerAddress>().is_err(), "{bad}");
        }
        assert_eq!(
            "https://Vault.vault.svc".parse::<ServerAddress>().unwrap().to_string(),
            "https://vault.vault.svc:8200"
        );
        assert_eq!("https://[::1]:1".parse::<ServerAddress>().unwrap().authority(), "[::1]:1");
        assert_eq!("https://127.0.0.1:8201/".parse::<ServerAddress>().unwrap().port(), 8201);
    }

    proptest! {
        #[test]
        fn an_accepted_file_name_stays_below_its_folder(text in "[a-z./\\-_]{0,12}") {
            if let Ok(name) = text.parse::<FileName>() {
                prop_assert!(name.as_str().split('/').all(|c| !c.is_empty() && !c.starts_with('.')));
            }
        }
    }
}
