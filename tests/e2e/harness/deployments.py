"""What is deployed: the rendered chart, the Compose file, the systemd unit, the image's recipe."""

import json
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

from .postgres import ROOT
from .server import binary

DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm/grantex"
COMPOSE = DEPLOY / "compose"
DOCKERFILE = DEPLOY / "docker/Dockerfile"
UNIT = DEPLOY / "systemd/grantex.service"
TOOLS = Path(sys.executable).parent
# Kinds that Kubernetes' own schemas do not know, and where theirs is.
FOREIGN = {kind: ROOT / f"tests/e2e/schemas/{kind.lower()}.json" for kind in ("ServiceMonitor", "PrometheusRule")}
KUBERNETES = ("1.29", "1.32", "1.34")


def tool(name: str) -> str:
    """A program that scripts/install-deps put beside Python."""
    path = TOOLS / name
    assert path.is_file(), f"{path} is missing; run scripts/install-deps"
    return str(path)


@cache
def settings() -> dict[str, bool]:
    """The server's environment variables, and whether each is a secret."""
    text = subprocess.run([binary(), "docs", "configuration"], capture_output=True, text=True, timeout=30, check=True).stdout
    found = re.findall(r"^\| `(\w+)`( \*secret\*)? \|", text, re.MULTILINE)
    assert found, "grantex-server docs configuration names nothing"
    return {name: bool(secret) for name, secret in found}


def unknown(names) -> set[str]:
    """Those that the server would not read."""
    known = set(settings()) | {f"{name}_FILE" for name, is_secret in settings().items() if is_secret}
    return set(names) - known


def config_check(environment: dict[str, str], directory: Path) -> subprocess.CompletedProcess:
    """What the server says of an environment."""
    return subprocess.run([binary(), "config", "check"], env=environment, cwd=directory, capture_output=True, text=True, timeout=30)


def helm(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([tool("helm"), *map(str, arguments)], capture_output=True, text=True, timeout=60)


@dataclass(frozen=True)
class Release:
    """The objects of a rendered chart."""

    objects: tuple[dict, ...]

    def all(self, kind: str) -> list[dict]:
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str) -> dict:
        found = [each for each in self.all(kind) if "helm.sh/hook" not in each["metadata"].get("annotations", {})]
        found = [each for each in found if not each["metadata"]["labels"].get("grafana_dashboard")]
        assert len(found) == 1, f"{len(found)} objects are a {kind}"
        return found[0]

    @property
    def pod(self) -> dict:
        return self.one("Deployment")["spec"]["template"]

    @property
    def environment(self) -> dict[str, str]:
        return self.one("ConfigMap")["data"]


def render(values: dict, name: str = "grantex") -> subprocess.CompletedProcess:
    """`helm template` with these values."""
    done = subprocess.run(
        [tool("helm"), "template", name, CHART, "--namespace", "auth", "--values", "-"],
        input=yaml.safe_dump(values), capture_output=True, text=True, timeout=60,
    )
    return done


def release(values: dict, name: str = "grantex") -> Release:
    done = render(values, name)
    assert done.returncode == 0, done.stderr
    return Release(tuple(each for each in yaml.safe_load_all(done.stdout) if each))


def schema_problems(each: dict) -> list[str]:
    """What is wrong with an object, by the schemas of several versions of Kubernetes or by that of its operator."""
    where = f"{each['kind']}/{each['metadata']['name']}"
    if each["kind"] in FOREIGN:
        schema = json.loads(FOREIGN[each["kind"]].read_text())
        problems = jsonschema.Draft7Validator(schema).iter_errors(each)
        return [f"{where}: {problem.json_path}: {problem.message}" for problem in problems]
    problems = []
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(each, version, strict=True)
        except kubernetes_validate.ValidationError as problem:
            problems.append(f"{where} ({version}): {problem.path}: {problem.message}")
    return problems


def compose() -> dict:
    return yaml.safe_load((COMPOSE / "compose.yaml").read_text())


def with_defaults(text: str) -> str:
    """`${NAME:-default}` as Compose reads it when nothing is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def instructions(path: Path = DOCKERFILE) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, each with what follows its name."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def image_environment() -> dict[str, str]:
    """What the image sets, whatever a deployment adds."""
    set_by_image = next(rest for name, rest in instructions() if name == "ENV")
    return dict(pair.split("=", 1) for pair in shlex.split(set_by_image))


def build_context(directory: Path):
    """Copies what the image's build would be given: what Git knows, as far as .dockerignore lets it through."""
    lines = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*", "everything is left out first"
    wanted = [rule[1:] for rule in rules if rule.startswith("!")]
    known = subprocess.run(["git", "ls-files", "-z", "--", *wanted], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, known.split("\0")):
        if (ROOT / name).is_file():
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    return wanted
