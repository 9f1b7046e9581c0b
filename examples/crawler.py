"""A crawler that reads hostile pages in sandboxes, and goes on when they break one.

Run it with `python examples/crawler.py`. It starts a small site on loopback and crawls it. Fetching is a tool of the
host, for this one site; parsing happens in two supervised actors. A page that breaks its parser is tried twice, then
the parser begins anew. One that was broken by two pages ends: a monitor tells, and another parser takes its place.
"""

import html.parser
import json
import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urljoin, urlsplit

import anyio

from capsule import ActorRef, ActorStopped, Runtime, Stopped, TaskFailed, ToolError, actor

PARSERS = 2


# In the sandbox: a parser of the careless sort.


class Reader(html.parser.HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.url, self.tag, self.text, self.links = url, "", {}, []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str]]) -> None:
        self.tag = tag
        if tag == "a":
            self.links.append(urljoin(self.url, dict(attrs)["href"]))

    def handle_data(self, data: str) -> None:
        self.text.setdefault(self.tag, data)


@actor(compute="HIGH", ram="64MB", timeout="1s", max_retries=1, on_failure="restart", max_restarts=1)
class Parser:
    def read(self, url: str) -> dict[str, Any]:
        from capsule import tools  # only there inside the sandbox

        reader = Reader(url)
        reader.feed(tools.fetch(url))
        json.loads(reader.text.get("script", "{}"))  # nested deeply enough, it ends the interpreter
        re.fullmatch(r"(\w+,?)+", reader.text.get("em", "none"))  # and this can take longer than a life
        return {"title": reader.text["title"], "links": reader.links}


# On the host: hand out, fetch, keep account.


class Crawl:
    def __init__(self, runtime: Runtime, origin: str) -> None:
        self.runtime, self.origin = runtime, origin
        self.titles: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self.ended: list[str] = []
        self.at_work = 0
        self.put, self.urls = anyio.create_memory_object_stream[str](1000)

    async def run(self) -> None:
        self.add(f"{self.origin}/")
        with self.urls:
            async with anyio.create_task_group() as group:
                for _ in range(PARSERS):
                    group.start_soon(self.work)

    def add(self, url: str) -> None:
        if url not in self.titles:
            self.titles[url] = "?"
            self.put.send_nowait(url)
            self.at_work += 1

    async def work(self) -> None:
        parser = await self.hire()
        async for url in self.urls:
            try:
                page = await parser.read(url)
            except ActorStopped:  # the page before was one too many; this one was not begun
                parser = await self.hire()
                self.put.send_nowait(url)
                continue
            except TaskFailed as failed:
                self.failed[url] = f"{failed.outcome.error.error_type}: {failed.outcome.error.message}"
            else:
                self.titles[url] = page["title"]
                for link in page["links"]:
                    self.add(link)
            self.at_work -= 1
            if not self.at_work:
                self.put.close()

    async def hire(self) -> ActorRef:
        parser = await self.runtime.spawn(Parser, tools=[self.fetch])
        parser.monitor(self.hear)
        return parser

    def hear(self, stopped: Stopped) -> None:
        if stopped.failed:
            self.ended.append(f"{stopped.task_name}: {stopped.reason}")

    def fetch(self, url: str) -> str:
        """The tool. What a page links to is no more to be trusted than the page: one origin, and no redirects."""
        address = urlsplit(url)
        if f"{address.scheme}://{address.netloc}" != self.origin:
            raise ToolError(f"{address.netloc} is not the site that we crawl")
        with closing(HTTPConnection(address.netloc, timeout=5)) as connection:
            connection.request("GET", address.path or "/")
            with connection.getresponse() as answer:
                if answer.status != 200:
                    raise ToolError(f"the site answered {answer.status}")
                return answer.read(1_000_000).decode("utf-8", "replace")


# A site to crawl.

PAGES = {
    "/": '<title>Home</title> <a href="news">News</a> <a href="shop/">Shop</a> <a href="gone">Old page</a>',
    "/news": '<title>News</title> <em>rain,snow</em> <a href="deep">More</a> <a href="/">Home</a>',
    "/shop/": '<title>Shop</title> <a href="bread">Bread</a> <a href="deep">Deep</a> <a href="slow">Slow</a>',
    "/shop/bread": '<title>Bread</title> <a href="http://169.254.169.254/latest/meta-data/">Free bread</a>',
    "/deep": f"<title>Deep</title> <script>{'[' * 100_000}</script>",
    "/shop/deep": f"<title>Deep, too</title> <script>{'[' * 100_000}</script>",
    "/shop/slow": f"<title>Slow</title> <em>{'a' * 60}!</em>",
}


class Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        page = PAGES.get(self.path)
        body = (page or "").encode()
        self.send_response(404 if page is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def site() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


async def main() -> None:
    with site() as origin:
        async with Runtime() as runtime:
            crawl = Crawl(runtime, origin)
            await crawl.run()
        for url, title in sorted(crawl.titles.items()):
            print(url.removeprefix(origin), "|", crawl.failed.get(url, title))
        print("parsers that ended before the crawl:", len(crawl.ended))


if __name__ == "__main__":
    anyio.run(main)
