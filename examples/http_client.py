"""A task that fetches from one host and from no other. Run it with `python examples/http_client.py`.

It brings a small server of its own, so it runs without a network.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anyio

from capsule import Runtime, task


@task(timeout="10s", allowed_hosts=["localhost"])
async def prices(base: str) -> list[str]:
    import asyncio

    from capsule import http

    names = ["apple", "bread", "cheese"]
    responses = await asyncio.gather(*(http.aget(f"{base}/price", params={"of": name}) for name in names))
    return [f"{name}: {response.json()['cents']}" for name, response in zip(names, responses, strict=True)]


@task(timeout="10s", allowed_hosts=["localhost"])
def with_the_standard_library(base: str) -> str:
    import urllib.request

    with urllib.request.urlopen(f"{base}/price?of=apple") as response:  # noqa: S310 - the host checks it
        return f"{response.status} {response.read().decode()}"


@task(timeout="10s", allowed_hosts=["localhost"])
def elsewhere() -> str:
    from capsule.http import Denied, get

    try:
        return get("http://example.com/").text()
    except Denied as error:
        return str(error)


class Shop(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"cents": 10 * len(self.path)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


async def main() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Shop) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://localhost:{server.server_port}"
        async with Runtime() as runtime:
            ref = await runtime.spawn(prices, base)
            outcome = await ref.outcome()
            print(*outcome.result, sep="\n")
            for request in outcome.execution.host_requests:
                print(request.method, request.status, request.bytes, "bytes")
            print(await runtime.run(with_the_standard_library, base))
            print(await runtime.run(elsewhere))
        server.shutdown()


if __name__ == "__main__":
    anyio.run(main)
