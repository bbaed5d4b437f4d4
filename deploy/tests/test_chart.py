"""Tests of the Helm chart and of the SpinKube sample, without a cluster. `make test-deploy` runs them with the tools they need."""

import functools
import itertools
import json
import pathlib
import re
import subprocess
import unittest
from concurrent.futures import ThreadPoolExecutor

import jsonschema
import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/metrics-host"
VALUES = sorted((ROOT / "deploy/tests/values").glob("*.yaml"))
CRDS = yaml.safe_load((ROOT / "deploy/tests/crds.yaml").read_text())
# The oldest that the chart allows, and the newest.
KUBERNETES = ["1.30", "1.37"]
IMAGE = "image.reference=registry.example/shop@sha256:0123"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


def render(*arguments, name="shop"):
    return run("helm", "template", name, CHART, "--namespace", "market", "--kube-version", "1.30.0", *arguments)


def documents(text):
    """Returns the documents of a rendered chart; each is parsed and validated once, however often it comes."""
    return [document(part) for part in re.split(r"^---\n", text, flags=re.MULTILINE) if part.strip()]


@functools.cache
def document(text):
    parsed = yaml.load(text, LOADER)
    if parsed is None:
        return {}
    custom = CRDS.get(f"{parsed['apiVersion']} {parsed['kind']}")
    if custom:
        assert set(parsed) == {"apiVersion", "kind", "metadata", "spec"}, parsed
        jsonschema.validate(parsed["spec"], custom)
    else:
        for version in KUBERNETES:
            kubernetes_validate.validate(parsed, version, strict=True)
    return parsed


def of_kind(rendered, kind):
    return [found for found in rendered if found.get("kind") == kind]


def pods(rendered):
    """Returns the metadata and spec of each kind of pod."""
    for workload in of_kind(rendered, "Deployment") + of_kind(rendered, "DaemonSet"):
        template = workload["spec"]["template"]
        assert workload["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        yield template
    yield from of_kind(rendered, "Pod")


def selects(selector, labels):
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        expression["operator"] == "In" and labels.get(expression["key"]) in expression["values"]
        for expression in selector.get("matchExpressions", [])
    )


def ports(pod):
    return {port["name"] for container in pod["spec"]["containers"] for port in container.get("ports", [])}


def check_references(rendered):
    """Fails if something names what is not there."""
    names = [(found["kind"], found["metadata"]["name"]) for found in rendered if found]
    assert len(set(names)) == len(names), names
    serving = [pod for pod in pods(rendered) if ports(pod)]
    for service in of_kind(rendered, "Service"):
        selector = {"matchLabels": service["spec"]["selector"]}
        chosen = [pod for pod in serving if selects(selector, pod["metadata"]["labels"])]
        assert len(chosen) == 1, service
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports(chosen[0])
    for monitor in of_kind(rendered, "PodMonitor"):
        for pod in serving:
            assert selects(monitor["spec"]["selector"], pod["metadata"]["labels"]), pod
            assert {endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]} <= ports(pod)
    for policy in of_kind(rendered, "NetworkPolicy"):
        chosen = [pod for pod in pods(rendered) if selects(policy["spec"]["podSelector"], pod["metadata"]["labels"])]
        assert chosen == serving
        allowed = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
        assert set().union(*map(ports, serving)) <= allowed
    for scaler in of_kind(rendered, "HorizontalPodAutoscaler") + of_kind(rendered, "ScaledObject"):
        [deployment] = of_kind(rendered, "Deployment")
        assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
        assert "replicas" not in deployment["spec"]


def check_confinement(rendered):
    for pod in pods(rendered):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        sidecar = pod["metadata"]["labels"]["app.kubernetes.io/component"] == "sidecar"
        assert spec["securityContext"]["runAsNonRoot"] or sidecar
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"] + spec.get("initContainers", []):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
            assert context["capabilities"] == {"drop": ["ALL"]}


def flags(values, path=()):
    """Returns the names of all boolean values."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flags(value, (*path, key))
        elif isinstance(value, bool):
            yield ".".join((*path, key))


class Chart(unittest.TestCase):
    def test_helm_lints_each_values_file(self):
        for values in VALUES:
            with self.subTest(values.name):
                run("helm", "lint", "--strict", CHART, "--values", values)

    def test_every_combination_is_what_kubernetes_accepts(self):
        names = list(flags(yaml.safe_load((CHART / "values.yaml").read_text())))
        self.assertGreater(len(names), 7)
        kinds = set()

        def check(combination):
            *chosen, by = combination
            values = [f"{name}={str(value).lower()}" for name, value in zip(names, chosen)]
            values += [IMAGE, f"autoscaling.by={by}", "autoscaling.prometheusUrl=http://prometheus"]
            rendered = documents(render("--set", ",".join(values)))
            check_references(rendered)
            check_confinement(rendered)
            kinds.update(found["kind"] for found in rendered if found)

        combinations = itertools.product(*[[False, True]] * len(names), ["none", "cpu", "requests"])
        with ThreadPoolExecutor(2) as threads:
            self.assertEqual(set(threads.map(check, combinations)), {None})
        self.assertEqual(len(kinds), 12, kinds)

    def test_each_values_file_is_what_kubernetes_accepts(self):
        for values in VALUES:
            with self.subTest(values.name):
                rendered = documents(render("--values", values))
                check_references(rendered)
                check_confinement(rendered)

    def test_values_that_make_no_sense_are_refused(self):
        for value, complaint in [
            ("app.bogus=1", "additional properties 'bogus' not allowed"),
            ("autoscaling.by=magic", "value must be one of"),
            ("autoscaling.by=requests", "/autoscaling/prometheusUrl"),
            ("objective=100", "/objective"),
            ("prometheusRule.thresholds.latencySeconds=0.3", "latencySeconds"),
            ("app.variables.Upper=1", "does not match pattern"),
            ("image.reference=", "name the release image"),
        ]:
            with self.subTest(value), self.assertRaisesRegex(AssertionError, complaint):
                render("--set", IMAGE, "--set", value)

    def test_a_misspelt_field_is_found(self):
        for field in ["replicas:", "maxUnavailable:", "podMetricsEndpoints:"]:
            with self.subTest(field), self.assertRaises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
                documents(render("--set", IMAGE).replace(field, field.upper()))

    def test_the_environment_is_that_of_metrics_host(self):
        sources = [file.read_text() for file in (ROOT / "metrics-host/src").rglob("*.rs")]
        known = set(re.findall(r'env = "(METRICS_HOST_[A-Z_]+)"', "\n".join(sources)))
        seen = set()
        for values in VALUES:
            for pod in pods(documents(render("--values", values))):
                for container in pod["spec"]["containers"]:
                    seen |= {variable["name"] for variable in container.get("env", [])}
        seen = {name for name in seen if name.startswith("METRICS_HOST_")}
        self.assertLessEqual(seen, known)
        self.assertIn("METRICS_HOST_LINGER_FOR_SCRAPE", seen)

    def test_a_replica_has_the_time_for_its_last_scrape(self):
        [deployment] = of_kind(documents(render("--set", IMAGE)), "Deployment")
        spec = deployment["spec"]["template"]["spec"]
        # preStop, requests in flight, work of instances, the scrape.
        self.assertGreater(spec["terminationGracePeriodSeconds"], 5 + 10 + 10 + 45)
        self.assertEqual(deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], 0)

    def test_dashboards_and_alerts_have_the_objective_and_the_links(self):
        rendered = documents(render("--values", ROOT / "deploy/tests/values/pair.yaml"))
        maps = of_kind(rendered, "ConfigMap")
        self.assertEqual(len(maps), 2)
        for text in [text for found in maps for text in found["data"].values()]:
            json.loads(text)
            for default in ["127.0.0.1", "0.001", "99.9", " 0.1 %"]:
                self.assertNotIn(default, text)
        [rule] = of_kind(rendered, "PrometheusRule")
        text = json.dumps(rule, ensure_ascii=False)
        for default in ["127.0.0.1", "0.001", "99.9", "${", "0.05"]:
            self.assertNotIn(default, text)
        for chosen in ["14.4 * 0.005", "of 99.5 % allows", "More than 2 % of", "https://metrics.example/runbooks/", "https://grafana.example/d/"]:
            self.assertIn(chosen, text)


class SpinKube(unittest.TestCase):
    def test_the_sample_is_what_spinkube_accepts(self):
        rendered = documents(run("kubectl", "kustomize", ROOT / "deploy/spinkube"))
        [app] = of_kind(rendered, "SpinApp")
        [executor] = of_kind(rendered, "SpinAppExecutor")
        self.assertEqual(app["spec"]["executor"], executor["metadata"]["name"])

    def test_the_sample_reports_to_the_sidecar_of_the_chart(self):
        sidecars = documents(run("helm", "template", "metrics-host", CHART, "--namespace", "metrics", "--set", f"{IMAGE},app.enabled=false,sidecars.enabled=true"))
        [service] = of_kind(sidecars, "Service")
        self.assertEqual(service["spec"]["internalTrafficPolicy"], "Local")
        host = f"{service['metadata']['name']}.metrics.svc"
        [app] = of_kind(documents(run("kubectl", "kustomize", ROOT / "deploy/spinkube")), "SpinApp")
        variables = {variable["name"]: variable["value"] for variable in app["spec"]["variables"]}
        self.assertEqual(variables["telemetry_host"], f"{host}:4318")
        [daemons] = of_kind(sidecars, "DaemonSet")
        [container] = daemons["spec"]["template"]["spec"]["containers"]
        environment = {variable["name"]: variable.get("value") for variable in container["env"]}
        self.assertIn(host, environment["METRICS_HOST_ALLOWED_HOST"].split(","))
        # The sender's address has to be allowed by the application, under the same variable.
        manifest = (ROOT / "spin.toml").read_text()
        self.assertRegex(manifest, r"allowed_outbound_hosts = .*\{\{ telemetry_host \}\}")


if __name__ == "__main__":
    unittest.main()
