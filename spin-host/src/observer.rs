//! Reports about the life of instances.

/// Receiver of events about instances. Calls happen while requests are handled, so they must not block.
pub trait Observer: Send + Sync + 'static {
    /// An instance of `component` was created.
    fn instance_started(&self, component: &str);

    /// An instance of `component` trapped. The requests in it are answered after this call.
    fn instance_trapped(&self, component: &str);

    /// An instance of `component` ended, for any reason.
    fn instance_ended(&self, component: &str);

    /// `component` called a function of an interface that the host denies.
    fn call_denied(&self, component: &str);
}
