use super::*;

fn allowed(entry: &str) -> AllowedHosts {
    AllowedHosts::parse(&[entry.to_owned()]).unwrap()
}

/// Entries, with destinations that each allows, and others that it refuses.
const VERDICTS: &[(&str, &[&str], &[&str])] = &[
    (
        "http://127.0.0.1:4318",
        &["http 127.0.0.1 4318"],
        &[
            "http 127.0.0.1 4319",
            "https 127.0.0.1 4318",
            "tcp 127.0.0.1 4318",
            "http localhost 4318",
        ],
    ),
    (
        "https://example.com",
        &["https example.com 443", "https EXAMPLE.com 443"],
        &[
            "https www.example.com 443",
            "https example.com 80",
            "https example.com. 443",
        ],
    ),
    ("https://example.com/", &["https example.com 443"], &[]),
    (" https://example.com ", &["https example.com 443"], &[]),
    (
        "https://example.com:8443/",
        &["https example.com 8443"],
        &[],
    ),
    (
        "https://*.Example.com",
        &["https www.example.com 443", "https a.b.example.com 443"],
        &[
            "https example.com 443",
            "https badexample.com 443",
            "https é 443",
            "https 1.2.3.4 443",
        ],
    ),
    (
        "https://bücher.example",
        &[
            "https bücher.example 443",
            "https xn--bcher-kva.example 443",
        ],
        &[],
    ),
    (
        "*://*:*",
        &["ftp anywhere 1", "tcp ::1 0", "udp 10.0.0.1 65535"],
        &["https no host 443"],
    ),
    ("*://*:80", &["tcp a 80"], &["tcp a 81"]),
    ("tcp://*:*", &["tcp a 80"], &["udp a 80", "http a 80"]),
    (
        "http://*:80..82",
        &["http a 80", "http a 81"],
        &["http a 79", "http a 82"],
    ),
    ("http://*:82..80", &[], &["http a 81"]),
    (
        "http://[::1]:8080",
        &["http ::1 8080", "http [::1] 8080", "http 0:0::1 8080"],
        &["http ::2 8080", "http ::ffff:127.0.0.1 8080"],
    ),
    ("http://[::1]", &["http ::1 80"], &["http ::1 443"]),
    (
        "tcp://10.1.2.3/8:5432",
        &["tcp 10.0.0.0 5432", "tcp 10.255.255.255 5432"],
        &[
            "tcp 11.0.0.0 5432",
            "tcp 10.0.0.0 1",
            "tcp ten.example 5432",
        ],
    ),
    ("http://10.0.0.0/8", &["http 10.1.1.1 80"], &[]),
    (
        "udp://2001:db8::/32:53",
        &["udp 2001:db8:1::1 53"],
        &["udp 2001:db9::1 53", "udp 10.0.0.1 53"],
    ),
    ("http://ff00::/8", &["http ff01::1 80"], &[]),
    (
        "*://127.0.0.0/24:1..3",
        &["tcp 127.0.0.9 2"],
        &["tcp 127.0.1.9 2"],
    ),
    ("postgres://db", &["postgres db 5432"], &["tcp db 5432"]),
    ("mysql://db", &["mysql db 3306"], &[]),
    ("redis://db", &["redis db 6379"], &["redis db 6380"]),
    ("mqtt://db", &["mqtt db 1883"], &[]),
    ("HTTP://example.com:80", &[], &["http example.com 80"]),
];

#[test]
fn an_entry_allows_only_the_destinations_it_names() {
    for (entry, allows, refuses) in VERDICTS {
        let hosts = allowed(entry);
        let verdict = |destination: &str| {
            let (scheme, rest) = destination.split_once(' ').unwrap();
            let (host, port) = rest.rsplit_once(' ').unwrap();
            let port = port.parse().unwrap();
            let verdict = hosts.allows(scheme, host, port);
            if let Ok(address) = host.parse() {
                assert_eq!(verdict, hosts.allows_address(scheme, address, port));
            }
            verdict
        };
        for destination in *allows {
            assert!(verdict(destination), "{entry} must allow {destination}");
        }
        for destination in *refuses {
            assert!(!verdict(destination), "{entry} must refuse {destination}");
        }
    }
    assert!(!AllowedHosts::default().allows("http", "localhost", 80));
}

#[test]
fn requests_to_the_application_itself_need_an_entry() {
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
        let hosts = allowed(entry);
        assert_eq!(hosts.allows_self(), is_self, "{entry}");
        assert_eq!(hosts.allows_components(), components, "{entry}");
    }
    assert!(!allowed("http://self").allows("http", "self", 80));
    let cart = allowed("http://cart.spin.internal");
    assert!(cart.allows("http", "cart.spin.internal", 80));
    assert!(!cart.allows("http", "shop.spin.internal", 80));
}

#[test]
fn a_socket_needs_an_address_and_its_own_scheme() {
    let loopback = [127, 0, 0, 1].into();
    assert!(allowed("tcp://127.0.0.1:5432").allows_address("tcp", loopback, 5432));
    assert!(!allowed("tcp://localhost:5432").allows_address("tcp", loopback, 5432));
    assert!(!allowed("http://127.0.0.1:80").allows_address("tcp", loopback, 80));
    for (entry, tcp, udp) in [
        ("tcp://127.0.0.1:1", true, false),
        ("udp://example.com:1", false, true),
        ("*://127.0.0.1:1", true, true),
        ("https://*", false, false),
    ] {
        let hosts = allowed(entry);
        let any = ["tcp", "udp"].map(|scheme| hosts.allows_any_address(scheme));
        assert_eq!(any, [tcp, udp], "{entry}");
    }
}

#[test]
fn malformed_entries_are_refused() {
    for entry in [
        "",
        "*",
        "example.com",
        "example.com:8080",
        "[::1]:8080",
        "insecure:allow-all",
        "http://",
        "http://a/path",
        "http://a:80/path",
        "http://a//",
        "http://user@a",
        "ftp://a",
        "tcp://10.0.0.1",
        "*://example.com",
        "h2c://a:1",
        "http://a:x",
        "http://a:80:90",
        "http://a:65536",
        "http://a:1..65536",
        "http://a:1..",
        "http://{a,b}",
        "{http,https}://a",
        "http://a:{1,2}",
        "https://*.*",
        "https://*.",
        "https://a.*",
        "https://*.127.0.0.1",
        "https://*.[::1]",
        "http://[::1",
        "http://[::1]junk",
        "http://::1",
        "http://ff00::/8/x",
        "http://ff00::/129",
        "http://10.0.0.0/33",
        "http://exa mple",
        "http://example%.com",
    ] {
        let error = AllowedHosts::parse(&[entry.to_owned()]).unwrap_err();
        assert!(error.to_string().contains(entry), "{error}");
    }
}
