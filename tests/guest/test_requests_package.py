"""`requests` and the urllib3 below it, whose sources are brought into the sandbox as text: they go by way of the host."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from capsule import Policy, Runtime
from capsule._guest.cache import CompiledGuest
from host.servers import Server, serving
from host.test_tls import CA, speaking_tls, trusting

PACKAGES = ("requests", "urllib3", "idna", "charset_normalizer")
SOURCE = """
from capsule import task
import importlib.abc, importlib.machinery, sys
class Given(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    def __init__(self, modules): self.modules = modules
    def find_spec(self, name, path=None, target=None):
        found = self.modules.get(name)
        return found and importlib.machinery.ModuleSpec(name, self, is_package=found[0], origin=name)
    def is_package(self, name): return self.modules[name][0]
    def get_source(self, name): return self.modules[name][1]
    def get_code(self, name): return compile(self.get_source(name), name, "exec", dont_inherit=True)
@task
def plain(modules, base):
    sys.meta_path.insert(len(sys.meta_path) - 1, Given(modules))
    import requests
    session = requests.Session()
    found = [requests.get(base + "/", params={"a": "b"}).text, requests.post(base + "/echo", json={"x": [1]}).json()["body"],
             requests.get(base + "/gzip").text[:6], requests.get(base + "/chunked").text,
             requests.get(base + "/redirect/302/root").text, requests.get(base + "/missing").status_code,
             session.get(base + "/cookie").status_code, session.get(base + "/echo").json()["head"].count("a=1"),
             requests.post(base + "/mirror", data=bytes(range(256))).content == bytes(range(256))]
    for url, more in ((base + "/never", {"timeout": 0.2}), ("http://example.com/", {}), (base + "/no-http", {})):
        try: requests.get(url, **more)
        except requests.RequestException as error: found.append([type(error).__name__, "allowed_hosts" in str(error)])
    return found
@task
def refused(modules, library):
    sys.meta_path.insert(len(sys.meta_path) - 1, Given(modules))
    import requests, urllib3
    match library:
        case "requests": requests.get("http://example.com/")
        case "urllib3": urllib3.request("GET", "http://example.com/")
        case "once": urllib3.request("GET", "http://example.com/", retries=False)
@task
def broken(modules, base, gone):
    sys.meta_path.insert(len(sys.meta_path) - 1, Given(modules))
    import requests
    found = []
    for url, timeout in ((base + "/short", None), (gone, None), (base + "/slow", (0.05, 5)), (base + "/never", (5, 0.05))):
        try: found.append(requests.get(url, timeout=timeout).text)
        except requests.RequestException as error: found.append(type(error).__name__)
    return found
@task
def over_tls(modules, base, other):
    sys.meta_path.insert(len(sys.meta_path) - 1, Given(modules))
    import requests, urllib3
    found = [urllib3.PoolManager().request("GET", base).data.decode(), requests.get(base, verify=False).text]
    try: requests.get(other, verify=False)
    except requests.ConnectionError as error: found.append("no secure connection" in str(error))
    return found
"""


@pytest.fixture(scope="module")
def modules() -> dict[str, Any]:
    """The sources of the packages, by the names of their modules."""
    # What comes as text alone has no data files, so the certificates, which nobody reads inside, are but a name.
    found: dict[str, Any] = {"certifi": (True, "def where(): return 'cacert.pem'")}
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        root = Path(spec.origin).parent
        for file in root.rglob("*.py"):
            parts = file.relative_to(root.parent).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            found[".".join(parts[:-1] if is_package else parts)] = is_package, file.read_text("utf-8")
    return found


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as opened:
        opened.redirects["root"] = "/"
        yield opened


POLICY = Policy(allowed_hosts=["127.0.0.1", "localhost"], ram="256MB", compute="HIGH")


@pytest.mark.slow
async def test_requests(guest: CompiledGuest, write, server: Server, modules) -> None:
    """What programs do with it, and what goes wrong in its own words, with the policy's."""
    file = write("t.py", SOURCE)
    async with Runtime(policy=POLICY) as runtime:
        found = await runtime.run(f"{file}:plain", modules, server.url(""))
    assert found == [
        *("hello", '{"x": [1]}', "packed", "abcde", "hello", 404, 200, 1, True),
        *(["ReadTimeout", False], ["ConnectionError", True], ["ConnectionError", False]),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("library", ["requests", "urllib3", "once"])
async def test_refused(guest: CompiledGuest, write, modules, library: str) -> None:
    """A refusal that came out of it is one, and is not tried again."""
    file = write("t.py", SOURCE)
    async with Runtime(policy=POLICY.with_settings({"max_retries": 1})) as runtime:
        outcome = await (await runtime.spawn(f"{file}:refused", modules, library)).outcome()
    assert outcome.error is not None
    assert (outcome.error.error_type, outcome.execution.retries) == ("denied", 0), outcome.error
    assert 'allowed_hosts=["example.com"] would allow it' in outcome.error.message


@pytest.mark.slow
async def test_broken(guest: CompiledGuest, write, server: Server, modules) -> None:
    """What is cut off, refused or late: the errors that it has outside, and the right one of two timeouts."""
    with serving() as closed:
        gone = closed.url("/")
    async with Runtime(policy=POLICY) as runtime:
        found = await runtime.run(f"{write('t.py', SOURCE)}:broken", modules, server.url(""), gone)
    assert found == ["ChunkedEncodingError", "ConnectionError", "slow", "ReadTimeout"]


@pytest.mark.slow
async def test_over_tls(guest: CompiledGuest, write, modules) -> None:
    """The host's certificates hold, whatever the guest says of its own."""
    file = write("t.py", SOURCE)
    with speaking_tls("127.0.0.1") as server, speaking_tls("127.0.0.2") as other:
        async with Runtime(policy=POLICY) as runtime:
            runtime._http.ssl_context = trusting(CA)
            found = await runtime.run(f"{file}:over_tls", modules, server.url("/"), other.url("/"))
    assert found == ["hello", "hello", True]
