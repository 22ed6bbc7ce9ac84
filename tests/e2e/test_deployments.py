"""The image's recipe, the Compose stack and the systemd unit, checked as far as that goes without an engine to run them."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import compose_spec
import jsonschema
import pytest
import yaml

from harness.artefacts import ALERTMANAGER_CONFIG, GRAFANA, PROMETHEUS_CONFIG, RULES
from harness.deployments import (
    COMPOSE, DEPLOY, DOCKERFILE, UNIT, build_context, compose, config_check, image_environment, instructions,
    settings, tool, unknown, with_defaults,
)
from harness.postgres import ROOT
from harness.server import binary


def run(*command, **options) -> subprocess.CompletedProcess:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120, **options)


# The image.


def of(name: str) -> list[str]:
    return [rest for instruction, rest in instructions() if instruction == name]


def test_the_dockerfile_has_no_flaws():
    done = run(tool("hadolint"), "--no-color", "--failure-threshold", "style", DOCKERFILE)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_build_is_given_what_it_reads(tmp_path):
    wanted = build_context(tmp_path)
    missing = [path for path in wanted if not (tmp_path / path).exists()]
    assert not missing, "Dockerfile.dockerignore lets through what is not there"
    # How the bundled SQLite is built is set here.
    assert (tmp_path / ".cargo/config.toml").is_file()
    build = next(rest for rest in of("RUN") if "cargo build" in rest)
    package = re.search(r"cargo build --locked --release --package (\S+)", build).group(1)
    environment = os.environ | {"CARGO_TARGET_DIR": str(tmp_path / "target")}
    done = run("cargo", "tree", "--locked", "--offline", "--package", package, "--edges", "normal,build", "--prefix", "none",
               cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    # Files that are compiled in must be below what is copied, too.
    for source in (*tmp_path.glob("crates/*/src/**/*.rs"), *tmp_path.glob("bins/grantex-server/src/**/*.rs")):
        if source.name == "tests.rs":
            continue
        for name in re.findall(r'include_(?:str|bytes)!\(\s*"([^"]+)"', source.read_text()):
            assert (source.parent / name).is_file(), f"{source.relative_to(tmp_path)} includes {name}"


def test_the_build_leaves_out_what_must_not_be_in_an_image():
    rules = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().split()
    assert {"**/target", "**/*.db", "**/*.db.key"} <= set(rules)


def test_the_binary_needs_only_libraries_that_the_image_has():
    needed = {Path(line.split()[0]).name for line in run("ldd", binary()).stdout.splitlines() if line.strip()}
    # What Debian's libc6 and libgcc-s1 bring, which are in the image.
    base = {"linux-vdso.so.1", "libgcc_s.so.1", "libm.so.6", "libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
    assert needed and needed <= base


def test_both_stages_are_of_one_debian():
    build, final = (rest.split()[0] for rest in of("FROM"))
    rust = re.fullmatch(r"rust:(\d+\.\d+)-slim-bookworm", build).group(1)
    assert final == "gcr.io/distroless/cc-debian12:nonroot"
    manifest = (ROOT / "Cargo.toml").read_text()
    assert re.search(r'^rust-version = "(.+)"$', manifest, re.MULTILINE).group(1) == rust


def test_the_image_runs_as_nobody_in_particular():
    user, = of("USER")
    uid, gid = user.split(":")
    assert int(uid) > 0 and int(gid) > 0
    data, = of("VOLUME")
    assert any(f"--chown={user}" in rest and rest.endswith(json.loads(data)[0]) for rest in of("COPY"))


def test_the_image_sets_only_what_the_server_knows():
    environment = image_environment()
    assert unknown(environment) == set()
    assert environment["PORT"] == of("EXPOSE")[0]


def test_the_image_runs_commands_that_the_binary_has():
    entry, = (json.loads(rest) for rest in of("ENTRYPOINT"))
    command, = (json.loads(rest) for rest in of("CMD"))
    health = json.loads(re.search(r"CMD (\[.*\])", of("HEALTHCHECK")[0]).group(1))
    assert any(rest.endswith(f" {entry[0]}") for rest in of("COPY"))
    assert health[0] == entry[0]
    for arguments in (command, health[1:]):
        assert run(binary(), *arguments, "--help").returncode == 0, arguments


# The Compose stack.


def test_the_compose_file_is_valid():
    parsed = compose_spec.PyCompose.from_yaml((COMPOSE / "compose.yaml").read_text())
    assert set(parsed.service_names()) == {"server", "postgres", "prometheus", "alertmanager", "grafana"}
    place = Path(importlib.util.find_spec("compose").origin).parent / "config/compose_spec.json"
    content = compose()
    # Younger than the schema.
    assert content.pop("name") == "grantex"
    problems = [f"{problem.json_path}: {problem.message}"
                for problem in jsonschema.Draft7Validator(json.loads(place.read_text())).iter_errors(content)]
    assert not problems, "\n".join(problems)


def test_what_services_name_exists():
    content = compose()
    problems = []
    for name, service in content["services"].items():
        problems += [f"{name}: secret {each}" for each in service.get("secrets", []) if each not in content["secrets"]]
        problems += [f"{name}: network {each}" for each in service["networks"] if each not in content["networks"]]
        problems += [f"{name}: service {each}" for each in service.get("depends_on", {}) if each not in content["services"]]
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                problems += [] if (COMPOSE / source).exists() else [f"{name}: file {source}"]
            elif source not in content["volumes"]:
                problems.append(f"{name}: volume {source}")
        for value in (service.get("environment") or {}).values():
            secret = re.fullmatch(r"/run/secrets/(.+)", value)
            if secret and secret.group(1) not in service.get("secrets", []):
                problems.append(f"{name}: {value} is not mounted")
    build = content["services"]["server"]["build"]
    assert (COMPOSE / build["context"] / build["dockerfile"]).resolve() == DOCKERFILE.resolve()
    assert not problems, "\n".join(problems)


def test_nothing_is_published_to_the_network():
    ports = [port for service in compose()["services"].values() for port in service.get("ports", [])]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)


@pytest.fixture
def initialized(tmp_path):
    """A copy of deploy/compose after `./init`."""
    directory = tmp_path / "compose"
    shutil.copytree(COMPOSE, directory, ignore=shutil.ignore_patterns("secrets"))
    done = run(directory / "init")
    assert done.returncode == 0, done.stderr
    return directory


def test_init_makes_every_secret_once(initialized):
    secrets = {each["file"].removeprefix("./") for each in compose()["secrets"].values()}
    made = {f"secrets/{path.name}": path.read_text() for path in (initialized / "secrets").iterdir()}
    assert set(made) == secrets
    assert (initialized / "secrets").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (initialized / "secrets").iterdir()} == {0o444}
    assert len(set(made.values())) == len(made)
    assert made["secrets/database-password"] in made["secrets/database-url"]
    again = run(initialized / "init")
    assert (again.returncode, again.stdout) == (0, "")
    assert {f"secrets/{path.name}": path.read_text() for path in (initialized / "secrets").iterdir()} == made


def test_the_server_takes_the_settings_of_the_stack(initialized):
    environment = compose()["services"]["server"]["environment"]
    assert unknown(environment) == set()
    here = {name: with_defaults(value).replace("/run/secrets", str(initialized / "secrets")) for name, value in environment.items()}
    done = config_check(image_environment() | here, initialized)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "postgres store" in done.stdout


def test_what_can_be_set_is_what_the_stack_reads():
    offered = re.findall(r"^(\w+)=", (COMPOSE / ".env.example").read_text(), re.MULTILINE)
    read = re.findall(r"\$\{(\w+)", (COMPOSE / "compose.yaml").read_text())
    assert sorted(offered) == sorted(read)
    assert unknown(offered) == set()


def test_prometheus_is_configured_as_the_shipped_file_says():
    ours = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())
    shipped = yaml.safe_load(PROMETHEUS_CONFIG.read_text())
    job = ours["scrape_configs"][0]
    assert job.pop("authorization") == {"credentials_file": "/run/secrets/metrics-key"}
    addresses = [job["static_configs"], ours["alerting"]["alertmanagers"][0]["static_configs"]]
    assert addresses == [[{"targets": ["server:3001"]}], [{"targets": ["alertmanager:9093"]}]]
    job["static_configs"] = shipped["scrape_configs"][0]["static_configs"]
    ours["alerting"]["alertmanagers"] = shipped["alerting"]["alertmanagers"]
    ours["global"]["external_labels"]["grantex_grafana"] = shipped["global"]["external_labels"]["grantex_grafana"]
    assert ours == shipped


def test_prometheus_takes_its_configuration(initialized):
    text = (initialized / "prometheus.yml").read_text().replace("/run/secrets", str(initialized / "secrets"))
    (initialized / "prometheus.yml").write_text(text)
    (initialized / "rules").symlink_to(RULES)
    done = run("promtool", "check", "config", initialized / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_watched_with_is_what_is_shipped():
    mounted = {
        name: {(COMPOSE / volume.split(":")[0]).resolve(): volume.split(":")[1] for volume in service.get("volumes", []) if volume[0] == "."}
        for name, service in compose()["services"].items()
    }
    assert mounted["prometheus"][RULES.resolve()] == "/etc/prometheus/rules"
    assert mounted["alertmanager"] == {ALERTMANAGER_CONFIG.resolve(): "/etc/alertmanager/alertmanager.yml"}
    assert mounted["grafana"] == {(GRAFANA / "provisioning").resolve(): "/etc/grafana/provisioning"}
    grafana = compose()["services"]["grafana"]["environment"]
    home = grafana["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].removeprefix("/etc/grafana/")
    assert (GRAFANA / home).is_file()
    source = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"][0]["url"]
    assert source.removeprefix("$") in grafana


# The systemd unit.


def unit_lines(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def env_file() -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", (DEPLOY / "systemd/grantex.env").read_text(), re.MULTILINE))


@pytest.fixture
def installed(tmp_path):
    """The unit, with the binary where it is on this machine; systemd looks whether it can be run."""
    path = tmp_path / "grantex.service"
    path.write_text(UNIT.read_text().replace("/usr/local/bin/grantex-server", str(binary())))
    return path


def test_systemd_finds_no_flaw_in_the_unit(installed):
    done = run("systemd-analyze", "verify", "--man=no", installed)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_unit_is_confined(installed):
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", installed)
    assert done.returncode == 0, done.stdout[-300:]


def test_the_unit_runs_commands_that_the_binary_has():
    # A command before it would be tried again for ever when the configuration is wrong: only the server's own exit code prevents that.
    assert not unit_lines("ExecStartPre")
    for command in unit_lines("ExecStart"):
        _, *arguments = shlex.split(command)
        assert run(binary(), *arguments, "--help").returncode == 0, command


def test_the_unit_gives_the_server_time_to_end():
    seconds = int(unit_lines("TimeoutStopSec")[0].removesuffix("s"))
    assert seconds > 1 + 2 * 15, "SHUTDOWN_DELAY and twice SHUTDOWN_TIMEOUT"


def test_the_server_takes_the_settings_of_the_unit(tmp_path):
    environment = env_file() | dict(pair.split("=", 1) for pair in unit_lines("Environment"))
    assert unknown(environment) == set()
    secrets = {name.removesuffix("_FILE") for name in environment if name.endswith("_FILE")}
    assert all(settings()[name] for name in secrets)
    (tmp_path / "master-key").write_text("ab" * 32)
    here = {name: value.replace("%d", str(tmp_path)) for name, value in environment.items()}
    done = config_check(here, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "production at https://grantex.example.com" in done.stdout


def test_the_embedded_store_lies_where_the_unit_may_write():
    state, = unit_lines("StateDirectory")
    assert env_file()["DATABASE_URL"].startswith(f"sqlite:/var/lib/{state}/")
