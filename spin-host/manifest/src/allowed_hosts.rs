//! `allowed_outbound_hosts`: the destinations that a component may connect to. Grammar and verdicts are those of Spin.

use ipnet::IpNet;
use std::{
    net::{IpAddr, Ipv6Addr},
    ops::Range,
};
use url::Host as Name;

/// The allowed destinations of a component. Empty by default.
#[derive(Clone, Debug, Default)]
pub struct AllowedHosts(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    /// `None` allows any scheme.
    scheme: Option<String>,
    host: Host,
    /// A range excludes its end; that of all ports does not fit into 16 bits.
    ports: Range<u32>,
}

#[derive(Clone, Debug)]
enum Host {
    Any,
    /// The application itself.
    Application,
    /// All subdomains. Holds the parent domain with a dot before it.
    Subdomains(String),
    /// One name or address.
    One(Name),
    Network(IpNet),
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

const CHAINING_DOMAIN: &str = ".spin.internal";

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

    /// Returns whether a connection with `scheme`, in lower case, may go to `host`, a name or an address.
    pub fn allows(&self, scheme: &str, host: &str, port: u16) -> bool {
        let host = match host.parse::<Ipv6Addr>() {
            Ok(address) => Name::Ipv6(address),
            Err(_) => match Name::parse(host) {
                Ok(host) => host,
                Err(_) => return false,
            },
        };
        self.allows_host(scheme, &host, port)
    }

    /// Returns whether a request may go to the application itself.
    pub fn allows_self(&self) -> bool {
        self.0.iter().any(|rule| {
            let is_http = rule.allows_scheme("http") || rule.allows_scheme("https");
            is_http && matches!(rule.host, Host::Any | Host::Application)
        })
    }

    /// Returns whether requests may go to other components of the application.
    pub fn allows_components(&self) -> bool {
        self.0.iter().any(|rule| match &rule.host {
            Host::Any => true,
            Host::Subdomains(parent) => parent == CHAINING_DOMAIN,
            Host::One(Name::Domain(name)) => name.ends_with(CHAINING_DOMAIN),
            Host::Application | Host::One(_) | Host::Network(_) => false,
        })
    }

    /// Returns whether a socket may send to an address; `scheme` is `tcp` or `udp`. Names in the manifest never match,
    /// not even `localhost`: any address could hide behind them.
    pub fn allows_address(&self, scheme: &str, address: IpAddr, port: u16) -> bool {
        let host = match address {
            IpAddr::V4(address) => Name::Ipv4(address),
            IpAddr::V6(address) => Name::Ipv6(address),
        };
        self.allows_host(scheme, &host, port)
    }

    /// Returns whether some destination is allowed to sockets of `scheme`.
    pub fn allows_any_address(&self, scheme: &str) -> bool {
        self.0.iter().any(|rule| rule.allows_scheme(scheme))
    }

    fn allows_host(&self, scheme: &str, host: &Name, port: u16) -> bool {
        self.0.iter().any(|rule| {
            rule.allows_scheme(scheme)
                && rule.ports.contains(&port.into())
                && rule.host.matches(host)
        })
    }
}

impl Rule {
    fn parse(entry: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = entry.trim().split_once("://").ok_or("no scheme")?;
        let is_name = |scheme: &str| scheme.chars().all(char::is_alphabetic);
        if scheme != "*" && !is_name(scheme) {
            return Err("a scheme has letters only");
        }
        let (host, port) = match rest.rsplit_once(':') {
            // The colons of IPv6 belong to the host.
            Some((host, port)) if Host::parse(rest).is_err() => {
                (host, port.strip_suffix('/').unwrap_or(port))
            }
            _ => (rest, ""),
        };
        let ports = parse_ports(scheme, port)?;
        Ok(Self {
            scheme: (scheme != "*").then(|| scheme.to_owned()),
            host: Host::parse(host)?,
            ports,
        })
    }

    fn allows_scheme(&self, scheme: &str) -> bool {
        self.scheme.as_deref().is_none_or(|own| own == scheme)
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        match text {
            "*" => return Ok(Self::Any),
            "self" | "self.alt" => return Ok(Self::Application),
            _ if text.starts_with('{') => return Err("lists are not supported"),
            _ => {}
        }
        if let Ok(network) = text.parse() {
            return Ok(Self::Network(network));
        }
        let name = text.strip_suffix('/').unwrap_or(text);
        let parsed = |name| Name::parse(name).map_err(|_| "no host");
        match name.strip_prefix("*.") {
            _ if name.contains('/') => Err("parts other than a host and a port"),
            Some(parent) if !parent.contains('*') => match parsed(parent)? {
                Name::Domain(parent) => Ok(Self::Subdomains(format!(".{parent}"))),
                Name::Ipv4(_) | Name::Ipv6(_) => Err("addresses have no subdomains"),
            },
            None if !name.contains('*') => parsed(name).map(Self::One),
            _ => Err("* stands for a whole host, or for subdomains as in *.example.com"),
        }
    }

    fn matches(&self, host: &Name) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Subdomains(suffix), Name::Domain(name)) => name.ends_with(suffix),
            (Self::One(name), host) => name == host,
            (Self::Network(network), Name::Ipv4(address)) => {
                network.contains(&IpAddr::V4(*address))
            }
            (Self::Network(network), Name::Ipv6(address)) => {
                network.contains(&IpAddr::V6(*address))
            }
            _ => false,
        }
    }
}

fn parse_ports(scheme: &str, port: &str) -> Result<Range<u32>, &'static str> {
    let number = |text: &str| {
        text.parse::<u16>()
            .map(u32::from)
            .map_err(|_| "invalid port")
    };
    let one = |port| port..port + 1;
    match (port, scheme) {
        ("*", _) => Ok(0..1 << 16),
        ("", "http") => Ok(one(80)),
        ("", "https") => Ok(one(443)),
        ("", "postgres") => Ok(one(5432)),
        ("", "mysql") => Ok(one(3306)),
        ("", "redis") => Ok(one(6379)),
        ("", "mqtt") => Ok(one(1883)),
        ("", _) => Err("no port, and the scheme has no default port"),
        (ports, _) => match ports.split_once("..") {
            Some((start, end)) => Ok(number(start)?..number(end)?),
            None => number(ports).map(one),
        },
    }
}

#[cfg(test)]
mod tests;
