"""gunicorn with prometheus_client's multiprocess mode."""

import os

from prometheus_client import multiprocess


def on_starting(_server):
    os.makedirs(os.environ["PROMETHEUS_MULTIPROC_DIR"], exist_ok=True)


def child_exit(_server, worker):
    multiprocess.mark_process_dead(worker.pid)
