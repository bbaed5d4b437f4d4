// Records known values with the OpenTelemetry SDK of JavaScript, and prints what the page has to show.
//
// record.mjs ENDPOINT TEMPORALITY AGGREGATION COMPRESSION ENCODING [WORKERS]: WORKERS child processes with one resource record
// counters and histograms; without it one process records with all instruments.

import { fork } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

// The packages are not beside this file.
const require = createRequire(join(process.env.NODE_PACKAGES, 'package.json'));
const { AggregationTemporalityPreference, OTLPMetricExporter: Json } = require('@opentelemetry/exporter-metrics-otlp-http');
const { OTLPMetricExporter: Protobuf } = require('@opentelemetry/exporter-metrics-otlp-proto');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { AggregationType, InstrumentType, MeterProvider, PeriodicExportingMetricReader } = require('@opentelemetry/sdk-metrics');

const ROUNDS = 4;
const KINDS = ['a', 'b'];
// Workers take turns of so long.
const SLOT_MILLIS = 20;
const [endpoint, temporality, aggregation, compression, encoding, workers] = process.argv.slice(2);

function provider() {
  const Exporter = encoding === 'json' ? Json : Protobuf;
  const exporter = new Exporter({
    url: `${endpoint}/v1/metrics`,
    compression,
    temporalityPreference: AggregationTemporalityPreference[temporality.toUpperCase()],
  });
  // It exports when it is told to.
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1e9, exportTimeoutMillis: 20_000 });
  const exponential = { instrumentType: InstrumentType.HISTOGRAM, aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } };
  return new MeterProvider({
    resource: resourceFromAttributes({ 'service.name': 'javascript' }),
    readers: [reader],
    views: aggregation === 'exponential' ? [exponential] : [],
  });
}

// The same numbers in every run.
let seed = Number(process.env.SEED ?? 7);
function random(below) {
  seed = (seed * 48271) % 0x7fffffff;
  return seed % below;
}

class Expected {
  samples = new Map();
  sample(name, labels, start) {
    const key = JSON.stringify([name, labels]);
    if (!this.samples.has(key)) this.samples.set(key, { name, labels, ...start });
    return this.samples.get(key);
  }
  add(name, labels, value) {
    this.sample(name, labels, { value: 0 }).value += value;
  }
  set(name, labels, value) {
    this.sample(name, labels, {}).value = value;
  }
  observe(name, labels, value) {
    this.sample(name, labels, { values: [] }).values.push(value);
  }
}

function common(meter) {
  return {
    orders: meter.createCounter('orders', { unit: '{order}', description: 'Orders.' }),
    weight: meter.createCounter('weight', { unit: 'g', description: 'Weight of all orders.' }),
    latency: meter.createHistogram('latency', { unit: 's', description: 'Latency.' }),
  };
}

// One value of each, a multiple of an eighth: their sums are exact.
function record(expected, instruments, kind) {
  const labels = { kind };
  const [count, weight, latency] = [random(10), random(100) / 8, random(100) / 8];
  instruments.orders.add(count, labels);
  expected.add('orders_total', labels, count);
  instruments.weight.add(weight, labels);
  expected.add('weight_grams_total', labels, weight);
  instruments.latency.record(latency, labels);
  expected.observe('latency_seconds', labels, latency);
}

async function everything(expected) {
  const meters = provider();
  const meter = meters.getMeter('shop', '1.2.3');
  const observed = { read: 0, pool: 0, heat: 0 };
  const instruments = common(meter);
  const active = meter.createUpDownCounter('active', { unit: '{request}', description: 'Requests in flight.' });
  const level = meter.createGauge('level', { unit: '1', description: 'A level.' });
  const callback = (name) => (result) => result.observe(observed[name], { kind: 'a' });
  meter.createObservableCounter('read', { unit: 'By', description: 'Bytes read.' }).addCallback(callback('read'));
  meter.createObservableUpDownCounter('pool', { unit: '{connection}', description: 'Connections.' }).addCallback(callback('pool'));
  meter.createObservableGauge('heat', { unit: 'Cel', description: 'Temperature.' }).addCallback(callback('heat'));
  let share;
  for (let turn = 0; turn < ROUNDS; turn++) {
    // A series that begins later than others, and one that pauses.
    for (const kind of turn === 0 || turn === 2 ? KINDS.slice(0, 1) : KINDS) {
      record(expected, instruments, kind);
      const more = random(15) - 5;
      active.add(more, { kind });
      expected.add('active', { kind }, more);
    }
    observed.read += random(2 ** 30);
    observed.pool = random(10);
    observed.heat = random(160) / 8 - 10;
    share = random(9) / 8;
    // Half of an emoji in an attribute that nobody cut on purpose.
    level.record(share, { kind: 'a', user: 'user 😀'.slice(0, 6) });
    await meters.forceFlush();
  }
  expected.set('read_bytes_total', { kind: 'a' }, observed.read);
  expected.set('pool', { kind: 'a' }, observed.pool);
  expected.set('heat_celsius', { kind: 'a' }, observed.heat);
  expected.set('level_ratio', { kind: 'a', user: 'user \ufffd' }, share);
  await meters.shutdown();
}

// Waits for a moment that is this worker's own. The times of this SDK are milliseconds: intervals of two processes that are equal to
// the millisecond and in their amount cannot be told apart.
async function turnOf(index) {
  while (Math.floor(Date.now() / SLOT_MILLIS) % Number(workers) !== index || Date.now() % SLOT_MILLIS > SLOT_MILLIS / 2) {
    await setTimeout(1);
  }
}

async function worker(expected, index) {
  await turnOf(index);
  const meters = provider();
  const instruments = common(meters.getMeter('shop', '1.2.3'));
  for (let turn = 0; turn < ROUNDS; turn++) {
    record(expected, instruments, 'a');
    await turnOf(index);
    await meters.forceFlush();
  }
  await meters.shutdown();
}

async function forked(expected) {
  const finished = Array.from({ length: Number(workers) }, (_, index) => new Promise((resolve, reject) => {
    const child = fork(process.argv[1], process.argv.slice(2), { env: { ...process.env, SEED: String(index + 1), WORKER: String(index) } });
    child.on('message', resolve);
    child.on('exit', (code) => code === 0 || reject(new Error(`a worker ended with ${code}`)));
  }));
  for (const { name, labels, value, values } of (await Promise.all(finished)).flat()) {
    if (values === undefined) expected.add(name, labels, value);
    else values.forEach((one) => expected.observe(name, labels, one));
  }
}

const expected = new Expected();
if (process.env.WORKER) {
  await worker(expected, Number(process.env.WORKER));
  process.send([...expected.samples.values()]);
  process.disconnect();
} else {
  await (workers ? forked(expected) : everything(expected));
  console.log(JSON.stringify([...expected.samples.values()]));
}
