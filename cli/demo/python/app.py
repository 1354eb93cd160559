"""The demo: one page that says which release answers. Needs nothing but Python 3."""

import html
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MESSAGE = "Hello from the first revision"
COLOUR = "#2d6cdf"

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Switchback demo</title>
<style>
  body {{ font: 1.1rem/1.5 system-ui, sans-serif; margin: 15vh auto; max-width: 34rem; padding: 0 1rem; }}
  h1 {{ color: {colour}; }}
  dt {{ float: left; width: 8rem; color: #666; }}
</style>
<h1>{message}</h1>
<p>{greeting}</p>
<dl>
  <dt>Release</dt><dd>{release}</dd>
  <dt>Revision</dt><dd>{commit}</dd>
  <dt>Service</dt><dd>{service} in {environment}</dd>
</dl>
</html>
"""


class Demo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/healthz":
            return self.answer("ok", "text/plain")
        variables = {name: html.escape(os.environ.get(name, "")) for name in (
            "GREETING", "SWITCHBACK_RELEASE", "SWITCHBACK_COMMIT", "SWITCHBACK_SERVICE", "SWITCHBACK_ENVIRONMENT",
        )}
        page = PAGE.format(
            message=MESSAGE,
            colour=COLOUR,
            greeting=variables["GREETING"] or "Set the variable GREETING, and it stands here.",
            release=variables["SWITCHBACK_RELEASE"],
            commit=variables["SWITCHBACK_COMMIT"][:7],
            service=variables["SWITCHBACK_SERVICE"],
            environment=variables["SWITCHBACK_ENVIRONMENT"],
        )
        return self.answer(page, "text/html; charset=utf-8")

    def answer(self, text, content_type):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    port = int(os.environ["PORT"])
    print(f"listening on {port}", flush=True)
    ThreadingHTTPServer(("127.0.0.1", port), Demo).serve_forever()
