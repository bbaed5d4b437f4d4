//! `allowed_outbound_hosts`: the destinations that a component may connect to.

use std::{net::IpAddr, ops::RangeInclusive};

/// The allowed destinations of a component. Empty by default.
#[derive(Clone, Debug, Default)]
pub struct AllowedHosts(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    /// `None` allows any scheme.
    scheme: Option<String>,
    host: Host,
    ports: RangeInclusive<u16>,
}

#[derive(Clone, Debug)]
enum Host {
    Any,
    /// The application itself.
    Own,
    Name(String),
    /// All subdomains. Holds the parent domain with a dot before it.
    Subdomains(String),
}

/// An entry that cannot be parsed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{entry:?}: {reason}; expected scheme://host[:port], such as https://example.com or http://127.0.0.1:4318"
)]
pub struct AllowedHostsError {
    entry: String,
    reason: &'static str,
}

impl AllowedHosts {
    /// Parses the entries of a manifest after template expansion.
    ///
    /// # Errors
    /// Fails if an entry cannot be parsed.
    pub fn parse(entries: &[String]) -> Result<Self, AllowedHostsError> {
        let rule = |entry: &String| {
            Rule::parse(entry).map_err(|reason| AllowedHostsError {
                entry: entry.clone(),
                reason,
            })
        };
        entries.iter().map(rule).collect::<Result<_, _>>().map(Self)
    }

    /// Returns whether a request with `scheme` may go to `host`, a name or an address without brackets.
    pub fn allows(&self, scheme: &str, host: &str, port: u16) -> bool {
        self.0.iter().any(|rule| {
            rule.scheme
                .as_ref()
                .is_none_or(|allowed| allowed.eq_ignore_ascii_case(scheme))
                && rule.ports.contains(&port)
                && rule.host.matches(host)
        })
    }

    /// Returns whether a request may go to the application itself.
    pub fn allows_self(&self) -> bool {
        self.0.iter().any(|rule| {
            let scheme = rule.scheme.as_deref();
            scheme.is_none_or(|scheme| matches!(scheme, "http" | "https"))
                && matches!(rule.host, Host::Any | Host::Own)
        })
    }

    /// Returns whether requests may go to other components of the application.
    pub fn allows_components(&self) -> bool {
        self.0.iter().any(|rule| match &rule.host {
            Host::Any => true,
            Host::Own => false,
            Host::Name(name) | Host::Subdomains(name) => name.ends_with(".spin.internal"),
        })
    }

    /// Returns whether a socket may connect to an address; `scheme` is `tcp` or `udp`. Names in the manifest do not
    /// match, except `localhost`: any address could hide behind them.
    pub fn allows_address(&self, scheme: &str, address: IpAddr, port: u16) -> bool {
        self.allows(scheme, &address.to_string(), port)
            || (address.is_loopback() && self.allows(scheme, "localhost", port))
    }

    /// Returns whether the component may look up names. That needs permission for sockets to any host, because a
    /// look-up itself sends data out.
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
            return Err("parts other than a host and a port");
        }
        // The colons of an IPv6 address are inside brackets.
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
            _ if name == "self" || name == "self.alt" => Ok(Self::Own),
            Some(parent) if !parent.is_empty() && !parent.contains('*') => {
                Ok(Self::Subdomains(format!(".{parent}")))
            }
            None if !name.is_empty() && !name.contains('*') => Ok(Self::Name(name.to_owned())),
            _ => Err("no host"),
        }
    }

    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Own => false,
            Self::Name(name) => name.eq_ignore_ascii_case(host),
            Self::Subdomains(suffix) => host
                .len()
                .checked_sub(suffix.len())
                .and_then(|start| host.get(start..))
                .is_some_and(|end| end.eq_ignore_ascii_case(suffix)),
        }
    }
}

fn parse_ports(scheme: &str, port: Option<&str>) -> Result<RangeInclusive<u16>, &'static str> {
    let number = |text: &str| text.parse::<u16>().map_err(|_| "invalid port");
    match (port, scheme) {
        (Some("*"), _) | (None, "*") => Ok(0..=u16::MAX),
        (Some(range), _) => match range.split_once("..") {
            // A range excludes its end.
            Some((start, end)) => {
                Ok(number(start)?..=number(end)?.checked_sub(1).ok_or("invalid port")?)
            }
            None => number(range).map(|port| port..=port),
        },
        (None, "http") => Ok(80..=80),
        (None, "https") => Ok(443..=443),
        (None, _) => Err("no port, and the scheme has no default port"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(entry: &str) -> AllowedHosts {
        AllowedHosts::parse(&[entry.to_owned()]).unwrap()
    }

    #[test]
    fn an_entry_allows_only_the_destinations_it_names() {
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
    fn requests_to_the_application_itself_need_a_word() {
        for (entry, is_self, components) in [
            ("http://self", true, false),
            ("https://self.alt", true, false),
            ("tcp://self:80", false, false),
            ("http://*:*", true, true),
            ("*://*:*", true, true),
            ("http://*.spin.internal", false, true),
            ("http://cart.spin.internal", false, true),
            ("http://self.example", false, false),
        ] {
            let allowed = allowed(entry);
            assert_eq!(allowed.allows_self(), is_self, "{entry}");
            assert_eq!(allowed.allows_components(), components, "{entry}");
        }
        assert!(!allowed("http://self").allows("http", "self", 80));
        let cart = allowed("http://cart.spin.internal");
        assert!(cart.allows("http", "cart.spin.internal", 80));
        assert!(!cart.allows("http", "shop.spin.internal", 80));
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
    fn malformed_entries_are_refused() {
        for entry in [
            "example.com",
            "http://",
            "http://a/path",
            "http://user@a",
            "ftp://a",
            "http://a:x",
            "https://*.*",
            "http://a:5..0",
        ] {
            let error = AllowedHosts::parse(&[entry.to_owned()]).unwrap_err();
            assert!(error.to_string().contains(entry), "{error}");
        }
    }
}
