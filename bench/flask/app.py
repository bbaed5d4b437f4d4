"""The shape of the Flask service that this project replaces, as the baseline of the benchmark.

Each worker of gunicorn keeps its own list of items and its own metrics (prometheus_client) in memory: nothing is durable
or shared. Written anew from its description.
"""

import os
import time

from flask import Flask, Response, g, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest

REQUESTS = Counter("app_requests_total", "Requests by what was answered.", ["method", "endpoint", "http_status"])
LATENCY = Histogram("app_request_latency_seconds", "Time to the answer.", ["endpoint"])
ERRORS = Counter("app_errors_total", "Internal exceptions.")

app = Flask(__name__)
# Every worker starts with the same items, because a request that creates one reaches only one worker.
items = [{"id": number, "name": "demo"} for number in range(1, int(os.environ.get("SEED_ITEMS", "0")) + 1)]


@app.before_request
def start_clock():
    g.started = time.perf_counter()


@app.after_request
def count(response):
    endpoint = request.url_rule.rule if request.url_rule else "unmatched"
    REQUESTS.labels(request.method, endpoint, response.status_code).inc()
    LATENCY.labels(endpoint).observe(time.perf_counter() - g.started)
    return response


@app.errorhandler(500)
def internal_error(_error):
    ERRORS.inc()
    return jsonify(error="internal error"), 500


@app.get("/")
def show_service():
    return jsonify(service="items", status="ok")


@app.get("/items")
def list_items():
    # The original lists all; the limit makes the answers of all contenders equal.
    return jsonify(items=items[: request.args.get("limit", 100, type=int)])


@app.post("/items")
def create_item():
    body = request.get_json(silent=True) or {}
    name = body.get("name")
    if not name:
        return jsonify(error="name is required"), 400
    item = {"id": len(items) + 1, "name": name}
    items.append(item)
    return jsonify(item), 201


@app.get("/health/live")
def live():
    return jsonify(live=True)


@app.get("/metrics")
def metrics():
    return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)
