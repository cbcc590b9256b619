//! Names that a server's certificate is for, and the subtrees that a root may vouch for.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use rcgen::{CidrSubnet, GeneralSubtree, NameConstraints};
use vouchsafe_model::name::dns_subdomain;
use vouchsafe_model::text::quoted;

/// A DNS name, perhaps with a leading `*.`, or an IP address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerName(String);

/// Why a text is no name of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is neither a DNS name nor an IP address: {problem}")]
pub struct ServerNameError {
    name: String,
    problem: String,
}

impl FromStr for ServerName {
    type Err = ServerNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.to_string()));
        }
        match dns_subdomain(text.strip_prefix(WILDCARD).unwrap_or(text)) {
            Ok(()) => Ok(Self(text.to_owned())),
            Err(problem) => Err(ServerNameError { name: quoted(text), problem }),
        }
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl ServerName {
    /// The name as written: lower case, addresses in their canonical form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name that a client may ask for: what stands for a wildcard is an example below it.
    pub fn example(&self) -> String {
        self.0.strip_prefix(WILDCARD).map_or_else(|| self.0.clone(), |rest| format!("any.{rest}"))
    }

    fn address(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }

    /// Text of the subtree that permits this name and as little else as DNS constraints can say.
    fn subtree(&self) -> &str {
        self.0.strip_prefix(WILDCARD).unwrap_or(&self.0)
    }

    /// Whether one of `permitted` (DNS names and addresses, as [`super::Certificate`] reads them) covers the name.
    pub(crate) fn is_permitted_by(&self, permitted: &[String]) -> bool {
        let name = self.subtree();
        permitted.iter().any(|subtree| {
            name == subtree
                || self.address().is_none()
                    && name.strip_suffix(subtree.as_str()).is_some_and(|rest| rest.ends_with('.'))
        })
    }
}

/// Constraints of a root that vouches for `names` alone. Addresses are forbidden where none is named: a constraint on DNS
/// names says nothing about them (RFC 5280 4.2.1.10).
pub(super) fn constraints(names: &[ServerName]) -> NameConstraints {
    let (mut permitted, mut excluded, mut has_address) = (Vec::new(), Vec::new(), false);
    let mut subtrees: Vec<&ServerName> = names.iter().collect();
    subtrees.sort_by_key(|name| name.subtree());
    subtrees.dedup_by_key(|name| name.subtree());
    for name in subtrees {
        permitted.push(match name.address() {
            Some(address) => {
                has_address = true;
                GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, bits(address)))
            }
            None => GeneralSubtree::DnsName(name.subtree().to_owned()),
        });
    }
    if !has_address {
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([0; 4], 0)));
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix([0; 16], 0)));
    }
    NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded }
}

fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// Begin of a name that stands for every label.
const WILDCARD: &str = "*.";

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ServerName {
        text.parse().unwrap()
    }

    #[test]
    fn dns_names_wildcards_and_addresses_are_names_and_nothing_else_is() {
        for good in ["a.b.svc", "*.a.b.svc", "10.0.0.1", "fd00::1", "localhost"] {
            assert_eq!(name(good).as_str(), good);
        }
        assert_eq!(name("FD00:0::1").as_str(), "fd00::1");
        assert_eq!(name("*.a.svc").example(), "any.a.svc");
        for bad in ["", "*", "*.", "a..b", "A.svc", "a_b", "*.*.svc", "a.*.svc", "https://a"] {
            assert!(bad.parse::<ServerName>().unwrap_err().to_string().contains("neither a DNS name"), "{bad}");
        }
    }

    #[test]
    fn a_subtree_permits_itself_and_what_lies_below_but_no_neighbour() {
        let permitted = ["web.ns.svc".to_owned(), "10.0.0.1".to_owned()];
        for (text, wanted) in [
            ("web.ns.svc", true),
            ("a.web.ns.svc", true),
            ("*.web.ns.svc", true),
            ("otherweb.ns.svc", false),
            ("ns.svc", false),
            ("10.0.0.1", true),
            ("10.0.0.2", false),
            ("9.10.0.0", false),
        ] {
            assert_eq!(name(text).is_permitted_by(&permitted), wanted, "{text}");
        }
    }
}
