//! Header fields that tell the application about its clients: `X-Forwarded-*` and `Forwarded` (RFC 7239).

use http::{HeaderMap, HeaderName, HeaderValue, header};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// The fields that carry a client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedFields {
    /// No field is added; those of the client are passed on.
    None,
    /// `X-Forwarded-For`, `X-Forwarded-Host`, `X-Forwarded-Proto`.
    XForwarded,
    /// `Forwarded`.
    Forwarded,
    /// All of them.
    Both,
}

/// How requests name their clients.
#[derive(Clone, Debug)]
pub struct Forwarding {
    /// The fields to write.
    pub fields: ForwardedFields,
    /// Proxies whose own fields are believed. Fields of others are removed.
    pub trusted: Vec<IpNet>,
}

impl Forwarding {
    /// Writes the fields of a request from `client`, which came by `scheme`.
    pub(crate) fn apply(&self, headers: &mut HeaderMap, client: SocketAddr, scheme: &'static str) {
        if self.fields == ForwardedFields::None {
            return;
        }
        let address = client.ip().to_canonical();
        let is_trusted = self
            .trusted
            .iter()
            .any(|network| network.contains(&address));
        if !is_trusted {
            for name in [FOR, HOST, PROTO, PORT, header::FORWARDED] {
                headers.remove(name);
            }
        }
        let host = headers.get(header::HOST).cloned();
        if matches!(
            self.fields,
            ForwardedFields::XForwarded | ForwardedFields::Both
        ) {
            append(headers, FOR, &address.to_string());
            if let Some(host) = &host {
                headers.entry(HOST).or_insert_with(|| host.clone());
            }
            let scheme = || HeaderValue::from_static(scheme);
            headers.entry(PROTO).or_insert_with(scheme);
        }
        if matches!(
            self.fields,
            ForwardedFields::Forwarded | ForwardedFields::Both
        ) {
            let node = match address {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("\"[{address}]\""),
            };
            let host = host.as_ref().and_then(|host| host.to_str().ok());
            // A valid host has no quotation mark and no backslash.
            let host = host
                .map(|host| format!(";host=\"{host}\""))
                .unwrap_or_default();
            append(
                headers,
                header::FORWARDED,
                &format!("for={node}{host};proto={scheme}"),
            );
        }
    }
}

/// Appends to the list of a field, in one line.
fn append(headers: &mut HeaderMap, name: HeaderName, element: &str) {
    let earlier = headers.get_all(&name).iter().map(HeaderValue::as_bytes);
    let all: Vec<_> = earlier.chain([element.as_bytes()]).collect();
    if let Ok(list) = HeaderValue::from_bytes(&all.join(&b", "[..])) {
        headers.insert(name, list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(fields: ForwardedFields, client: &str) -> Vec<(String, String)> {
        let mut headers = HeaderMap::new();
        headers.insert("host", "shop.example:8080".parse().unwrap());
        headers.insert("x-forwarded-for", "203.0.113.7".parse().unwrap());
        headers.insert("x-forwarded-proto", "https".parse().unwrap());
        headers.insert("forwarded", "for=203.0.113.7;proto=https".parse().unwrap());
        let forwarding = Forwarding {
            fields,
            trusted: vec!["10.0.0.0/8".parse().unwrap()],
        };
        forwarding.apply(&mut headers, client.parse().unwrap(), "http");
        headers.remove("host");
        let mut all: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        all.sort();
        all
    }

    fn fields(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        expected.iter().map(owned).collect()
    }

    #[test]
    fn a_stranger_cannot_forge_an_address() {
        assert_eq!(
            forwarded(ForwardedFields::Both, "192.0.2.1:5"),
            fields(&[
                (
                    "forwarded",
                    "for=192.0.2.1;host=\"shop.example:8080\";proto=http"
                ),
                ("x-forwarded-for", "192.0.2.1"),
                ("x-forwarded-host", "shop.example:8080"),
                ("x-forwarded-proto", "http"),
            ])
        );
        assert_eq!(
            forwarded(ForwardedFields::Forwarded, "[2001:db8::1]:5"),
            fields(&[(
                "forwarded",
                "for=\"[2001:db8::1]\";host=\"shop.example:8080\";proto=http"
            )])
        );
    }

    #[test]
    fn a_trusted_proxy_is_believed() {
        assert_eq!(
            forwarded(ForwardedFields::Both, "[::ffff:10.1.2.3]:5"),
            fields(&[
                (
                    "forwarded",
                    "for=203.0.113.7;proto=https, for=10.1.2.3;host=\"shop.example:8080\";proto=http"
                ),
                ("x-forwarded-for", "203.0.113.7, 10.1.2.3"),
                ("x-forwarded-host", "shop.example:8080"),
                ("x-forwarded-proto", "https"),
            ])
        );
    }

    #[test]
    fn without_fields_the_request_stays_as_it_is() {
        assert_eq!(forwarded(ForwardedFields::None, "192.0.2.1:5").len(), 3);
    }
}
