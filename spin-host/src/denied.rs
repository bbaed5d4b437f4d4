//! Imports that a component may have although it gets nothing from them: interfaces whose service the host lacks, and
//! those of a dependency that does not inherit the component's configuration. Each call returns the error of its interface.

use crate::{
    instance::{Component, HostState},
    interfaces::{self, Support},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use wasmtime::{
    AsContextMut, Result, StoreContextMut,
    component::{
        self, Linker, LinkerInstance, Resource, ResourceType, Type, Val,
        types::{ComponentFunc, ComponentItem},
    },
    format_err,
};

/// Names of errors for a service that is missing, in the interfaces of Spin, the best one first.
const MISSING: &[&str] = &[
    "other",
    "other-error",
    "runtime-error",
    "connection-failed",
    "error",
];
/// Names of errors for what is not permitted, in the interfaces of WASI and Spin.
const NOT_PERMITTED: &[&str] = &[
    "access-denied",
    "destination-not-allowed",
    "internal-error",
    "other",
    "runtime-error",
    "io",
    "provider",
    "error",
];

/// An interface of a component whose calls fail.
struct Denied {
    interface: String,
    reason: String,
    /// Whether the host lacks the service. A call that has no error then traps; else it gets as little as possible.
    is_missing: bool,
    is_logged: AtomicBool,
}

impl Denied {
    /// Returns what denies an import, if anything does.
    fn of(import: &str) -> Option<Self> {
        let (interface, reason, is_missing) = match spin_assembly::denied(import) {
            Some(interface) => {
                // In the words of Spin.
                let reason = format!("{interface:?} is not permitted");
                (interface, reason, false)
            }
            None => match interfaces::find(import)?.support {
                Support::Denied(service) => (import.to_owned(), interfaces::denial(service), true),
                Support::Served => return None,
            },
        };
        Some(Self {
            interface,
            reason,
            is_missing,
            is_logged: AtomicBool::new(false),
        })
    }

    fn report(&self, caller: &Component) {
        caller.observer.call_denied(&caller.id);
        if !self.is_logged.swap(true, Relaxed) {
            let (component, interface) = (&*caller.id, &self.interface);
            let cause = match self.is_missing {
                true => "",
                false => ": the dependency does not inherit it",
            };
            tracing::warn!(
                component,
                interface,
                "a call failed: {}{cause}",
                self.reason
            );
        }
    }

    /// Sets the results of a call.
    fn answer(
        &self,
        mut store: StoreContextMut<'_, HostState>,
        function: &ComponentFunc,
        results: &mut [Val],
    ) -> Result<()> {
        // An environment without variables is no failure.
        let is_failure = |ty| matches!(ty, Type::Result(_));
        if self.is_missing || function.results().any(is_failure) {
            self.report(&store.data().component);
        }
        let failure = || format_err!("{}", self.reason);
        let errors = match self.is_missing {
            true => MISSING,
            false => NOT_PERMITTED,
        };
        for (result, ty) in results.iter_mut().zip(function.results()) {
            *result = match ty {
                Type::Result(_) => value(&ty, &self.reason, errors).ok_or_else(failure)?,
                _ if self.is_missing => return Err(failure()),
                Type::Own(_) => {
                    Val::Resource(Resource::<Self>::new_own(0).try_into_resource_any(&mut store)?)
                }
                ty => value(&ty, &self.reason, errors).ok_or_else(failure)?,
            };
        }
        Ok(())
    }
}

/// Links the imports of `component` that are denied.
///
/// # Errors
/// Fails if an import cannot be denied.
pub(crate) fn link(linker: &mut Linker<HostState>, component: &component::Component) -> Result<()> {
    let engine = linker.engine().clone();
    let mut resources = Vec::new();
    for (name, import) in component.component_type().imports(&engine) {
        let ComponentItem::ComponentInstance(instance) = import.ty else {
            continue;
        };
        let denied = Denied::of(name).map(Arc::new);
        let mut linked = denied.as_ref().map(|_| linker.instance(name)).transpose()?;
        for (item, export) in instance.exports(&engine) {
            match (export.ty, &mut linked, &denied) {
                (ComponentItem::Resource(resource), linked, _) => {
                    // A resource of an earlier import keeps its definition.
                    if resources.contains(&resource) {
                        continue;
                    }
                    resources.push(resource);
                    if let Some(linked) = linked {
                        linked.resource(item, ResourceType::host::<Denied>(), |_, _| Ok(()))?;
                    }
                }
                (ComponentItem::ComponentFunc(function), Some(linked), Some(denied)) => {
                    link_function(linked, item, function.async_(), Arc::clone(denied))?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn link_function(
    linked: &mut LinkerInstance<'_, HostState>,
    name: &str,
    is_async: bool,
    denied: Arc<Denied>,
) -> Result<()> {
    if is_async {
        linked.func_new_concurrent(name, move |accessor, function, _, results| {
            let denied = Arc::clone(&denied);
            Box::pin(async move {
                accessor
                    .with(|mut access| denied.answer(access.as_context_mut(), &function, results))
            })
        })
    } else {
        linked.func_new(name, move |store, function, _, results| {
            denied.answer(store, &function, results)
        })
    }
}

/// Returns a value of a type: an error with one of the names in `errors`, or as little as possible.
fn value(ty: &Type, text: &str, errors: &[&str]) -> Option<Val> {
    let boxed = |ty: Option<Type>| match ty {
        Some(ty) => value(&ty, text, errors).map(|value| Some(Box::new(value))),
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
                .map(|field| Some((field.name.to_owned(), value(&field.ty, text, errors)?)));
            Val::Record(fields.collect::<Option<_>>()?)
        }
        Type::Tuple(tuple) => Val::Tuple(
            tuple
                .types()
                .map(|ty| value(&ty, text, errors))
                .collect::<Option<_>>()?,
        ),
        Type::Enum(cases) => {
            let fitting = errors
                .iter()
                .find_map(|name| cases.names().find(|case| case == name));
            Val::Enum(fitting.or(cases.names().last())?.to_owned())
        }
        Type::Variant(variant) => {
            let fitting = errors
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
