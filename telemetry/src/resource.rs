//! The sender of a batch.

/// The OTLP resource of every batch: the sending component instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// `service.name`: the application.
    pub service_name: String,
    /// `service.version`.
    pub service_version: String,
    /// [`COMPONENT`](crate::attribute::COMPONENT): the component's id in its application, as in the manifest.
    pub component: String,
    /// `service.instance.id`: random per Wasm instance.
    pub instance: String,
}
