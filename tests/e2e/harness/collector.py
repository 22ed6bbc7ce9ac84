"""A collector of traces: takes OTLP over HTTP, or refuses, or hangs, as it is told."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from .waiting import wait_until


class Collector:
    """`status` is what it answers; while `hangs` is set, nothing."""

    def __init__(self):
        self.status = 200
        self.spans: list[dict] = []
        self.headers: list[dict[str, str]] = []
        self.requests = 0
        self.hangs = threading.Event()
        self.closing = threading.Event()
        self.lock = threading.Lock()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.take(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                while collector.hangs.is_set() and not collector.closing.wait(0.05):
                    pass
                self.send_response(collector.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()

    def take(self, path: str, headers: dict[str, str], body: bytes):
        assert path == "/v1/traces" and headers["content-type"] == "application/x-protobuf"
        message = ExportTraceServiceRequest.FromString(body)
        with self.lock:
            self.requests += 1
            self.headers.append(headers)
            for resource in message.resource_spans:
                about = attributes(resource.resource)
                for scope in resource.scope_spans:
                    self.spans += [span(each, about) for each in scope.spans]

    def of(self, trace_id: str) -> list[dict]:
        with self.lock:
            return [span for span in self.spans if span["trace"] == trace_id]

    def wait_for(self, trace_id: str, *names: str) -> list[dict]:
        """The spans of a trace, once all of these are among them."""
        wait_until(lambda: {*names} <= {span["name"] for span in self.of(trace_id)}, f"the spans {names} of {trace_id}", seconds=30)
        return self.of(trace_id)


def attributes(of) -> dict:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in of.attributes}


def span(of, about: dict) -> dict:
    return {
        "trace": of.trace_id.hex(), "id": of.span_id.hex(), "parent": of.parent_span_id.hex(), "name": of.name,
        "kind": of.kind, "began": of.start_time_unix_nano, "ended": of.end_time_unix_nano, "is_error": of.status.code == 2,
        "attributes": attributes(of), "service": about["service.name"],
    }
