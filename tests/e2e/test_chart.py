"""The Helm chart renders to valid objects whose settings the server knows, and refuses what could not work."""

import json
from pathlib import Path

import pytest
import yaml

from harness.artefacts import PROVISIONED, RULES
from harness.deployments import CHART, config_check, helm, image_environment, release, render, schema_problems, unknown

BASE = {"publicBaseUrl": "https://grantex.example.com", "secret": {"name": "grantex"}}
EMBEDDED = BASE | {"secret": {"name": "grantex", "keys": {"DATABASE_URL": None}}, "embedded": {"enabled": True}}
ALL = {
    "publicBaseUrl": "https://grantex.example.com/",
    "image": {"repository": "registry.example.com/grantex", "tag": "1.2.3"},
    "imagePullSecrets": [{"name": "registry"}],
    "config": {"TRUST_PROXY": 1, "WEBHOOK_CONCURRENCY": 128, "JANITOR_ENABLED": True, "LOG_LEVEL": "warn"},
    "secret": {"name": "vault", "keys": {"METRICS_API_KEY": "metrics", "ADMIN_API_KEY": "admin"}},
    "autoscaling": {"enabled": True, "minReplicas": 3, "maxReplicas": 9},
    "migrationJob": {"enabled": True},
    "service": {"type": "LoadBalancer", "port": 8080, "annotations": {"a.example/b": "c"}},
    "ingress": {"enabled": True, "className": "nginx", "tlsSecretName": "tls", "annotations": {"a": "b"}},
    "networkPolicy": {
        "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}],
        "egress": {"database": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "databasePort": 6432, "webhookPorts": [443, 8443],
                   "extra": [{"to": [{"ipBlock": {"cidr": "10.20.0.0/16"}}]}]},
    },
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "dashboards": {"enabled": True, "annotations": {"grafana_folder": "Grantex"}},
    "serviceAccount": {"annotations": {"a.example/role": "b"}},
    "podAnnotations": {"a": "b"}, "podLabels": {"team": "auth"}, "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "a", "operator": "Exists"}], "priorityClassName": "high",
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}]}}},
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}],
}
BARE = BASE | {
    "replicaCount": 1, "networkPolicy": {"enabled": False}, "podDisruptionBudget": {"enabled": False}, "resources": {},
    "fullnameOverride": "authorization", "topologySpreadConstraints": [],
}
CLAIMED = EMBEDDED | {"embedded": {"enabled": True, "existingClaim": "grants"}, "networkPolicy": {"egress": {"webhookPorts": []}}}
SETS = {"base": BASE, "embedded": EMBEDDED, "claimed": CLAIMED, "all": ALL, "bare": BARE}
KINDS = {
    "base": {"ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"},
    "embedded": {"ConfigMap", "Deployment", "NetworkPolicy", "PersistentVolumeClaim", "Service", "ServiceAccount"},
    "claimed": {"ConfigMap", "Deployment", "NetworkPolicy", "Service", "ServiceAccount"},
    "all": {"ConfigMap", "Deployment", "HorizontalPodAutoscaler", "Ingress", "Job", "NetworkPolicy", "PodDisruptionBudget",
            "PrometheusRule", "Service", "ServiceAccount", "ServiceMonitor"},
    "bare": {"ConfigMap", "Deployment", "Service", "ServiceAccount"},
}
each_set = pytest.mark.parametrize("name", SETS)


def test_the_chart_has_no_flaws():
    sets = [f"--set={key}" for key in ("publicBaseUrl=https://a.example", "secret.name=s")]
    done = helm("lint", "--strict", CHART, *sets)
    assert done.returncode == 0, done.stdout + done.stderr


@each_set
def test_what_it_renders_is_valid(name):
    rendered = release(SETS[name])
    assert {each["kind"] for each in rendered.objects} == KINDS[name]
    names = [(each["kind"], each["metadata"]["name"]) for each in rendered.objects]
    assert len(set(names)) == len(names), "two objects of one name"
    problems = [problem for each in rendered.objects for problem in schema_problems(each)]
    assert not problems, "\n".join(problems)


def test_the_schemas_refuse_what_is_wrong():
    for kind, spoil in {
        "Deployment": lambda spec: spec["template"]["spec"]["containers"][0].update(readynessProbe={}),
        "HorizontalPodAutoscaler": lambda spec: spec.update(targetCPUUtilizationPercentage=70),
        "ServiceMonitor": lambda spec: spec["endpoints"][0].update(bearerToken="x"),
        "PrometheusRule": lambda spec: spec["groups"][0]["rules"][0].update(severity="critical"),
    }.items():
        each = release(ALL).all(kind)[0]
        spoil(each["spec"])
        assert schema_problems(each), f"a wrong {kind} passes"


@each_set
def test_the_server_takes_the_settings_it_is_given(name, tmp_path):
    rendered = release(SETS[name])
    assert unknown(rendered.environment) == set()
    server = rendered.pod["spec"]["containers"][0]
    assert "env" not in server, "everything stands in the ConfigMap"
    values = {
        "DATABASE_URL": "postgres://grantex:x@db.example/grantex", "GRANTEX_MASTER_KEY": "ab" * 32,
        "METRICS_API_KEY": "m" * 20, "ADMIN_API_KEY": "a" * 20,
    }
    # The files that the pod would find, at another place.
    mounted = next(mount["mountPath"] for mount in server["volumeMounts"] if mount["name"] == "secret")
    files = next(volume["secret"] for volume in rendered.pod["spec"]["volumes"] if volume["name"] == "secret")
    assert files["secretName"] == SETS[name]["secret"]["name"]
    for item in files["items"]:
        (tmp_path / item["path"]).write_text(values[item["path"]])
    environment = {key: value.replace(mounted, str(tmp_path)) for key, value in rendered.environment.items()}
    done = config_check(image_environment() | environment, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    store = "sqlite" if name in ("embedded", "claimed") else "postgres"
    assert "production at https://grantex.example.com" in done.stdout
    assert f"{store} store" in done.stdout


REFUSED = {
    "no URL": (BASE | {"publicBaseUrl": ""}, "publicBaseUrl is required"),
    "no secret": ({"publicBaseUrl": "https://a.example"}, "secret.name is required"),
    "a URL without scheme": (BASE | {"publicBaseUrl": "a.example"}, "publicBaseUrl"),
    "a misspelt setting": (BASE | {"config": {"WEBHOOK_CONCURENCY": "1"}}, "WEBHOOK_CONCURENCY"),
    "a misspelt secret": (BASE | {"secret": {"name": "s", "keys": {"MASTER_KEY": "k"}}}, "MASTER_KEY"),
    "a misspelt value": (BASE | {"replicas": 3}, "replicas"),
    "a setting of the chart's own": (BASE | {"config": {"PORT": 80}}, "config.PORT is set by the chart"),
    "a secret in plain text": (BASE | {"config": {"ADMIN_API_KEY": "x"}}, "ADMIN_API_KEY"),
    "a setting as a secret": (BASE | {"secret": {"name": "s", "keys": {"TRUST_PROXY": "k"}}}, "TRUST_PROXY"),
    "no master key": (BASE | {"secret": {"name": "s", "keys": {"GRANTEX_MASTER_KEY": None}}}, "GRANTEX_MASTER_KEY"),
    "no database": (BASE | {"secret": {"name": "s", "keys": {"DATABASE_URL": None}}}, "DATABASE_URL"),
    "two databases": (BASE | {"embedded": {"enabled": True}}, "the store is a file"),
    "many servers on one file": (EMBEDDED | {"autoscaling": {"enabled": True}}, "serves one server"),
    "a migration of a file": (EMBEDDED | {"migrationJob": {"enabled": True}}, "migrates its file"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_could_not_work_is_refused(what):
    values, said = REFUSED[what]
    done = render(values)
    assert done.returncode != 0
    assert said in done.stderr


def test_the_migration_runs_where_servers_may():
    job = release(ALL).all("Job")[0]["spec"]["template"]["spec"]
    server = release(ALL).pod["spec"]
    for member in ("nodeSelector", "tolerations", "affinity"):
        assert job[member] == server[member] == ALL[member]
    assert job["containers"][0]["image"] == server["containers"][0]["image"]


@each_set
def test_probes_ask_what_each_of_them_is_for(name):
    server = release(SETS[name]).pod["spec"]["containers"][0]
    paths = {probe: server[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/health", "livenessProbe": "/health", "readinessProbe": "/ready"}
    port = release(SETS[name]).environment["PORT"]
    assert [str(each["containerPort"]) for each in server["ports"]] == [port]


@each_set
def test_pods_are_restricted(name):
    rendered = release(SETS[name])
    pods = [each["spec"]["template"]["spec"] for kind in ("Deployment", "Job") for each in rendered.all(kind)]
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


@each_set
def test_selectors_find_the_servers(name):
    rendered = release(SETS[name])
    labels = rendered.pod["metadata"]["labels"].items()
    selectors = [rendered.one("Service")["spec"]["selector"], rendered.one("Deployment")["spec"]["selector"]["matchLabels"]]
    selectors += [each["spec"]["selector"]["matchLabels"] for each in rendered.all("PodDisruptionBudget")]
    selectors += [each["spec"]["podSelector"]["matchLabels"] for each in rendered.all("NetworkPolicy")]
    assert all(selector.items() <= labels for selector in selectors)
    of_service = rendered.one("Service")["metadata"]["labels"].items()
    assert all(each["spec"]["selector"]["matchLabels"].items() <= of_service for each in rendered.all("ServiceMonitor"))
    for job in rendered.all("Job"):
        assert not selectors[0].items() <= job["spec"]["template"]["metadata"]["labels"].items(), "a migration serves nobody"


def test_a_pod_outlives_its_shutdown():
    rendered = release(BASE)
    delay = int(rendered.environment["SHUTDOWN_DELAY"].removesuffix("s"))
    # SHUTDOWN_TIMEOUT is 15 s, for requests and then for jobs.
    assert rendered.pod["spec"]["terminationGracePeriodSeconds"] > delay + 2 * 15


def test_a_changed_setting_replaces_the_servers():
    def checksum(values):
        return release(values).pod["metadata"]["annotations"]["checksum/config"]

    assert checksum(BASE) == checksum(BASE)
    assert checksum(BASE) != checksum(BASE | {"config": {"LOG_LEVEL": "warn"}})


def test_an_autoscaler_is_not_overruled():
    assert "replicas" not in release(ALL).one("Deployment")["spec"]
    assert release(BASE).one("Deployment")["spec"]["replicas"] == 2


def test_prometheus_is_let_in_and_names_the_job_as_the_rules_expect():
    endpoint = release(ALL).one("ServiceMonitor")["spec"]["endpoints"][0]
    assert endpoint["authorization"] == {"type": "Bearer", "credentials": {"name": "vault", "key": "metrics"}}
    assert {"action": "replace", "targetLabel": "job", "replacement": "grantex"} in endpoint["relabelings"]
    open_one = release(BASE | {"serviceMonitor": {"enabled": True}}).one("ServiceMonitor")["spec"]["endpoints"][0]
    assert "authorization" not in open_one


def test_rules_and_dashboards_are_the_shipped_ones():
    rendered = release(ALL)
    shipped = sorted((yaml.safe_load(path.read_text())["groups"] for path in RULES.glob("*.yml")), key=str)
    assert sorted((each["spec"]["groups"] for each in rendered.all("PrometheusRule")), key=str) == shipped
    shown = {
        key: json.loads(text)
        for each in rendered.all("ConfigMap") if each["metadata"]["labels"].get("grafana_dashboard") == "1"
        for key, text in each["data"].items()
    }
    assert shown == {f"grantex-{path.name}": json.loads(path.read_text()) for path in PROVISIONED.glob("*.json")}


@pytest.mark.parametrize("link, target", [("rules", RULES), ("dashboards", PROVISIONED)])
def test_the_chart_holds_links_and_no_copies(link, target):
    path = CHART / "files" / link
    assert path.is_symlink()
    assert not Path(path.readlink()).is_absolute()
    assert path.resolve() == target.resolve()


def test_a_packaged_chart_holds_the_files_themselves(tmp_path):
    done = helm("package", CHART, "--destination", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    package, = tmp_path.glob("*.tgz")
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(ALL))
    done = helm("template", "grantex", package, "--namespace", "auth", "--values", values)
    assert done.returncode == 0, done.stderr
    packaged = [each for each in yaml.safe_load_all(done.stdout) if each]
    assert sorted(packaged, key=str) == sorted(release(ALL).objects, key=str)


def test_a_config_map_is_small_enough():
    for each in release(ALL).all("ConfigMap"):
        assert len(json.dumps(each)) < 1_000_000, "Kubernetes takes at most 1 MiB"
