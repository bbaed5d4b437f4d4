use crate::{Source, add, remove};
use proptest::prelude::*;

const SHOP: &str = r#"spin_manifest_version = 2

[application]
name = "shop"   # the name

[variables]
colour = { default = "red" }

[[trigger.http]]
  route = "/api/..."   # the API
  component = "api"

[[trigger.http]]
id = "web"
component = "web"
'route'='/...'

[[trigger.http]]
route = "/health"
static_response = { status_code = 200 }

[[trigger.http]]
route = { private = true }
component = "store"

[[trigger.redis]]
channel = "orders"
component = "api"

[component.api]
source = "api.wasm"
[component.web]
source = "web.wasm"
[component.store]
source = "store.wasm"
"#;

fn file() -> Source {
    Source::File("gateway.wasm".into())
}

fn error(manifest: &str) -> String {
    add(manifest, &file(), None).unwrap_err().to_string()
}

#[test]
fn each_public_route_becomes_the_gateways_and_nothing_else_changes() {
    let added = add(SHOP, &file(), None).unwrap();
    let expected =
        SHOP.replace(
            "  route = \"/api/...\"   # the API\n",
            "  # replaced by metrics-host: route = \"/api/...\"   # the API\n  route = { private = true }\n",
        )
        .replace(
            "'route'='/...'\n",
            "# replaced by metrics-host: 'route'='/...'\nroute = { private = true }\n",
        ) + r#"
# metrics-host: begin
# The gateway counts every request. To take these lines out: metrics-host remove
[variables.metrics_sidecar]
default = "127.0.0.1:4318"

[[trigger.http]]
route = "/api/..."
component = "metrics-gateway"

[[trigger.http]]
route = "/..."
component = "metrics-gateway"

[component.metrics-gateway]
source = "gateway.wasm"
allowed_outbound_hosts = ["http://*.spin.internal", "http://{{ metrics_sidecar }}"]
# Unsent telemetry waits there.
key_value_stores = ["default"]

[component.metrics-gateway.variables]
sidecar = "{{ metrics_sidecar }}"
application = "shop"
triggers = "/api/...=api /...=web"
# metrics-host: end
"#;
    assert_eq!(added, expected);
    assert_eq!(add(&added, &file(), None).unwrap(), added);
    assert_eq!(remove(&added).unwrap(), SHOP);
    assert_eq!(remove(SHOP).unwrap(), SHOP);
}

#[test]
fn a_new_route_and_another_source_replace_the_lines() {
    let added = add(SHOP, &file(), None).unwrap();
    let more = "\n[[trigger.http]]\nroute = \"/new\"\ncomponent = \"api\"\n";
    let source = Source::Url {
        url: "https://example.com/gateway.wasm".into(),
        digest: "sha256:00".into(),
    };
    let again = add(&format!("{added}{more}"), &source, None).unwrap();
    assert!(again.contains(
        "source = { url = \"https://example.com/gateway.wasm\", digest = \"sha256:00\" }"
    ));
    assert!(
        again.contains("triggers = \"/api/...=api /...=web /new=api\""),
        "{again}"
    );
    assert_eq!(again.matches("begin").count(), 1);
    assert_eq!(remove(&again).unwrap(), format!("{SHOP}{more}"));
}

#[test]
fn the_address_and_the_routes_stay_until_there_are_new_ones() {
    let first = add(SHOP, &file(), Some("GET /orders/{id} 200\nGET /a\\b 200\n")).unwrap();
    let lines = "routes = '''\nGET /orders/{id} 200\nGET /a\\b 200\n'''\n# metrics-host: end\n";
    assert!(first.ends_with(lines), "{first}");
    let moved = first.replace("127.0.0.1:4318", "10.0.0.7:4318");
    assert_eq!(add(&moved, &file(), None).unwrap(), moved);
    let other = add(&moved, &file(), Some("GET /other 200\n")).unwrap();
    assert!(
        other.contains("routes = '''\nGET /other 200\n'''\n"),
        "{other}"
    );
    assert!(other.contains("default = \"10.0.0.7:4318\""));
    let windows = add(&SHOP.replace('\n', "\r\n"), &file(), Some("GET /a 200\n")).unwrap();
    assert_eq!(add(&windows, &file(), None).unwrap(), windows);
    assert_eq!(remove(&other).unwrap(), SHOP);
}

#[test]
fn a_manifest_that_is_not_understood_is_refused_by_name() {
    for (from, to, expected) in [
        (
            "spin_manifest_version = 2",
            "spin_manifest_version = 1",
            "spin_manifest_version 1 is not supported",
        ),
        (
            "[component.web]",
            "[component.metrics-gateway]\nsource = \"a\"\n[component.web]",
            "component \"metrics-gateway\" is there already",
        ),
        (
            "colour",
            "metrics_sidecar",
            "variable \"metrics_sidecar\" is there already",
        ),
        ("\"/api/...\"", "7", "line 10: route = 7 is not known"),
        (
            "\"/api/...\"",
            "\"\"\"\\\n/api\"\"\"",
            "not on a line of its own",
        ),
        (
            "component = \"api\"",
            "component = { source = \"a.wasm\" }",
            "line 11: the component is defined inside",
        ),
        (
            "component = \"api\"",
            "component = \"api\"\nexecutor = { type = \"wagi\" }",
            "wagi",
        ),
        ("[application]", "[application", "not a Spin manifest"),
        (
            "[variables]\ncolour = { default = \"red\" }",
            "variables = { colour = { default = \"red\" } }",
            "not a Spin manifest",
        ),
    ] {
        assert!(SHOP.contains(from), "{from}");
        let mut manifest = SHOP.replacen(from, to, 1);
        if let Some(rest) = to
            .starts_with("variables")
            .then(|| manifest.replacen(to, "", 1))
        {
            manifest = format!("{to}\n{rest}");
        }
        let said = error(&manifest);
        assert!(said.contains(expected), "{manifest}\n{said}");
    }
    let inline = "spin_manifest_version = 2\napplication = { name = \"a\" }\ntrigger.http = [{ route = \"/\", component = \"a\" }]\n";
    assert!(error(inline).contains("line 3: the route \"/\" is not on a line of its own"));
    let nothing = "spin_manifest_version = 2\n[application]\nname = \"a\"\n";
    assert!(error(nothing).contains("nothing to count"));
}

#[test]
fn lines_that_were_changed_by_hand_are_named() {
    let added = add(SHOP, &file(), None).unwrap();
    let unclosed = added.replace("# metrics-host: end\n", "");
    assert!(
        remove(&unclosed)
            .unwrap_err()
            .to_string()
            .contains("# metrics-host: end")
    );
    let public = added.replacen("  route = { private = true }\n", "", 1);
    assert!(
        remove(&public)
            .unwrap_err()
            .to_string()
            .contains("line 10:")
    );
}

proptest! {
    /// Whatever the line ends, comments and the last line are, the same bytes come back.
    #[test]
    fn the_same_bytes_come_back(
        windows in any::<bool>(),
        unended in any::<bool>(),
        blank in "[ \t]{0,3}",
        comment in "( #[a-zé \"']{0,9})?",
        route in "/[a-z:/]{0,9}",
        last in any::<bool>(),
    ) {
        let trigger = format!("[[trigger.http]]\ncomponent = \"a\"\n{blank}route ={blank}\"{route}\"{blank}{comment}\n");
        let head = "spin_manifest_version = 2\n[application]\nname = \"é\"\n";
        let component = "[component.a]\nsource = \"a\"\n";
        let mut manifest = if last { format!("{head}{component}{trigger}") } else { format!("{head}{trigger}{component}") };
        if unended {
            manifest.pop();
        }
        if windows {
            manifest = manifest.replace('\n', "\r\n");
        }
        let added = add(&manifest, &file(), None).unwrap();
        prop_assert_eq!(add(&added, &file(), None).unwrap(), &*added);
        prop_assert_eq!(remove(&added).unwrap(), manifest);
    }
}
