//! Both formats from outside: which route a request has, and what an unusable file says.

use crate::Routes;
use proptest::prelude::*;

fn find(file: &str, cases: &[(&str, &str, Option<&str>)]) {
    let routes = Routes::parse(file).unwrap();
    for (method, path, expected) in cases {
        assert_eq!(routes.find(method, path), *expected, "{method} {path}");
    }
}

fn error(text: &str) -> String {
    match Routes::parse(text) {
        Ok(_) => panic!("parsed: {text}"),
        Err(error) => error.to_string(),
    }
}

fn declared(text: &str) -> Vec<(String, String, u16)> {
    let routes = Routes::parse(text).unwrap();
    let routes = routes.catalogue().routes.iter();
    routes
        .map(|route| (route.method.clone(), route.route.clone(), route.status))
        .collect()
}

#[test]
fn a_document_becomes_a_routes_file() {
    let document = r#"{"openapi": "3.1.0", "paths": {"/orders/{id}": {"post": {"responses": {"201": {}}}, "get": {}}}}"#;
    let text = Routes::parse(document).unwrap().to_text().to_owned();
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["GET /orders/{id} 200", "POST /orders/{id} 201"]);
    assert_eq!(Routes::parse("* /a # all").unwrap().to_text(), "* /a 200\n");
    assert_eq!(Routes::parse(&text).unwrap().to_text(), text);
}

#[test]
fn static_text_wins_over_parameters_and_these_over_catch_alls() {
    let file = "
        GET /orders/new
        GET /orders/{id}
        GET /orders/{id}/lines/{line}
        GET /files/{*path}
        GET /files/{name}.json
        GET /files/about
        GET /compare/{base}...{head}
        GET /{tenant}/about
        GET /img/{x}-{y}.{format}
        GET /proxy/{*path}/raw
    ";
    find(
        file,
        &[
            ("GET", "/orders/new", Some("/orders/new")),
            ("GET", "/orders/newer", Some("/orders/{id}")),
            ("GET", "/orders/7", Some("/orders/{id}")),
            (
                "GET",
                "/orders/7/lines/2",
                Some("/orders/{id}/lines/{line}"),
            ),
            (
                "GET",
                "/orders/new/lines/2",
                Some("/orders/{id}/lines/{line}"),
            ),
            ("GET", "/orders/7/lines", None),
            ("GET", "/orders", None),
            ("GET", "/files/about", Some("/files/about")),
            ("GET", "/files/a.json", Some("/files/{name}.json")),
            ("GET", "/files/a.b.json", Some("/files/{name}.json")),
            ("GET", "/files/.json", Some("/files/{*path}")),
            ("GET", "/files/a/b.json", Some("/files/{*path}")),
            ("GET", "/files/a", Some("/files/{*path}")),
            ("GET", "/files/", None),
            ("GET", "/files", None),
            ("GET", "/compare/v1...v2", Some("/compare/{base}...{head}")),
            ("GET", "/compare/v1", None),
            ("GET", "/acme/about", Some("/{tenant}/about")),
            ("GET", "/orders/about", Some("/orders/{id}")),
            ("GET", "/img/1-2.png", Some("/img/{x}-{y}.{format}")),
            ("GET", "/proxy/a/b/raw", Some("/proxy/{*path}/raw")),
            ("GET", "/", None),
            ("GET", "*", None),
            ("GET", "", None),
        ],
    );
}

#[test]
fn the_method_is_looked_at_first_and_then_the_path_alone() {
    let file =
        "GET /orders/new\n* /orders/{id}\nPOST /orders\nDELETE /carts/{id}\nHEAD /carts/{*rest}";
    find(
        file,
        &[
            ("GET", "/orders/new", Some("/orders/new")),
            ("HEAD", "/orders/new", Some("/orders/new")),
            ("POST", "/orders/new", Some("/orders/{id}")),
            ("BREW", "/orders/new", Some("/orders/{id}")),
            ("GET", "/orders", Some("/orders")),
            ("OPTIONS", "/orders", Some("/orders")),
            ("HEAD", "/orders", Some("/orders")),
            ("BREW", "/carts/1", Some("/carts/{id}")),
            ("HEAD", "/carts/1", Some("/carts/{*rest}")),
            ("GET", "/nothing", None),
        ],
    );
}

#[test]
fn spellings_of_a_path_count_as_routers_take_them() {
    let file = "GET /orders\nGET /orders/{id}\nGET /café/{*x}\nGET /a%2fb\nGET /both\nGET /both/\nGET /100%\nGET /";
    find(
        file,
        &[
            ("GET", "/orders/", Some("/orders")),
            ("GET", "/orders/7/", Some("/orders/{id}")),
            ("GET", "/orders//", None),
            ("GET", "//orders", None),
            ("GET", "/orders//7", None),
            ("GET", "/Orders", None),
            ("GET", "/orders%2F7", None),
            ("GET", "/orders/a%2Fb", Some("/orders/{id}")),
            ("GET", "/orders/a%2fb/", Some("/orders/{id}")),
            ("GET", "/%6Frders", Some("/orders")),
            ("GET", "/orders/%ff", Some("/orders/{id}")),
            ("GET", "/orders/%", Some("/orders/{id}")),
            ("GET", "/orders/..", Some("/orders/{id}")),
            ("GET", "/orders/%3Cid%3E", Some("/orders/{id}")),
            ("GET", "/caf%C3%A9/x//y", Some("/café/{*x}")),
            ("GET", "/café/x", Some("/café/{*x}")),
            ("GET", "/a%2Fb", Some("/a%2fb")),
            ("GET", "/a/b", None),
            ("GET", "/both", Some("/both")),
            ("GET", "/both/", Some("/both/")),
            ("GET", "/100%25", Some("/100%")),
            ("GET", "/100%", Some("/100%")),
            ("GET", "/", Some("/")),
            ("GET", "//", None),
        ],
    );
}

#[test]
fn a_file_may_have_comments_statuses_and_other_line_ends() {
    let file = "\u{feff}# orders\r\nGET\t/orders/{id}   # one\r\n\r\nPOST /orders 201\r\n* /files/{path...}\r\n";
    assert_eq!(
        declared(file),
        [
            ("GET".into(), "/orders/{id}".into(), 200),
            ("POST".into(), "/orders".into(), 201),
            ("GET".into(), "/files/{path...}".into(), 200),
            ("POST".into(), "/files/{path...}".into(), 200),
        ]
    );
    find(file, &[("PUT", "/files/a/b", Some("/files/{path...}"))]);
}

#[test]
fn an_unusable_routes_file_names_the_line_the_value_and_the_way_out() {
    for (line, expected) in [
        (
            "/orders",
            r#"line 2: "/orders" is not a route; write METHOD PATH"#,
        ),
        (
            "GET /orders 99",
            r#"line 2: "GET /orders 99" is not a route"#,
        ),
        ("GET /orders 200 x", "is not a route"),
        (
            "get /orders",
            r#"line 2: method "get" is not known; write * for all methods, or one of GET, "#,
        ),
        (
            "GET orders",
            r#"line 2: template "orders": a path begins with /"#,
        ),
        ("GET /orders?x=1", "a path ends before ? and #"),
        ("GET /orders#top", "a path ends before ? and #"),
        (
            "GET /orders/:id",
            r#"":id" would match only itself; write {id}"#,
        ),
        ("GET /orders/<int:id>", "would match only itself"),
        ("GET /files/*", "{*path} for a catch-all"),
        ("GET /files/...", "{*path} for a catch-all"),
        ("GET /orders/{id", "has no counterpart"),
        ("GET /orders/id}", "has no counterpart"),
        ("GET /orders/{}", "{} is not a parameter"),
        ("GET /orders/{*}", "{*} is not a parameter"),
        (
            "GET /orders/{id:[0-9]{2}}",
            "{id:[0-9]{2} is not a parameter",
        ),
        (
            "GET /orders/{id:int}",
            "{id:int} is not a parameter; write {id}",
        ),
        ("GET /orders/{+id}", "{+id} is not a parameter"),
        ("GET /orders/{a}{b}", "nothing separates two parameters"),
        (
            "POST /a/{y}",
            r#"line 2: template "/a/{y}" matches the same paths as "/a/{x}" (line 1); name their parameters alike"#,
        ),
        ("GET /%61/{y}", "matches the same paths"),
    ] {
        let said = error(&format!("GET /a/{{x}}\n{line}\n"));
        assert!(said.contains(expected), "{line}: {said}");
    }
    for empty in ["", "# nothing\n", "openapi: 3.1.0\n"] {
        assert!(error(empty).contains("has no routes"), "{empty:?}");
    }
}

const SHOP: &str = r#"
openapi: 3.0
info: { title: shop, version: 1 }
servers:
  - url: https://{region}.shop.example/{version}/
    variables:
      region: { default: eu }
      version: { default: v2, enum: [v1, v2] }
  - url: http://localhost:8080/v2
paths:
  x-group: 7
  /orders:
    parameters: [{ name: page, in: query }]
    get:
      responses: { 200: { description: all }, default: { description: error } }
    post:
      responses:
        "404": { description: gone }
        '201': { description: created }
  /orders/{order-id}:
    get: {}
    delete: { responses: { 204: {} } }
  /files/{name}.json:
    get: { responses: { 2XX: {} } }
  /users/{id}:batch:
    servers: [{ url: / }]
    post: { servers: [{ url: /legacy }] }
    put: {}
  /moved:
    $ref: '#/components/pathItems/moved'
components:
  pathItems:
    moved: { get: { responses: { 301: {} } } }
"#;

#[test]
fn an_openapi_document_lists_its_operations_below_the_servers_paths() {
    let json: serde_json::Value = yaml_serde::from_str::<yaml_serde::Value>(SHOP)
        .map(|document| serde_json::to_value(document).unwrap())
        .unwrap();
    for text in [SHOP.to_owned(), json.to_string(), format!("---\n{SHOP}")] {
        assert_eq!(
            declared(&text),
            [
                ("GET", "/v2/files/{name}.json", 200),
                ("GET", "/v2/moved", 301),
                ("GET", "/v2/orders", 200),
                ("POST", "/v2/orders", 201),
                ("GET", "/v2/orders/{order-id}", 200),
                ("DELETE", "/v2/orders/{order-id}", 204),
                ("POST", "/legacy/users/{id}:batch", 200),
                ("PUT", "/users/{id}:batch", 200),
            ]
            .map(|(method, route, status)| (method.into(), route.into(), status))
        );
        find(
            &text,
            &[
                ("GET", "/v2/orders/7", Some("/v2/orders/{order-id}")),
                ("PATCH", "/v2/orders/7", Some("/v2/orders/{order-id}")),
                ("GET", "/orders/7", None),
                ("PUT", "/users/7:batch", Some("/users/{id}:batch")),
                ("GET", "/v2/files/a.json", Some("/v2/files/{name}.json")),
                ("GET", "/v2/files/a.xml", None),
            ],
        );
    }
}

#[test]
fn a_document_that_counts_nothing_else_is_read_too() {
    let text = "openapi: '3.1.0'\npaths:\n  /{proxy+}:\n    trace:\n    get: {}\n  /a: \n  /b: { query: {}, additionalOperations: { LINK: {} } }\ncomponents:\n";
    assert_eq!(
        declared(text),
        [
            ("_OTHER".into(), "/b".into(), 200),
            ("_OTHER".into(), "/b".into(), 200),
            ("GET".into(), "/{proxy+}".into(), 200),
        ]
    );
    find(
        text,
        &[
            ("GET", "/x/y", Some("/{proxy+}")),
            ("QUERY", "/b", Some("/b")),
        ],
    );
}

#[test]
fn merge_keys_of_yaml_add_what_a_map_does_not_have() {
    let text = "
openapi: 3.0.0
x-read: &read { get: { responses: { 204: {} } }, head: {} }
x-write: &write { <<: *read, put: {} }
paths:
  <<: { /merged: { get: {} } }
  /a: { <<: *write, get: {} }
  /b: { <<: [{ post: {} }, *read] }
";
    assert_eq!(
        declared(text),
        [
            ("GET", "/a", 200),
            ("HEAD", "/a", 200),
            ("PUT", "/a", 200),
            ("GET", "/b", 204),
            ("HEAD", "/b", 200),
            ("POST", "/b", 200),
            ("GET", "/merged", 200),
        ]
        .map(|(method, route, status)| (method.into(), route.into(), status))
    );
    let said = error("openapi: 3.0.0\npaths: { /a: { <<: 7 } }");
    assert!(said.contains("for merging"), "{said}");
}

#[test]
fn an_unusable_document_names_the_path_the_value_and_the_way_out() {
    let paths = |paths: &str| format!("openapi: 3.0.3\npaths:\n{paths}");
    for (text, expected) in [
        (
            paths("  orders: { get: {} }"),
            r#"path "orders": template "orders": a path begins with /"#,
        ),
        (
            paths("  /a/{x}: { get: {} }\n  /a/{y}: { post: {} }"),
            r#"path "/a/{y}": template "/a/{y}" matches the same paths as "/a/{x}" (path "/a/{x}")"#,
        ),
        (
            paths("  /a: { $ref: a.yaml }"),
            r#"path "/a": $ref "a.yaml" leads out of the document; bundle"#,
        ),
        (
            paths("  /a: { get: {}, servers: [{ url: '{base}' }] }"),
            r#"path "/a": server "{base}" has no usable path; write an absolute URL"#,
        ),
        (
            paths("  /a: { get: {}, servers: [{ url: shop.example/v1 }] }"),
            "has no usable path",
        ),
        (paths("  /a: { get: 7 }"), "line 3"),
        (paths("  /a: { get: {} }\n  /a: { put: {} }"), "\"/a\""),
        (
            "swagger: '2.0'\npaths: {}".into(),
            r#"OpenAPI version "2.0" is not supported; convert"#,
        ),
        ("{}".into(), r#"OpenAPI version "" is not supported"#),
        (
            r#"{"openapi": "3.0.0", "paths": {"/a": {"get": 7}}}"#.into(),
            "line 1 column",
        ),
        (r#"{"openapi": "3.0.0", "paths": "#.into(), "line 1 column"),
        ("openapi: 3.0.0\npaths: {".into(), "line 3"),
    ] {
        let said = error(&text);
        assert!(said.contains(expected), "{text}: {said}");
    }
}

proptest! {
    /// No file makes the router refuse what the parser let through, and no path makes it fail.
    #[test]
    fn any_text_is_read_or_refused(
        lines in prop::collection::vec(r"(GET|\*|POST) (/|[a-c]|\{[a-c]\}|\{\*[ab]\}|%2F|%3C|\.|é|-){1,8}", 0..8),
        path in r"(/|[a-c]|%2f|%|é|//|\.){0,8}",
    ) {
        let lines: Vec<_> = lines.iter().filter(|line| Routes::parse(line).is_ok()).cloned().collect();
        if let Ok(routes) = Routes::parse(&lines.join("\n")) {
            for route in &routes.catalogue().routes {
                // A template is a path that matches itself, or something more specific.
                prop_assert!(routes.find(&route.method, &route.route).is_some(), "{}", route.route);
            }
            routes.find("GET", &path);
        }
    }

    #[test]
    fn any_document_is_read_or_refused(text in r#"(openapi: 3|paths:|\n|  |/a|/\{x\}|: |get|<<|&a|\*a|\{|\}|"|,|\$ref){0,20}"#) {
        let _ = Routes::parse(&text);
    }
}
