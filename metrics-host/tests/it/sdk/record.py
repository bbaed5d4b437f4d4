"""Records known values with the OpenTelemetry SDK of Python, and prints what the page has to show.

record.py ENDPOINT TEMPORALITY AGGREGATION COMPRESSION [WORKERS]: WORKERS forked processes with one resource record counters and
histograms; without it one process records with all instruments.
"""

import json
import os
import random
import sys

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Observation
from opentelemetry.sdk import metrics as sdk
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

ROUNDS = 4
KINDS = ["a", "b"]

endpoint, temporality, aggregation, compression = sys.argv[1:5]
workers = int(sys.argv[5]) if len(sys.argv) > 5 else None
# One resource in every process, made before they fork.
resource = Resource({"service.name": "python"})


def provider():
    preferred = AggregationTemporality[temporality.upper()]
    added = [sdk.Counter, sdk.Histogram, sdk.ObservableCounter]
    exporter = OTLPMetricExporter(
        endpoint=f"{endpoint}/v1/metrics",
        compression=Compression(compression),
        preferred_temporality={instrument: preferred for instrument in added},
    )
    # It exports when it is told to.
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
    exponential = View(instrument_type=sdk.Histogram, aggregation=ExponentialBucketHistogramAggregation())
    views = [exponential] if aggregation == "exponential" else []
    return sdk.MeterProvider([reader], resource=resource, views=views)


def flush(meters):
    assert meters.force_flush(20_000), "the export failed"


def record(expected, instruments, kind):
    """Records one value of each, a multiple of an eighth: their sums are exact."""
    labels = {"kind": kind}
    expected.add("orders_total", labels, count := random.randint(0, 9))
    instruments["orders"].add(count, labels)
    expected.add("weight_grams_total", labels, weight := random.randint(0, 99) / 8)
    instruments["weight"].add(weight, labels)
    expected.observe("latency_seconds", labels, latency := random.randint(0, 99) / 8)
    instruments["latency"].record(latency, labels)


class Expected:
    """What the page has to show."""

    def __init__(self):
        self.samples = {}

    def add(self, name, labels, value):
        sample = self.samples.setdefault((name, *labels.items()), {"name": name, "labels": labels, "value": 0})
        sample["value"] += value

    def set(self, name, labels, value):
        self.samples[(name, *labels.items())] = {"name": name, "labels": labels, "value": value}

    def observe(self, name, labels, value):
        sample = self.samples.setdefault((name, *labels.items()), {"name": name, "labels": labels, "values": []})
        sample["values"].append(value)

    def print(self):
        print(json.dumps(list(self.samples.values())), flush=True)


def common(meter):
    return {
        "orders": meter.create_counter("orders", "{order}", "Orders."),
        "weight": meter.create_counter("weight", "g", "Weight of all orders."),
        "latency": meter.create_histogram("latency", "s", "Latency."),
    }


def everything(expected):
    meters = provider()
    meter = meters.get_meter("shop", "1.2.3")
    observed = {"read": 0, "pool": 0, "heat": 0.0}
    instruments = common(meter)
    active = meter.create_up_down_counter("active", "{request}", "Requests in flight.")
    level = meter.create_gauge("level", "1", "A level.")

    def callback(name):
        return lambda _: [Observation(observed[name], {"kind": "a"})]

    meter.create_observable_counter("read", [callback("read")], "By", "Bytes read.")
    meter.create_observable_up_down_counter("pool", [callback("pool")], "{connection}", "Connections.")
    meter.create_observable_gauge("heat", [callback("heat")], "Cel", "Temperature.")
    for turn in range(ROUNDS):
        # A series that begins later than others, and one that pauses.
        for kind in KINDS[: turn + 1] if turn != 2 else KINDS[:1]:
            record(expected, instruments, kind)
            expected.add("active", {"kind": kind}, more := random.randint(-5, 9))
            active.add(more, {"kind": kind})
        observed["read"] += random.randint(0, 1 << 40)
        observed["pool"] = random.randint(0, 9)
        observed["heat"] = random.randint(-80, 80) / 8
        share = random.randint(0, 8) / 8
        level.set(share, {"kind": "a"})
        flush(meters)
    expected.set("read_bytes_total", {"kind": "a"}, observed["read"])
    expected.set("pool", {"kind": "a"}, observed["pool"])
    expected.set("heat_celsius", {"kind": "a"}, observed["heat"])
    expected.set("level_ratio", {"kind": "a"}, share)
    meters.shutdown()


def worker(seed):
    """One forked process, which prints what it recorded itself."""
    random.seed(seed)
    meters = provider()
    instruments = common(meters.get_meter("shop", "1.2.3"))
    expected = Expected()
    for _ in range(ROUNDS):
        record(expected, instruments, "a")
        flush(meters)
    meters.shutdown()
    return list(expected.samples.values())


def forked(expected):
    pipes = []
    for seed in range(workers):
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.close(reading)
            with os.fdopen(writing, "w") as pipe:
                json.dump(worker(seed), pipe)
            os._exit(0)
        os.close(writing)
        pipes.append(reading)
    for reading in pipes:
        with os.fdopen(reading) as pipe:
            for sample in json.load(pipe):
                for value in sample.get("values", []):
                    expected.observe(sample["name"], sample["labels"], value)
                if "value" in sample:
                    expected.add(sample["name"], sample["labels"], sample["value"])
    assert all(os.wait()[1] == 0 for _ in pipes), "a worker failed"


random.seed(7)
expected = Expected()
if workers:
    forked(expected)
else:
    everything(expected)
expected.print()
