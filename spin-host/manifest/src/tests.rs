use super::*;
use std::fs;

const MANIFEST: &str = r#"
    spin_manifest_version = 2
    [application]
    name = "items"
    version = "1.2.3"
    authors = ["somebody"]
    [variables]
    telemetry = { default = "otlp" }
    telemetry_host = { default = "127.0.0.1:4318" }
    [[trigger.http]]
    route = "/..."
    component = "items"
    [[trigger.http]]
    route = "/old"
    static_response = { status_code = 301, headers = { location = "/" } }
    [[trigger.http]]
    route = { private = true }
    component = "inside"
    [component.items]
    source = "items.wasm"
    allowed_outbound_hosts = ["http://{{ telemetry_host }}"]
    sqlite_databases = ["default"]
    key_value_stores = ["default"]
    environment = { LEVEL = "info", HOME = "/" }
    [component.items.variables]
    telemetry = "{{ telemetry }}"
    [component.items.build]
    command = ["make a", "make b"]
    [component.items.profile.debug]
    source = "debug.wasm"
    environment = { LEVEL = "debug" }
    [component.inside]
    source = "inside.wasm"
    [component.unused]
    source = "unused.wasm"
    dependencies = { "a:b" = "1" }
"#;

fn parse(text: &str, settings: &Settings) -> Manifest {
    match Manifest::parse(text, Path::new("app"), settings) {
        Ok(manifest) => manifest,
        Err(error) => panic!("{error}"),
    }
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn file(path: &str) -> Source {
    Source::File(path.into())
}

#[test]
fn an_application_is_read_with_its_variables_expanded() {
    let settings = Settings {
        variables: vec![
            pair("telemetry_host", "127.0.0.1:9"),
            pair("telemetry_host", "127.0.0.1:10"),
        ],
        environment: vec![pair("HOME", "/home")],
        ..Settings::default()
    };
    let manifest = parse(MANIFEST, &settings);
    assert_eq!(manifest.variables["telemetry_host"], "127.0.0.1:9");
    assert_eq!(manifest.warnings, []);
    let component = &manifest.components["items"];
    assert_eq!(component.source, file("app/items.wasm"));
    assert_eq!(component.build_command.as_deref(), Some("make a && make b"));
    assert_eq!(component.variables["telemetry"], "otlp");
    assert_eq!(component.key_value_stores, ["default"]);
    assert!(component.allowed_hosts.allows("http", "127.0.0.1", 9));
    assert!(!component.allowed_hosts.allows("http", "127.0.0.1", 4318));
    let expected = [pair("HOME", "/home"), pair("LEVEL", "info")];
    assert_eq!(component.environment, expected);
}

#[test]
fn a_profile_replaces_what_it_names() {
    let settings = Settings {
        profile: Some("debug".to_owned()),
        ..Settings::default()
    };
    let component = &parse(MANIFEST, &settings).components["items"];
    assert_eq!(component.source, file("app/debug.wasm"));
    let expected = [pair("HOME", "/"), pair("LEVEL", "debug")];
    assert_eq!(component.environment, expected);
    assert_eq!(component.build_command.as_deref(), Some("make a && make b"));
}

#[test]
fn components_of_private_routes_are_read_and_unused_ones_are_not() {
    let manifest = parse(MANIFEST, &Settings::default());
    let ids: Vec<_> = manifest.components.keys().collect();
    assert_eq!(ids, ["inside", "items"]);
    let routes: Vec<_> = manifest.triggers.iter().map(|t| t.route.as_str()).collect();
    assert_eq!(routes, ["/...", "/old"]);
    let Handler::Static(response) = &manifest.triggers[1].handler else {
        panic!("{:?}", manifest.triggers[1]);
    };
    assert_eq!(response.status, 301);
    assert_eq!(response.headers[0].1, "/");
}

#[test]
fn the_last_of_duplicate_routes_is_used() {
    let text = MANIFEST.replace("\"/old\"", "\"/...\"");
    let manifest = parse(&text, &Settings::default());
    assert_eq!(manifest.triggers.len(), 1);
    assert!(matches!(manifest.triggers[0].handler, Handler::Static(_)));
    assert_eq!(manifest.warnings[0].line, 14);
}

#[test]
fn components_written_out_in_triggers_get_the_ids_of_spin() {
    let trigger = |id: &str| {
        format!("[[trigger.http]]\nroute = \"/{id}\"\n{id}component = {{ source = \"c.wasm\" }}\n")
    };
    let text = format!(
        "spin_manifest_version = 2\napplication.name = \"a\"\n{}{}",
        trigger("id = \"front\"\n").replace("/id = \"front\"\n", "/"),
        trigger(""),
    );
    let text = text.replacen("route = \"/\"", "route = \"/front\"", 1);
    let manifest = parse(&text, &Settings::default());
    let ids: Vec<_> = manifest.components.keys().collect();
    assert_eq!(ids, ["front-component", "http-trigger1-component"]);
}

#[test]
fn middleware_belongs_to_the_component_or_to_a_copy_that_a_trigger_has_alone() {
    let middleware =
        "component = \"items\"\n    dependencies.middleware = [{ path = \"m.wasm\" }]\n";
    let text = MANIFEST.replacen("component = \"items\"\n", middleware, 1);
    let manifest = parse(&text, &Settings::default());
    let expected = [Middleware {
        source: file("app/m.wasm"),
        inherited: Inherited::Keys(Vec::new()),
    }];
    assert_eq!(manifest.components["items"].middleware, expected);

    let text = text.replace(
        "static_response = { status_code = 301, headers = { location = \"/\" } }",
        "component = \"items\"",
    );
    let manifest = parse(&text, &Settings::default());
    let copy = "items-for-items-http-trigger";
    assert_eq!(manifest.components["items"].middleware, []);
    assert_eq!(manifest.components[copy].middleware, expected);
    assert_eq!(manifest.components[copy].name, "items");
    let handlers: Vec<_> = manifest.triggers.iter().map(|t| &t.handler).collect();
    let component = |id: &str| Handler::Component(id.to_owned());
    assert_eq!(handlers, [&component(copy), &component("items")]);
}

#[test]
fn all_problems_of_a_manifest_are_reported_together() {
    let text = MANIFEST
        .replace("authors", "owners")
        .replace("\"/old\"", "\"/:\"")
        .replace("{{ telemetry }}", "{{ nothing }}")
        .replace("key_value_stores", "allowed_http_hosts");
    let error = Manifest::parse(&text, Path::new(""), &Settings::default()).unwrap_err();
    assert!(error.to_string().contains("and 3 more"), "{error}");
    let ManifestError::Problems(problems) = error else {
        panic!("{error}");
    };
    let lines: Vec<_> = problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [6, 14, 23, 26], "{problems:?}");
}

/// Each file of the corpus shows one feature. Its first lines say what Spin makes of it, and what a host does.
/// `metrics-host/tests/it` asks a real Spin.
#[test]
fn the_corpus_is_served_or_refused_as_its_files_say() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut files = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let expected = text.lines().nth(1).unwrap();
        let found = Manifest::load(&path, &Settings::default());
        let name = path.display();
        match (expected.strip_prefix("# metrics-host: refuses: "), found) {
            (Some(part), Err(error)) => {
                let error = error.to_string();
                assert!(error.contains(part), "{name}: {error}");
            }
            (None, Ok(_)) => assert_eq!(expected, "# metrics-host: serves", "{name}"),
            (_, found) => panic!("{name}: {found:?}"),
        }
        files += 1;
    }
    assert!(files > 50, "{files}");
}

#[test]
fn the_keys_of_a_table_are_distinct_and_refused_ones_say_what_to_do() {
    for (index, key) in KEYS.iter().enumerate() {
        let is_same = |other: &Key| (other.table, other.name) == (key.table, key.name);
        assert!(!KEYS[..index].iter().any(is_same), "{key:?}");
        if let Support::No(instead) = key.support {
            assert!(!instead.is_empty(), "{key:?}");
        }
    }
}

/// A table in the documentation, made from [`KEYS`] or [`RUNTIME_KEYS`].
fn table(keys: &[Key]) -> String {
    let rows = keys.iter().map(|key| {
        let name = match key.table {
            "document" => format!("`{}`", key.name),
            table => format!("`{table}`: `{}`", key.name),
        };
        let support = match key.support {
            Support::Yes => "yes",
            Support::NoEffect => "no effect",
            Support::No(_) => "refused",
        };
        let instead = match key.support {
            Support::No(instead) => instead,
            _ => "",
        };
        let separator = if key.note.is_empty() || instead.is_empty() {
            ""
        } else {
            "; "
        };
        let row = format!(
            "| {name} | {support} | {}{separator}{instead} |\n",
            key.note
        );
        row.replace("  |", " |")
    });
    let head = "| key | served | |\n|---|---|---|\n".to_owned();
    std::iter::once(head).chain(rows).collect()
}

#[test]
fn the_documentation_has_the_tables_of_keys() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/serve.md");
    let page = fs::read_to_string(page).unwrap();
    for keys in [KEYS, RUNTIME_KEYS] {
        let expected = table(keys);
        assert!(page.contains(&expected), "docs/serve.md needs:\n{expected}");
    }
}
