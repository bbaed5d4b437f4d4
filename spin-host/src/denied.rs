//! Imports of dependencies that do not inherit the component's configuration. The crate `spin-assembly` has renamed them;
//! here every function of theirs says that it is denied.

use crate::instance::HostState;
use spin_assembly::DENIED;
use std::sync::Arc;
use wasmtime::{
    AsContextMut, Engine, Result, StoreContextMut,
    component::{
        Component, Linker, LinkerInstance, Resource, ResourceType, Type, Val,
        types::{ComponentFunc, ComponentItem},
    },
    format_err,
};

/// Names of errors that fit best, in the interfaces of WASI and Spin.
const FITTING: [&str; 8] = [
    "access-denied",
    "destination-not-allowed",
    "internal-error",
    "other",
    "runtime-error",
    "io",
    "provider",
    "error",
];

/// A resource of a denied interface.
struct Denied;

/// Defines the denied imports of a component.
///
/// # Errors
/// Fails if an import cannot be denied.
pub(crate) fn link(
    linker: &mut Linker<HostState>,
    engine: &Engine,
    component: &Component,
) -> Result<()> {
    let mut resources = Vec::new();
    let ty = component.component_type();
    for (name, import) in ty.imports(engine) {
        let ComponentItem::ComponentInstance(instance) = import.ty else {
            continue;
        };
        let is_denied = name
            .split_once(':')
            .is_some_and(|(namespace, _)| namespace == DENIED);
        let mut defined = is_denied.then(|| linker.instance(name)).transpose()?;
        for (item, export) in instance.exports(engine) {
            match (export.ty, &mut defined) {
                (ComponentItem::Resource(resource), defined) => {
                    // A resource of an earlier import keeps its definition.
                    if resources.contains(&resource) {
                        continue;
                    }
                    resources.push(resource);
                    if let Some(defined) = defined {
                        defined.resource(item, ResourceType::host::<Denied>(), |_, _| Ok(()))?;
                    }
                }
                (ComponentItem::ComponentFunc(function), Some(defined)) => {
                    deny(defined, name, item, function.async_())?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn deny(
    instance: &mut LinkerInstance<'_, HostState>,
    interface: &str,
    function: &str,
    is_async: bool,
) -> Result<()> {
    let interface: Arc<str> = original(interface).into();
    if is_async {
        return instance.func_new_concurrent(function, move |accessor, ty, _, results| {
            let interface = Arc::clone(&interface);
            Box::pin(async move {
                accessor
                    .with(|mut access| answer(access.as_context_mut(), &interface, &ty, results))
            })
        });
    }
    instance.func_new(function, move |store, ty, _, results| {
        answer(store, &interface, &ty, results)
    })
}

/// Returns the name of a denied interface in the component, without its version.
fn original(denied: &str) -> String {
    let (_, name) = denied.split_once(':').unwrap_or_default();
    let name = name.split('@').next().unwrap_or_default();
    name.replacen('-', ":", 1)
}

/// Sets the results of a denied call: an error if the function has errors, and nothing otherwise.
fn answer(
    mut store: StoreContextMut<'_, HostState>,
    interface: &str,
    ty: &ComponentFunc,
    results: &mut [Val],
) -> Result<()> {
    let text = format!("{interface:?} is not permitted");
    for (result, ty) in results.iter_mut().zip(ty.results()) {
        if matches!(ty, Type::Result(_)) {
            let component = &*store.data().component.id;
            tracing::warn!(
                component,
                interface,
                "denied to a dependency: it does not inherit this"
            );
        }
        *result = match ty {
            Type::Own(_) => {
                Val::Resource(Resource::<Denied>::new_own(0).try_into_resource_any(&mut store)?)
            }
            ty => value(&ty, &text).ok_or_else(|| format_err!("{text}"))?,
        };
    }
    Ok(())
}

/// Returns a value of a type: an error, or as little as possible.
fn value(ty: &Type, text: &str) -> Option<Val> {
    let boxed = |ty: Option<Type>| match ty {
        Some(ty) => value(&ty, text).map(|value| Some(Box::new(value))),
        None => Some(None),
    };
    Some(match ty {
        Type::Bool => Val::Bool(false),
        Type::S8 => Val::S8(0),
        Type::U8 => Val::U8(0),
        Type::S16 => Val::S16(0),
        Type::U16 => Val::U16(0),
        Type::S32 => Val::S32(0),
        Type::U32 => Val::U32(0),
        Type::S64 => Val::S64(0),
        Type::U64 => Val::U64(0),
        Type::Float32 => Val::Float32(0.0),
        Type::Float64 => Val::Float64(0.0),
        Type::Char => Val::Char(' '),
        Type::String => Val::String(text.to_owned()),
        Type::List(_) => Val::List(Vec::new()),
        Type::Option(_) => Val::Option(None),
        Type::Flags(_) => Val::Flags(Vec::new()),
        Type::Record(record) => {
            let fields = record
                .fields()
                .map(|field| Some((field.name.to_owned(), value(&field.ty, text)?)));
            Val::Record(fields.collect::<Option<_>>()?)
        }
        Type::Tuple(tuple) => Val::Tuple(
            tuple
                .types()
                .map(|ty| value(&ty, text))
                .collect::<Option<_>>()?,
        ),
        Type::Enum(cases) => {
            let fitting = FITTING
                .iter()
                .find_map(|name| cases.names().find(|case| case == name));
            Val::Enum(fitting.or(cases.names().last())?.to_owned())
        }
        Type::Variant(variant) => {
            let fitting = FITTING
                .iter()
                .find_map(|name| variant.cases().find(|case| case.name == *name));
            let case = fitting.or(variant.cases().last())?;
            let payload = match case.ty {
                // The explanation of an error of WASI HTTP.
                Some(Type::Option(option)) if option.ty() == Type::String => {
                    let text = Val::String(text.to_owned());
                    Some(Box::new(Val::Option(Some(Box::new(text)))))
                }
                ty => boxed(ty)?,
            };
            Val::Variant(case.name.to_owned(), payload)
        }
        Type::Result(result) => Val::Result(Err(boxed(result.err())?)),
        _ => return None,
    })
}
