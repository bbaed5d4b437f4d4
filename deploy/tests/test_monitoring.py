"""Tests of what the chart gives to Prometheus: with promtool and a real Prometheus, configured as the operator does it."""

import http.server
import json
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse
import urllib.request
from pathlib import Path

import yaml
from test_chart import IMAGE, documents, of_kind, render, run

PAGE = """\
# TYPE app_requests_total counter
app_requests_total{application="items",component="items",method="GET",endpoint="/items/{id}",http_status="200"} 5
"""


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(PAGE.encode())

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pod_monitor():
    [monitor] = of_kind(documents(render("--set", IMAGE)), "PodMonitor")
    return monitor


def scrape_config(monitor, target):
    """Returns the configuration that the operator makes of a PodMonitor, for one pod that it has found."""
    name = f"{monitor['metadata'].get('namespace', 'market')}/{monitor['metadata']['name']}"
    [endpoint] = monitor["spec"]["podMetricsEndpoints"]
    own = [
        {"target_label": "namespace", "replacement": "market"},
        {"target_label": "container", "replacement": "metrics-host"},
        {"target_label": "pod", "replacement": "shop-1"},
        {"target_label": "job", "replacement": name},
        {"target_label": "endpoint", "replacement": endpoint["port"]},
    ]
    snake = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
    chosen = [{snake.get(key, key): value for key, value in rule.items()} for rule in endpoint.get("relabelings", [])]
    return {
        "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
        "scrape_configs": [
            {
                "job_name": f"podMonitor/{name}/0",
                "honor_labels": endpoint.get("honorLabels", False),
                "metrics_path": endpoint["path"],
                "static_configs": [{"targets": [target]}],
                "relabel_configs": own + chosen,
            }
        ],
    }


def scraped(monitor):
    """Returns the labels of the series that a real Prometheus has of the page."""
    page = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=page.serve_forever, daemon=True).start()
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "prometheus.yml")
        file.write_text(yaml.safe_dump(scrape_config(monitor, f"127.0.0.1:{page.server_port}")))
        arguments = [f"--config.file={file}", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"]
        with subprocess.Popen(["prometheus", *arguments], stderr=subprocess.PIPE) as prometheus:
            try:
                query = urllib.parse.urlencode({"query": "app_requests_total"})
                end = time.monotonic() + 20
                while time.monotonic() < end:
                    try:
                        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{query}") as reply:
                            found = json.load(reply)["data"]["result"]
                        if found:
                            return found[0]["metric"]
                    except OSError:
                        pass
                    time.sleep(0.05)
                raise AssertionError("Prometheus has not scraped the page")
            finally:
                prometheus.terminate()
                page.shutdown()
                page.server_close()


def rules():
    [rule] = of_kind(documents(render("--set", IMAGE)), "PrometheusRule")
    return rule["spec"]


def of_fleet(targets, fails=lambda number: 15, up=lambda number: 1):
    """Returns the series of `targets` replicas, which get a request per second, and of a healthy and busy namespace beside them."""
    series = []
    for namespace, busy in [("market", 1), ("other", 100)]:
        for number in range(targets):
            labels = f'namespace="{namespace}",job="metrics-host",pod="items-{number}",instance="10.0.{number // 250}.{number % 250}:9464"'
            request = f'{labels},application="items",component="items",method="GET",endpoint="/items"'
            failed = fails(number) if busy == 1 else 0
            # Counted once a minute.
            for status, rate in [("200", 60 * busy - failed), ("500", failed)]:
                series.append({"series": f'app_requests_total{{{request},http_status="{status}"}}', "values": f"0+{rate}x60"})
            series.append({"series": f"up{{{labels}}}", "values": f"{up(number) if busy == 1 else 1}x60"})
    return series


def expect(expression, *samples):
    return {"expr": expression, "eval_time": "50m", "exp_samples": [{"labels": labels, "value": value} for labels, value in samples]}


class Relabeling(unittest.TestCase):
    def test_prometheus_keeps_the_route_in_endpoint(self):
        labels = scraped(pod_monitor())
        self.assertEqual(labels["endpoint"], "/items/{id}")
        self.assertEqual([labels[name] for name in ["job", "namespace", "pod"]], ["metrics-host", "market", "shop-1"])
        self.assertNotIn("exported_endpoint", labels)

    def test_it_would_not_without_the_relabeling(self):
        monitor = json.loads(json.dumps(pod_monitor()))
        [endpoint] = monitor["spec"]["podMetricsEndpoints"]
        endpoint["relabelings"] = [rule for rule in endpoint["relabelings"] if rule.get("action") != "labeldrop"]
        self.assertEqual(scraped(monitor)["endpoint"], "metrics")


class Rules(unittest.TestCase):
    def promtool(self, tests):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "rules.yml").write_text(yaml.safe_dump(rules()))
            run("promtool", "check", "rules", f"{folder}/rules.yml")
            tests = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}
            Path(folder, "test.yml").write_text(yaml.safe_dump(tests))
            run("promtool", "test", "rules", f"{folder}/test.yml")

    def test_they_add_up_the_replicas_of_one_namespace(self):
        for targets in [1, 3, 1000]:
            with self.subTest(targets=targets):
                fires = '{__name__="ALERTS", alertname="AppHigh5xxErrorRate", alertstate="firing", severity="critical", '
                fires += 'namespace="market", application="items", component="items"}'
                recorded = '{__name__="application:%s", namespace="market", application="items"}'
                self.promtool([{
                    "interval": "1m",
                    "input_series": of_fleet(targets),
                    "promql_expr_test": [
                        expect("application:app_requests:rate5m", (recorded % "app_requests:rate5m", targets)),
                        expect("application:app_request_errors:ratio_rate5m", (recorded % "app_request_errors:ratio_rate5m", 0.25)),
                        # One alert for the fleet.
                        expect('ALERTS{alertname="AppHigh5xxErrorRate"}', (fires, 1)),
                        expect('count(ALERTS{alertname="MetricsHostDown"})'),
                        # What is recorded and alerted keeps the namespace, and is that of the rules.
                        expect('count({__name__=~"ALERTS|.*:.*", namespace!="market"})'),
                    ],
                }])

    def test_one_replica_is_a_matter_of_the_others(self):
        for targets, down, outlier in [(1, True, False), (3, True, True), (1000, False, True)]:
            with self.subTest(targets=targets):
                common = 'alertstate="firing", namespace="market"'
                one_down = f'{{__name__="ALERTS", alertname="MetricsHostDown", {common}, severity="critical", job="metrics-host"}}'
                differs = f'{{__name__="ALERTS", alertname="AppReplicaOutlier", {common}, severity="warning", application="items", '
                differs += 'instance="10.0.0.0:9464"}'
                self.promtool([{
                    "interval": "1m",
                    "input_series": of_fleet(targets, fails=lambda number: 0 if number else 15, up=lambda number: min(number, 1)),
                    "promql_expr_test": [
                        expect('ALERTS{alertname="MetricsHostDown"}', *[(one_down, 1)] * down),
                        expect('ALERTS{alertname="AppReplicaOutlier"}', *[(differs, 1)] * outlier),
                    ],
                }])

    def test_each_reads_only_its_namespace(self):
        for group in rules()["groups"]:
            for rule in group["rules"]:
                self.assertIn('namespace="market"', rule["expr"])


if __name__ == "__main__":
    unittest.main()
