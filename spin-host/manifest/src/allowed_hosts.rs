//! Where a component may send requests: `allowed_outbound_hosts` of its manifest.

use std::{net::IpAddr, ops::RangeInclusive};

/// What `allowed_outbound_hosts` allows; nothing by default.
#[derive(Clone, Debug, Default)]
pub struct AllowedHosts(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    /// `None` allows any.
    scheme: Option<String>,
    host: Host,
    ports: RangeInclusive<u16>,
}

#[derive(Clone, Debug)]
enum Host {
    Any,
    Name(String),
    /// Every name that ends with a dot and this.
    Below(String),
}

/// Why an entry is not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{entry:?}: {reason}; expected scheme://host[:port], such as https://example.com or http://127.0.0.1:4318"
)]
pub struct AllowedHostsError {
    entry: String,
    reason: &'static str,
}

impl AllowedHosts {
    /// Reads the entries of a manifest, their templates filled in.
    ///
    /// # Errors
    /// If an entry is not understood.
    pub fn parse(entries: &[String]) -> Result<Self, AllowedHostsError> {
        let rule = |entry: &String| {
            Rule::parse(entry).map_err(|reason| AllowedHostsError {
                entry: entry.clone(),
                reason,
            })
        };
        entries.iter().map(rule).collect::<Result<_, _>>().map(Self)
    }

    /// Returns whether a request with `scheme` may go to `host` (a name or an address, without brackets).
    pub fn allows(&self, scheme: &str, host: &str, port: u16) -> bool {
        self.0.iter().any(|rule| {
            rule.scheme
                .as_ref()
                .is_none_or(|allowed| allowed.eq_ignore_ascii_case(scheme))
                && rule.ports.contains(&port)
                && rule.host.matches(host)
        })
    }

    /// Returns whether a socket may be opened to an address; the scheme is `tcp` or `udp`. Only addresses are
    /// compared: a name in the manifest says nothing about where it leads.
    pub fn allows_address(&self, scheme: &str, address: IpAddr, port: u16) -> bool {
        self.allows(scheme, &address.to_string(), port)
            || (address.is_loopback() && self.allows(scheme, "localhost", port))
    }

    /// Returns whether names may be looked up: only where sockets to anywhere are allowed, since a look-up
    /// itself carries data out.
    pub fn allows_name_lookup(&self) -> bool {
        self.0.iter().any(|rule| {
            let sockets = rule
                .scheme
                .as_deref()
                .is_none_or(|scheme| matches!(scheme, "tcp" | "udp"));
            sockets && matches!(rule.host, Host::Any)
        })
    }
}

impl Rule {
    fn parse(entry: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = entry.split_once("://").ok_or("no scheme")?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '@']) {
            return Err("more than a host and a port");
        }
        // The colons of an IPv6 address are within brackets.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        Ok(Self {
            scheme: (scheme != "*").then(|| scheme.to_owned()),
            host: Host::parse(host)?,
            ports: parse_ports(scheme, port)?,
        })
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let name = text
            .strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'))
            .unwrap_or(text);
        match name.strip_prefix("*.") {
            _ if name == "*" => Ok(Self::Any),
            _ if name == "self" || name.ends_with(".spin.internal") => {
                Err("requests among components are not supported")
            }
            Some(parent) if !parent.is_empty() && !parent.contains('*') => {
                Ok(Self::Below(format!(".{parent}")))
            }
            None if !name.is_empty() && !name.contains('*') => Ok(Self::Name(name.to_owned())),
            _ => Err("no host"),
        }
    }

    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Name(name) => name.eq_ignore_ascii_case(host),
            Self::Below(suffix) => host
                .len()
                .checked_sub(suffix.len())
                .and_then(|start| host.get(start..))
                .is_some_and(|end| end.eq_ignore_ascii_case(suffix)),
        }
    }
}

fn parse_ports(scheme: &str, port: Option<&str>) -> Result<RangeInclusive<u16>, &'static str> {
    let number = |text: &str| text.parse::<u16>().map_err(|_| "no port");
    match (port, scheme) {
        (Some("*"), _) | (None, "*") => Ok(0..=u16::MAX),
        (Some(range), _) => match range.split_once("..") {
            // The end of a range is not in it.
            Some((start, end)) => {
                Ok(number(start)?..=number(end)?.checked_sub(1).ok_or("no port")?)
            }
            None => number(range).map(|port| port..=port),
        },
        (None, "http") => Ok(80..=80),
        (None, "https") => Ok(443..=443),
        (None, _) => Err("no port, and the scheme has no usual one"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(entry: &str) -> AllowedHosts {
        AllowedHosts::parse(&[entry.to_owned()]).unwrap()
    }

    #[test]
    fn an_entry_allows_what_it_names_and_nothing_else() {
        let cases = [
            ("http://127.0.0.1:4318", ("http", "127.0.0.1", 4318), true),
            ("http://127.0.0.1:4318", ("http", "127.0.0.1", 4319), false),
            ("http://127.0.0.1:4318", ("https", "127.0.0.1", 4318), false),
            ("https://example.com", ("https", "EXAMPLE.com", 443), true),
            (
                "https://example.com",
                ("https", "www.example.com", 443),
                false,
            ),
            (
                "https://*.example.com",
                ("https", "www.example.com", 443),
                true,
            ),
            (
                "https://*.example.com",
                ("https", "badexample.com", 443),
                false,
            ),
            ("https://*.example.com", ("https", "é", 443), false),
            ("*://*:*", ("ftp", "anywhere", 1), true),
            ("http://*:80..82", ("http", "a", 81), true),
            ("http://*:80..82", ("http", "a", 82), false),
            ("http://[::1]:80", ("http", "::1", 80), true),
        ];
        for (entry, (scheme, host, port), expected) in cases {
            assert_eq!(
                allowed(entry).allows(scheme, host, port),
                expected,
                "{entry} {host}:{port}"
            );
        }
        assert!(!AllowedHosts::default().allows("http", "localhost", 80));
    }

    #[test]
    fn sockets_are_allowed_by_address() {
        assert!(allowed("tcp://127.0.0.1:5432").allows_address("tcp", [127, 0, 0, 1].into(), 5432));
        assert!(!allowed("tcp://127.0.0.1:5432").allows_address(
            "udp",
            [127, 0, 0, 1].into(),
            5432
        ));
        assert!(allowed("tcp://localhost:5432").allows_address("tcp", [127, 0, 0, 1].into(), 5432));
        assert!(!allowed("http://127.0.0.1:80").allows_address("tcp", [127, 0, 0, 1].into(), 80));
        assert!(!allowed("tcp://127.0.0.1:5432").allows_name_lookup());
        assert!(allowed("*://*:*").allows_name_lookup());
        assert!(!allowed("https://*").allows_name_lookup());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for entry in [
            "example.com",
            "http://",
            "http://a/path",
            "http://user@a",
            "ftp://a",
            "http://a:x",
            "http://self",
            "https://*.*",
            "http://a:5..0",
        ] {
            let error = AllowedHosts::parse(&[entry.to_owned()]).unwrap_err();
            assert!(error.to_string().contains(entry), "{error}");
        }
    }
}
