//! What a host reports about its instances.

/// Hears of every instance. The calls are made on the way of a request: they must not block.
pub trait Observer: Send + Sync + 'static {
    /// An instance of `component` was created.
    fn instance_started(&self, component: &str);

    /// An instance of `component` trapped. The call is made before the requests in it are answered.
    fn instance_trapped(&self, component: &str);

    /// An instance of `component` is gone, for whatever reason.
    fn instance_ended(&self, component: &str);
}
