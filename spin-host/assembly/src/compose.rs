//! Composes components into one.

use anyhow::{Context, Result, anyhow, bail};
use spin_manifest::{Dependency, Source};
use std::collections::BTreeMap;
use wac_graph::{
    CompositionGraph, NodeId,
    types::{Package, SubtypeChecker, WorldId},
};

/// The interface that middleware imports and exports.
const HANDLER: &str = "wasi:http/handler@0.3.0";

/// Satisfies imports of the component `wasm` with the exports of its dependencies.
pub(crate) fn plug(wasm: Vec<u8>, plugs: Vec<(&Dependency, Vec<u8>)>) -> Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let (world, root) = add(&mut graph, "component", wasm)?;
    let imports: Vec<String> = graph.types()[world].imports.keys().cloned().collect();
    let mut satisfied: BTreeMap<&str, &Dependency> = BTreeMap::new();
    for (index, (dependency, wasm)) in plugs.into_iter().enumerate() {
        let name = dependency.name.to_string();
        let matched: Vec<_> = imports
            .iter()
            .filter(|import| dependency.name.matches(import))
            .collect();
        if matched.is_empty() {
            bail!(
                "dependency {name:?} satisfies no import of the component; it imports: {}",
                imports.join(", ")
            );
        }
        let added = add(&mut graph, &format!("dependency{index}"), wasm);
        let (plug_world, plug) = added.with_context(|| format!("dependency {name:?}"))?;
        for import in matched {
            if let Some(other) = satisfied.insert(import, dependency) {
                bail!(
                    "dependencies {:?} and {name:?} both satisfy {import:?}",
                    other.name.to_string()
                );
            }
            let export = dependency.export.as_ref().unwrap_or(import);
            fits(&graph, (plug_world, export), (world, import))
                .with_context(|| format!("dependency {name:?}"))?;
            let alias = graph.alias_instance_export(plug, export)?;
            graph.set_instantiation_argument(root, import, alias)?;
        }
    }
    let exports: Vec<String> = graph.types()[world].exports.keys().cloned().collect();
    for export in exports {
        let alias = graph.alias_instance_export(root, &export)?;
        graph.export(alias, &export)?;
    }
    Ok(graph.encode(Default::default())?)
}

/// Puts middleware before the component `wasm`: each passes requests on to the next one.
pub(crate) fn chain(middleware: Vec<(&Source, Vec<u8>)>, wasm: Vec<u8>) -> Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let (world, root) = add(&mut graph, "component", wasm)?;
    if !graph.types()[world].exports.contains_key(HANDLER) {
        bail!("middleware needs a component of WASI HTTP 0.3: one that exports {HANDLER}");
    }
    let mut handler = graph.alias_instance_export(root, HANDLER)?;
    for (index, (source, wasm)) in middleware.into_iter().enumerate().rev() {
        let place = || format!("middleware {source}");
        let (world, node) =
            add(&mut graph, &format!("middleware{index}"), wasm).with_context(place)?;
        let world = &graph.types()[world];
        if !world.imports.contains_key(HANDLER) || !world.exports.contains_key(HANDLER) {
            return Err(anyhow!("it does not both import and export {HANDLER}"))
                .with_context(place);
        }
        graph
            .set_instantiation_argument(node, HANDLER, handler)
            .with_context(place)?;
        handler = graph.alias_instance_export(node, HANDLER)?;
    }
    graph.export(handler, HANDLER)?;
    Ok(graph.encode(Default::default())?)
}

/// Adds an instance of a component to the graph.
fn add(graph: &mut CompositionGraph, name: &str, wasm: Vec<u8>) -> Result<(WorldId, NodeId)> {
    let package = Package::from_bytes(name, None, wasm, graph.types_mut())?;
    let world = package.ty();
    let package = graph.register_package(package)?;
    Ok((world, graph.instantiate(package)))
}

/// Checks that an export has the type of an import.
fn fits(graph: &CompositionGraph, export: (WorldId, &str), import: (WorldId, &str)) -> Result<()> {
    let types = graph.types();
    let Some(exported) = types[export.0].exports.get(export.1) else {
        let exports: Vec<_> = types[export.0].exports.keys().map(String::as_str).collect();
        bail!(
            "does not export {:?}; it exports: {}",
            export.1,
            exports.join(", ")
        );
    };
    let imported = types[import.0].imports[import.1];
    let mut cache = Default::default();
    SubtypeChecker::new(&mut cache)
        .is_subtype(*exported, types, imported, types)
        .with_context(|| {
            format!(
                "the export {:?} is not of the type of the import {:?}",
                export.1, import.1
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use spin_manifest::Inherited;

    /// A component with an export that calls its import `name`.
    fn caller(name: &str) -> Vec<u8> {
        let text = format!(
            r#"(component
                (import "{name}" (instance $i (export "greet" (func (result u32)))))
                (export "run" (func $i "greet"))
            )"#
        );
        wat::parse_str(text).unwrap()
    }

    /// A component that exports the interface as `name`, with a function that returns `ty`.
    fn greeter(name: &str, ty: &str) -> Vec<u8> {
        let text = format!(
            r#"(component
                (core module $m (func (export "greet") (result i32) i32.const 1))
                (core instance $m (instantiate $m))
                (func $greet (result {ty}) (canon lift (core func $m "greet")))
                (instance $i (export "greet" (func $greet)))
                (export "{name}" (instance $i))
            )"#
        );
        wat::parse_str(text).unwrap()
    }

    fn dependency(name: &str, export: Option<&str>) -> Dependency {
        Dependency {
            name: name.parse().unwrap(),
            source: Source::File("d.wasm".into()),
            export: export.map(str::to_owned),
            inherited: Inherited::All,
        }
    }

    fn error<T>(result: Result<T>) -> String {
        format!("{:#}", result.err().unwrap())
    }

    #[test]
    fn a_dependency_satisfies_the_imports_that_its_name_matches() {
        for (name, export, exported) in [
            ("a:b/c@1.0.0", None, "a:b/c@1.0.0"),
            ("a:b", None, "a:b/c@1.0.0"),
            ("a:b/c", Some("x:y/z"), "x:y/z"),
        ] {
            let dependency = dependency(name, export);
            let plugs = vec![(&dependency, greeter(exported, "u32"))];
            let composed = plug(caller("a:b/c@1.0.0"), plugs).unwrap();
            let mut graph = CompositionGraph::new();
            let package = Package::from_bytes("c", None, composed, graph.types_mut()).unwrap();
            let world = &graph.types()[package.ty()];
            assert!(world.imports.is_empty(), "{name}");
            assert!(world.exports.contains_key("run"), "{name}");
        }
    }

    #[test]
    fn a_dependency_that_does_not_fit_is_named() {
        for (name, export, exported, ty, expected) in [
            (
                "x:y",
                None,
                "x:y/z",
                "u32",
                "satisfies no import of the component; it imports: a:b/c",
            ),
            (
                "a:b",
                None,
                "x:y/z",
                "u32",
                "does not export \"a:b/c\"; it exports: x:y/z",
            ),
            (
                "a:b/c",
                Some("other"),
                "x:y/z",
                "u32",
                "does not export \"other\"",
            ),
            (
                "a:b",
                None,
                "a:b/c",
                "bool",
                "is not of the type of the import",
            ),
        ] {
            let dependency = dependency(name, export);
            let plugs = vec![(&dependency, greeter(exported, ty))];
            let error = error(plug(caller("a:b/c"), plugs));
            assert!(error.contains(expected), "{error}");
        }
        let (one, other) = (dependency("a:b", None), dependency("a:b/c", None));
        let plugs = vec![
            (&one, greeter("a:b/c", "u32")),
            (&other, greeter("a:b/c", "u32")),
        ];
        let error = error(plug(caller("a:b/c"), plugs));
        assert!(
            error.contains("\"a:b\" and \"a:b/c\" both satisfy"),
            "{error}"
        );
    }

    #[test]
    fn middleware_needs_the_handler_of_wasi_http() {
        let source = Source::File("m.wasm".into());
        let error = error(chain(
            vec![(&source, caller("a:b/c"))],
            greeter("a:b/c", "u32"),
        ));
        assert!(
            error.contains("needs a component of WASI HTTP 0.3"),
            "{error}"
        );
    }
}
