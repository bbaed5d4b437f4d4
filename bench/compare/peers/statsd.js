// StatsD into the Graphite listener of VictoriaMetrics. Flushed each second: the default of ten would only make the run longer.
{
  address: "127.0.0.1",
  port: {receiver_port},
  mgmt_address: "127.0.0.1",
  mgmt_port: {receiver_metrics_port},
  backends: ["./backends/graphite"],
  graphiteHost: "127.0.0.1",
  graphitePort: {graphite_port},
  graphite: { legacyNamespace: false },
  flushInterval: 1000,
  deleteCounters: true
}
