"""Fixtures: one server per backend and test module, developers on it, and a private cluster."""

import contextlib
import os

import pytest

from harness.developer import Developer
from harness.postgres import Cluster, fresh_database
from harness.server import Server

BACKENDS = ("sqlite", "postgres")


@pytest.fixture(scope="session")
def admin_url():
    url = os.environ.get("GRANTEX_TEST_POSTGRES_URL")
    assert url, "GRANTEX_TEST_POSTGRES_URL is not set; run scripts/e2e, which starts PostgreSQL"
    return url


@contextlib.contextmanager
def running_server(backend, directory, admin_url, database_url=None, **settings):
    """A started server, on a fresh database unless one is given; it must end in order unless the test ended it itself."""
    directory.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        if database_url is None and backend == "postgres":
            database_url = stack.enter_context(fresh_database(admin_url))
        elif database_url is None:
            database_url = f"sqlite:{directory / 'grantex.db'}"
        server = Server(directory, database_url, backend, **settings)
        stack.callback(server.close)
        yield server.start()
        server.stop()


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture(scope="module")
def server(backend, tmp_path_factory, admin_url):
    """Shared by the tests of a module; limits are off, so that they do not disturb each other."""
    with running_server(backend, tmp_path_factory.mktemp(backend), admin_url) as started:
        yield started


@pytest.fixture
def own_server(backend, tmp_path, admin_url):
    """Starts servers that a test may configure, stop and kill as it likes."""
    with contextlib.ExitStack() as stack:
        def start(**options):
            return stack.enter_context(running_server(backend, tmp_path / "server", admin_url, **options))

        yield start


@pytest.fixture
def sign_up(server):
    """Signs developers up on the shared server."""
    with contextlib.ExitStack() as stack:
        def sign_up(mode="sandbox", name=None, on=None):
            developer = Developer(on or server, mode, name)
            stack.callback(developer.close)
            return developer

        yield sign_up


@pytest.fixture
def sandbox(sign_up):
    return sign_up("sandbox")


@pytest.fixture
def live(sign_up):
    return sign_up("live")


@pytest.fixture
def cluster():
    private = Cluster()
    yield private
    private.destroy()
