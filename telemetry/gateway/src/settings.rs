//! The variables of the gateway.

use routes::{Routes, RoutesError};
use std::time::Duration;

/// The component behind one trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trigger {
    /// Route as the manifest has it, such as `/api/...`.
    pub(crate) route: String,
    /// Id of the component.
    pub(crate) component: String,
    /// Authority by which Spin takes a request to it.
    pub(crate) authority: String,
}

/// The variables, read.
pub(crate) struct Settings {
    pub(crate) sidecar: String,
    pub(crate) application: String,
    pub(crate) triggers: Vec<Trigger>,
    pub(crate) routes: Routes,
    pub(crate) timeout: Option<Duration>,
}

/// A variable that is missing or invalid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("the gateway's variable {name:?} cannot be read: {reason}")]
    Unreadable { name: &'static str, reason: String },
    #[error(
        "the gateway's variable \"triggers\" has {0:?}; expected a route and a component, such as /api/...=api"
    )]
    Trigger(String),
    #[error("the gateway's variable \"timeout\" is {0:?}; expected a number of seconds from 1")]
    Timeout(String),
    #[error("the gateway's variable \"routes\": {0}")]
    Routes(#[from] RoutesError),
}

impl Settings {
    /// Reads the variables. `get` returns `None` for one that the manifest does not have.
    pub(crate) async fn read(
        get: impl AsyncFn(&'static str) -> Result<Option<String>, String>,
    ) -> Result<Self, SettingsError> {
        let optional = async |name| {
            let value = get(name).await;
            let value = value.map_err(|reason| SettingsError::Unreadable { name, reason })?;
            Ok::<_, SettingsError>(value.filter(|value| !value.trim().is_empty()))
        };
        let required = async |name| {
            optional(name)
                .await?
                .ok_or_else(|| SettingsError::Unreadable {
                    name,
                    reason: "it is empty, or not in the manifest".into(),
                })
        };
        let routes = optional("routes").await?;
        Ok(Self {
            sidecar: required("sidecar").await?,
            application: required("application").await?,
            triggers: triggers(&required("triggers").await?)?,
            routes: routes.map_or_else(|| Ok(Routes::default()), |text| Routes::parse(&text))?,
            timeout: optional("timeout").await?.map(timeout).transpose()?,
        })
    }
}

fn triggers(text: &str) -> Result<Vec<Trigger>, SettingsError> {
    let parse = |word: &str| {
        // A component's id has no `=`.
        let (route, component) = word.rsplit_once('=')?;
        let complete = !route.is_empty() && !component.is_empty();
        complete.then(|| Trigger {
            route: route.to_owned(),
            component: component.to_owned(),
            authority: format!("{component}.spin.internal"),
        })
    };
    text.split_whitespace()
        .map(|word| parse(word).ok_or_else(|| SettingsError::Trigger(word.to_owned())))
        .collect()
}

fn timeout(text: String) -> Result<Duration, SettingsError> {
    match text.trim().parse() {
        Ok(seconds @ 1..) => Ok(Duration::from_secs(seconds)),
        _ => Err(SettingsError::Timeout(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let get = async |name| {
            let found = variables.iter().find(|(other, _)| *other == name);
            Ok(found.map(|(_, value)| (*value).to_owned()))
        };
        let mut read = pin!(Settings::read(get));
        let Poll::Ready(read) = read.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("nothing to wait for");
        };
        read.map_err(|error| error.to_string())
    }

    const NEEDED: [(&str, &str); 3] = [
        ("sidecar", "127.0.0.1:4318"),
        ("application", "shop"),
        ("triggers", "/a=b/...=api /...=web"),
    ];

    #[test]
    fn a_route_may_contain_an_equals_sign() {
        let settings = read(&NEEDED).unwrap();
        let trigger = |route: &str, component: &str| Trigger {
            route: route.into(),
            component: component.into(),
            authority: format!("{component}.spin.internal"),
        };
        assert_eq!(
            settings.triggers,
            [trigger("/a=b/...", "api"), trigger("/...", "web")]
        );
        assert_eq!(settings.timeout, None);
        assert_eq!(settings.routes.find("GET", "/orders/7"), None);
    }

    #[test]
    fn a_variable_that_is_wrong_is_named() {
        for (name, value, message) in [
            (
                "sidecar",
                "",
                "the gateway's variable \"sidecar\" cannot be read: it is empty, or not in the manifest",
            ),
            (
                "triggers",
                "/...=web /api",
                "the gateway's variable \"triggers\" has \"/api\"; expected a route and a component, such as /api/...=api",
            ),
            (
                "timeout",
                "0",
                "the gateway's variable \"timeout\" is \"0\"; expected a number of seconds from 1",
            ),
        ] {
            let mut variables = NEEDED.to_vec();
            variables.retain(|(other, _)| *other != name);
            variables.push((name, value));
            assert_eq!(read(&variables).err().as_deref(), Some(message));
        }
        let wrong = [&NEEDED[..], &[("routes", "GET orders")]].concat();
        let error = read(&wrong).err().unwrap();
        assert!(
            error.starts_with("the gateway's variable \"routes\": "),
            "{error}"
        );
        let right = [
            &NEEDED[..],
            &[("routes", "GET /orders/{id}"), ("timeout", "30")],
        ]
        .concat();
        let settings = read(&right).unwrap();
        assert_eq!(
            settings.routes.find("GET", "/orders/7"),
            Some("/orders/{id}")
        );
        assert_eq!(settings.timeout, Some(Duration::from_secs(30)));
    }
}
