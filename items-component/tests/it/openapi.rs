//! The OpenAPI document matches the route table.

use items_component::route;
use serde_json::Value;
use std::collections::BTreeSet;

#[test]
fn the_document_lists_exactly_the_operations_that_are_served() {
    let document: Value = serde_json::from_str(include_str!("../../src/openapi.json")).unwrap();
    let mut documented = BTreeSet::new();
    for (path, resource) in document["paths"].as_object().unwrap() {
        for (method, operation) in resource
            .as_object()
            .unwrap()
            .iter()
            .filter(|(key, _)| *key != "parameters")
        {
            let success = operation["responses"]
                .as_object()
                .unwrap()
                .keys()
                .min()
                .unwrap();
            documented.insert((
                method.to_uppercase(),
                path.clone(),
                success.parse::<u16>().unwrap(),
            ));
        }
    }
    let served = route::catalogue()
        .routes
        .into_iter()
        .filter(|route| route.route != "unmatched");
    let served: BTreeSet<_> = served
        .map(|route| (route.method, route.route, route.status))
        .collect();
    assert_eq!(documented, served);
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}
