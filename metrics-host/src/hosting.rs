//! `serve`: a Spin application behind the edge.

use crate::{
    args::ListenAddress,
    config::{ConfigError, load_routes},
    proxying::leads_to,
};
use anyhow::Result;
use edge::{Edge, EdgeCounts, EdgeLimits, EdgeMetrics, Outcome, RequestBodyError, Upstream};
use edge_counts::MAX_NAME_LEN;
use http::{Request, StatusCode, uri::Scheme};
use http_body_util::{BodyExt, Either, combinators::MapErr};
use http_server::listener::ClientAddress;
use ingest::Ingest;
use metric::{ApplicationInfo, IntCounter, IntGauge, Registry};
use request_counts::{Component, ComponentFailure};
use spin_host::{
    Application, BoxFuture, HostLimits, HttpError, Observer, ResourceMetrics, Responded, Stopper,
    Trigger, Usage,
};
use spin_manifest::{Manifest, Settings};
use state_dir::StateDir;
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::OwnedSemaphorePermit;

/// Variable that selects how an instrumented component delivers its telemetry.
const TELEMETRY: &str = "telemetry";
/// Value of [`TELEMETRY`] for hosts that count requests themselves.
const INLINE: &str = "inline";
/// Longest wait for the catalogue of a component, if requests have no timeout.
const CATALOGUE_TIMEOUT: Duration = Duration::from_secs(30);
/// Length of the digest in `app_build_info`, in bytes.
const REVISION_LEN: usize = 6;

/// Configuration of the hosted application.
#[derive(Debug)]
pub(crate) struct HostingConfig {
    /// Path of `spin.toml`.
    pub(crate) manifest: PathBuf,
    pub(crate) listen: ListenAddress,
    /// Path of the routes file.
    pub(crate) routes: Option<PathBuf>,
    /// Values that the command line adds to the manifest.
    pub(crate) settings: Settings,
    pub(crate) host: HostLimits,
    pub(crate) edge: EdgeLimits,
}

impl HostingConfig {
    /// Reads the manifest.
    ///
    /// # Errors
    /// Fails if the application cannot be hosted.
    pub(crate) fn manifest(&self) -> Result<Manifest, ConfigError> {
        let manifest = load_manifest(&self.manifest, self.settings.clone())?;
        let runtime = &manifest.runtime;
        for (file, warnings) in [
            (&self.manifest, &manifest.warnings),
            (&runtime.file, &runtime.warnings),
        ] {
            for warning in warnings {
                tracing::warn!("{}: {warning}", file.display());
            }
        }
        if !request_counts::is_legible(&manifest.name, MAX_NAME_LEN) {
            return Err(ConfigError::ApplicationName {
                name: manifest.name,
            });
        }
        Ok(manifest)
    }
}

/// Reads the manifest of an application that this process counts.
pub(crate) fn load_manifest(path: &Path, mut settings: Settings) -> Result<Manifest, ConfigError> {
    // The edge counts, so the component must not, unless the user asks for it.
    let inline = (TELEMETRY.to_owned(), INLINE.to_owned());
    settings.variables.push(inline);
    Manifest::load(path, &settings).map_err(|source| ConfigError::Manifest {
        path: path.to_owned(),
        source,
    })
}

/// Returns the component whose requests metrics-host 0.1.0 counted, as it knew no components: the application's only
/// one, or else that of no component.
pub(crate) fn owner(manifest: &Manifest) -> Component {
    let components = manifest.components.values();
    let names: BTreeSet<_> = components.map(|component| &component.name).collect();
    let only = names.first().filter(|_| names.len() == 1);
    Component::new(&manifest.name, only.map_or("", |name| name))
}

/// Addresses of this process.
pub(crate) struct Listeners {
    /// Scheme of the application's listener.
    pub(crate) scheme: Scheme,
    /// The application's listener, to which its requests to itself go.
    pub(crate) own: SocketAddr,
    /// The OTLP listener, if there is one. The application must not send its telemetry there.
    pub(crate) otlp: Option<SocketAddr>,
}

/// A Spin application, ready to serve.
pub(crate) struct Hosted {
    pub(crate) edge: Edge<SpinUpstream>,
    pub(crate) stopper: Stopper,
}

/// Handles to the metrics of hosting.
#[derive(Clone)]
pub(crate) struct HostingMetrics {
    registry: Registry,
    edge: EdgeMetrics,
    applications: ApplicationInfo,
    instances: IntGauge,
    instances_started: IntCounter,
    denied_calls: IntCounter,
}

impl HostingMetrics {
    /// Registers the metrics at 0, beside those of the edge.
    pub(crate) fn register(
        registry: &Registry,
        edge: EdgeMetrics,
        applications: ApplicationInfo,
    ) -> Self {
        Self {
            registry: registry.clone(),
            edge,
            applications,
            instances: registry.gauge(metric::INSTANCES),
            instances_started: registry.counter(metric::INSTANCES_STARTED),
            denied_calls: registry.counter(metric::DENIED_CALLS),
        }
    }

    /// Registers what a component uses.
    fn show_usage(&self, application: &str, component: &str, usage: &Arc<Usage>) {
        let labels = [application, component];
        let (cpu, memory) = (Arc::clone(usage), Arc::clone(usage));
        self.registry
            .counter_func(metric::COMPONENT_CPU, &labels, move || {
                cpu.cpu().as_secs_f64()
            });
        self.registry
            .gauge_func(metric::COMPONENT_MEMORY, &labels, move || {
                i64::try_from(memory.memory()).unwrap_or(i64::MAX)
            });
    }
}

impl Hosted {
    /// Loads the application of `manifest`, whose requests count in `counts`.
    ///
    /// # Errors
    /// Fails if the application cannot be hosted.
    pub(crate) async fn load(
        config: HostingConfig,
        manifest: Manifest,
        listeners: Listeners,
        state: &StateDir,
        counts: Arc<EdgeCounts>,
        ingest: Ingest,
        metrics: HostingMetrics,
    ) -> Result<Self> {
        if let (Some(target), Some(address)) = (otlp_target(&manifest), listeners.otlp)
            && leads_to(target, address)
        {
            return Err(ConfigError::TelemetryLoop { address }.into());
        }
        let routes = load_routes(config.routes.as_deref())?;
        let observer = InstanceObserver {
            application: manifest.name.clone(),
            counts: Arc::clone(&counts),
            ingest,
            metrics: metrics.clone(),
        };
        let application =
            Application::load(&manifest, config.host, state.path(), Arc::new(observer)).await?;
        application.listen(listeners.scheme, listeners.own);
        for (component, digest) in application.digests() {
            let revision: String = digest[..REVISION_LEN]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            metrics
                .applications
                .show(&manifest.name, component, &manifest.version, &revision);
        }
        for (component, usage) in application.usage() {
            metrics.show_usage(&manifest.name, component, usage);
        }
        let stopper = application.stopper();
        let inline = manifest.variables.get(TELEMETRY);
        let upstream = SpinUpstream {
            application,
            inline: inline.is_some_and(|mode| mode == INLINE),
            name: manifest.name,
        };
        let timeout = config.host.request_timeout.unwrap_or(CATALOGUE_TIMEOUT);
        let (metrics, limits) = (metrics.edge, config.edge);
        let edge = Edge::start(upstream, counts, routes, metrics, limits, timeout).await;
        Ok(Self { edge, stopper })
    }
}

/// A Spin application as the edge sees it.
pub(crate) struct SpinUpstream {
    application: Application,
    name: String,
    inline: bool,
}

impl Upstream for SpinUpstream {
    type Target = Trigger;
    type Body = MapErr<spin_host::Streamed, fn(spin_host::Failure) -> edge::Failure>;

    fn target(&self, path: &str) -> Option<&Trigger> {
        self.application.trigger(path)
    }

    fn targets(&self) -> &[Trigger] {
        self.application.triggers()
    }

    fn route<'a>(&self, trigger: &'a Trigger) -> &'a str {
        trigger.route()
    }

    fn application(&self) -> &str {
        &self.name
    }

    fn component<'a>(&self, trigger: &'a Trigger) -> &'a str {
        trigger.component()
    }

    fn is_inline(&self) -> bool {
        self.inline
    }

    async fn respond(
        &self,
        trigger: &Trigger,
        mut request: Request<edge::RequestBody>,
        permit: OwnedSemaphorePermit,
    ) -> Outcome<Self::Body> {
        if let Some(ClientAddress(client)) = request.extensions().get().copied() {
            trigger.set_headers(&mut request, client);
        }
        let request = request.map(|body| {
            body.map_err(|error| match error {
                RequestBodyError::TooLarge(limit) => {
                    HttpError::HttpRequestBodySize(Some(limit as u64))
                }
                RequestBodyError::Connection(error) => HttpError::Hyper(error),
            })
            .boxed_unsync()
        });
        let Responded {
            response,
            instance,
            unsent_head,
        } = self.application.respond(trigger, request, permit).await;
        Outcome {
            response: response.map_err(failure).and_then(|response| {
                // A component cannot take over the connection, so it cannot change the protocol.
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    return Err(edge::Failure::InterimStatus(response.status()));
                }
                Ok(response.map(|body| match body {
                    Either::Left(body) => Either::Left(body),
                    Either::Right(body) => Either::Right(body.map_err(failure as fn(_) -> _)),
                }))
            }),
            instance,
            unsent_head,
        }
    }
}

fn failure(failure: spin_host::Failure) -> edge::Failure {
    match failure {
        spin_host::Failure::Timeout => edge::Failure::Timeout,
        spin_host::Failure::Instantiation(reason) => edge::Failure::Instantiation(reason),
        spin_host::Failure::Trap { id } => edge::Failure::Trap { id },
        spin_host::Failure::Handler(reason) => edge::Failure::Handler(reason),
        spin_host::Failure::Truncated(reason) => edge::Failure::Truncated(reason),
    }
}

/// Observer that counts instances, traps and exported telemetry.
struct InstanceObserver {
    application: String,
    counts: Arc<EdgeCounts>,
    ingest: Ingest,
    metrics: HostingMetrics,
}

impl Observer for InstanceObserver {
    fn instance_started(&self, _component: &str) {
        self.metrics.instances_started.inc();
        self.metrics.instances.inc();
    }

    fn instance_trapped(&self, component: &str) {
        let component = Component::new(&self.application, component);
        let component = self.counts.component(&component);
        self.counts
            .record_failure(component, ComponentFailure::Trap);
    }

    fn instance_ended(&self, _component: &str) {
        self.metrics.instances.dec();
    }

    fn call_denied(&self, _component: &str) {
        self.metrics.denied_calls.inc();
    }

    fn metrics_exported(
        &self,
        component: &str,
        metrics: ResourceMetrics,
    ) -> BoxFuture<'static, Result<(), String>> {
        let component = Component::new(&self.application, component);
        let ingest = self.ingest.clone();
        Box::pin(async move { ingest.export(&component, metrics).await })
    }

    fn span_dropped(&self) {
        self.ingest.skip_span();
    }

    fn log_record_dropped(&self) {
        self.ingest.drop_log_record();
    }
}

/// Returns the `host:port` that the application sends OTLP telemetry to, if any.
fn otlp_target(manifest: &Manifest) -> Option<&str> {
    let otlp = manifest.variables.get(TELEMETRY)? == "otlp";
    let target = manifest.variables.get("telemetry_host");
    target.filter(|_| otlp).map(String::as_str)
}
