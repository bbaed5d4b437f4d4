"""Orders, an HTTP service that tells the metrics-host in front of it what it counts. Standard library only."""

import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CATALOGUE = {"routes": [{"method": "GET", "route": "/orders/{id}", "status": 200}]}


class Orders(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.endswith("/.well-known/telemetry-vocabulary") and "telemetry-describe" in self.headers:
            return self.answer(200, CATALOGUE, {"content-type": "application/vnd.telemetry-vocabulary+json"})
        order = re.fullmatch(r"/orders/([^/]+)", self.path.partition("?")[0])
        if not order:
            return self.answer(404, {"error": "not found"}, {"telemetry-route": "unmatched"})
        headers = {"telemetry-route": "/orders/{id}"}
        try:
            self.answer(200, {"id": int(order[1])}, headers)
        except ValueError as error:
            headers["telemetry-error"] = type(error).__name__
            self.answer(500, {"error": "internal error"}, headers)

    def answer(self, status, content, headers):
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Orders)
print("listening on port", server.server_port, flush=True)
server.serve_forever()
