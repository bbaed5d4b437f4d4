//! Interfaces that a component may import although the host lacks the service behind them. Each call returns the error
//! of the interface.

use crate::{
    instance::{Component, HostState},
    interfaces::{self, Support},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use wasmtime::{
    Result, bail,
    component::{
        self, Linker, LinkerInstance, ResourceType, Type, Val,
        types::{ComponentFunc, ComponentItem},
    },
};

/// Names of cases of errors for anything else, the best one first.
const ERRORS: [&str; 5] = [
    "other",
    "other-error",
    "runtime-error",
    "connection-failed",
    "error",
];

/// An interface of a component whose calls fail.
struct Denied {
    interface: String,
    reason: String,
    is_logged: AtomicBool,
}

impl Denied {
    /// Writes the result of a call that returns `error`.
    fn answer(&self, caller: &Component, error: Option<&Val>, results: &mut [Val]) -> Result<()> {
        caller.observer.call_denied(&caller.id);
        if !self.is_logged.swap(true, Relaxed) {
            let (component, interface) = (&*caller.id, &self.interface);
            tracing::warn!(component, interface, "a call failed: {}", self.reason);
        }
        match (error, results) {
            (Some(error), [result]) => *result = error.clone(),
            _ => bail!("{}", self.reason),
        }
        Ok(())
    }
}

/// Links the imports of `component` that are denied.
pub(crate) fn link(linker: &mut Linker<HostState>, component: &component::Component) -> Result<()> {
    let engine = linker.engine().clone();
    for (name, import) in component.component_type().imports(&engine) {
        let support = interfaces::find(name).map(|interface| interface.support);
        let (Some(Support::Denied(service)), ComponentItem::ComponentInstance(instance)) =
            (support, import.ty)
        else {
            continue;
        };
        let denied = Arc::new(Denied {
            interface: name.to_owned(),
            reason: interfaces::denial(service),
            is_logged: AtomicBool::new(false),
        });
        let mut linked = linker.instance(name)?;
        for (name, export) in instance.exports(&engine) {
            match export.ty {
                ComponentItem::ComponentFunc(function) => {
                    link_function(&mut linked, name, &function, &denied)?;
                }
                // No call returns one.
                ComponentItem::Resource(_) => {
                    linked.resource(name, ResourceType::host::<Denied>(), |_, _| Ok(()))?;
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
    function: &ComponentFunc,
    denied: &Arc<Denied>,
) -> Result<()> {
    let denied = Arc::clone(denied);
    let error = error(function, &denied.reason);
    if function.async_() {
        linked.func_new_concurrent(name, move |store, _, _, results| {
            let caller = store.with(|mut access| Arc::clone(&access.get().component));
            let answered = denied.answer(&caller, error.as_ref(), results);
            Box::pin(async { answered })
        })
    } else {
        linked.func_new(name, move |store, _, _, results| {
            denied.answer(&store.data().component, error.as_ref(), results)
        })
    }
}

/// Returns the result of a call that fails, with the reason if the type of the error has room for it. `None` if the
/// function cannot return an error.
fn error(function: &ComponentFunc, reason: &str) -> Option<Val> {
    let Type::Result(result) = function.results().next()? else {
        return None;
    };
    let text = || Box::new(Val::String(reason.to_owned()));
    let error = match result.err() {
        None => None,
        Some(Type::String) => Some(*text()),
        Some(Type::Variant(variant)) => {
            let cases = variant
                .cases()
                .map(|case| (case.name.to_owned(), case.ty))
                .filter(|(_, payload)| matches!(payload, Some(Type::String)));
            let (name, _) = best(cases.collect(), |(name, _)| name)?;
            Some(Val::Variant(name, Some(text())))
        }
        Some(Type::Enum(cases)) => {
            let names = cases.names().map(str::to_owned).collect();
            Some(Val::Enum(best(names, |name| name)?))
        }
        Some(_) => return None,
    };
    Some(Val::Result(Err(error.map(Box::new))))
}

/// Returns the case of an error that says the least about its cause; without one, the last.
fn best<T>(mut cases: Vec<T>, name: impl Fn(&T) -> &str) -> Option<T> {
    let rank = |case: &T| ERRORS.iter().position(|error| *error == name(case));
    let best =
        (0..cases.len()).min_by_key(|index| rank(&cases[*index]).unwrap_or(usize::MAX - index));
    best.map(|index| cases.swap_remove(index))
}
