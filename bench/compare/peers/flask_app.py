"""The Flask original in prometheus_client's multiprocess mode, as its documentation describes it."""

from app import app
from flask import Response, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, multiprocess


@app.before_request
def fail():
    if "x-fault" in request.headers:
        raise RuntimeError("asked to")


def metrics():
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


app.view_functions["metrics"] = metrics
