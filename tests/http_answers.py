"""A real HTTP server on this machine that answers each path with what a test gives it."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def answering(answers):
    """Yields its port.

    Args:
        answers: Path to what it says: None for an empty 200, a number for a status, all else as JSON. `*` stands for
            any other path, which is a 404 otherwise.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            said = answers.get(self.path.partition("?")[0], answers.get("*", 404))
            self.send_response(said if isinstance(said, int) else 200)
            self.end_headers()
            if said is not None and not isinstance(said, int):
                self.wfile.write(json.dumps(said).encode())

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))  # seconds to its end
        thread.start()
        yield running.server_port
        running.shutdown()
        thread.join()
