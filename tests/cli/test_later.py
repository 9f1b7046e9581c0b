"""Modules that a command loads when they are asked for something: as if they had been loaded, but later."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

import capsule
from capsule._guest.cache import CompiledGuest
from capsule.cli.later import LATER
from capsule.cli.promises import PROMISED
from keeping import Run
from loops import LOOPS

SRC = str(Path(capsule.__file__).parents[1])
START = "import sys\nsys.modules.pop('tokenize', None)\nfrom capsule.cli.later import StandIn, put_off\nput_off()\n"
"""The Python of 3.13 loads one of them where it is given a program as a word."""


def run(code: str, *words: str) -> str:
    """What a process prints in which modules are put off."""
    env = {**os.environ, "PYTHONPATH": SRC}
    command = [sys.executable, "-c", START + code, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@pytest.mark.parametrize("name", sorted(LATER))
def test_every_name_is_what_it_is(name: str) -> None:
    """A module that was put off is the same module, with all that Python's own import gives it."""
    look = f"""
def look(module):
    spec = module.__spec__
    found = [module.__file__, module.__cached__, module.__package__, module.__name__, spec.origin, spec.name, spec.parent]
    return [*found, dir(module), sorted(vars(module)), module.__doc__, type(module.__loader__), type(spec.loader), repr(module)]
import {name}
"""
    later = f"""
module = sys.modules[{name!r}]
assert type(module) is StandIn
dir(module)
assert type(module) is type(sys) and sys.modules[{name!r}] is module
print(look(module))
"""
    assert run(look + later) == run(f"sys.meta_path.pop(0)\n{look}print(look(sys.modules[{name!r}]))")


def test_nothing_is_loaded_before(guest: CompiledGuest, run_at_once: Run, cache: Path, write) -> None:
    """A run of a plain file imports all of them and loads none, once what they are asked for is kept.

    The pathlib of 3.12 asks for another one.
    """
    (cache / Path(guest.file).parent.name).symlink_to(Path(guest.file).parent)
    code = f"""
from capsule.cli.main import main
sys.argv[1:] = ["run", {write("hello.py", "def main(): return 'here'")!r}]
try: main()
except SystemExit as end: assert end.code == 0
from capsule.cli.later import LATER, StandIn
print(sorted(name for name in LATER if name in sys.modules and type(sys.modules[name]) is not StandIn))
"""
    asked = ["fnmatch"] if sys.version_info[:2] == (3, 12) else []
    assert run_at_once(code) == f"here\n{sorted(['ast', 'dis', 'tokenize', *asked])}"
    assert [run_at_once(code) for _ in range(3)] == [f"here\n{asked}"] * 3


@pytest.mark.parametrize("name", ["__path__", "nothing"])
def test_a_name_that_is_not_there(name: str) -> None:
    """It is missing as ever."""
    code = f"import base64\ntry: base64.{name}\nexcept AttributeError as error: print(error)"
    expected = "__path__" if name == "__path__" else "module 'base64' has no attribute 'nothing'"
    assert run(code) == expected


QUESTIONS = {
    "a star": "from base64 import *\nassert b64encode(b'a') == b'YQ=='",
    "a star without __all__": "from ssl import *\nassert TLSVersion and create_default_context",
    "a name": "from base64 import b64encode\nassert b64encode(b'a') == b'YQ=='",
    "setting": "import copy\ncopy.deepcopy = 5\nassert copy.deepcopy == 5 and copy.copy",
    "deleting": "import copy\ndel copy.deepcopy\nassert copy.copy and not hasattr(copy, 'deepcopy')",
    "a patch": "import ssl\nfrom unittest import mock\nwith mock.patch('ssl.create_default_context') as it: assert ssl.create_default_context is it\nassert ssl.create_default_context is not it",
    "its own text": "import base64\nassert base64.b64encode and 'Base16' in base64.__doc__",
    "loading anew": "import importlib, base64\nassert importlib.reload(base64) is base64 and base64.b64encode and base64.b64decode",
    "loading anew later": "import importlib, base64\nbase64.b64encode\nassert importlib.reload(base64) is base64 and base64.b64encode",
    "a spec": "import importlib.util, base64\nassert importlib.util.find_spec('base64').origin == base64.__file__",
    "its code": "import base64, inspect, pkgutil\nassert inspect.getsource(base64) and base64.__loader__.get_code('base64')",
    "running it": "import base64, runpy\nassert runpy.run_module('base64')['b64encode']",
    "all modules": "import base64, inspect, ssl, warnings\nwarnings.simplefilter('error')\ninspect.getmodule(inspect.currentframe())\nassert inspect.ismodule(ssl)",
    "one that was taken away": "import ssl\ndel sys.modules['ssl']\nassert ssl.TLSVersion and 'ssl' not in sys.modules",
    "pickling": "import fnmatch, pickle\nassert pickle.loads(pickle.dumps(fnmatch.fnmatch)) is fnmatch.fnmatch",
    "a class of it": "import ssl\nclass Own(ssl.SSLContext): pass\nassert type(Own(ssl.PROTOCOL_TLS_CLIENT)) is Own",
    "as anyone": "from ssl import SSLContext\nimport ssl\nassert type(SSLContext(ssl.PROTOCOL_TLS_CLIENT)) is SSLContext is ssl.SSLContext",
    "a package of it": "import asyncio\nassert asyncio.sslproto is sys.modules['asyncio.sslproto'] and asyncio.sslproto.SSLProtocol",
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_whoever_asks(question: str) -> None:
    """Each gets the answer of the module itself."""
    run(QUESTIONS[question])


def test_none_asks_for_each_other() -> None:
    """What one loads besides may ask another, and that one never asks back, by whatever way: threads could wait for each
    other for ever.
    """
    asked = {name: set(run(f"{ASKS}print(*asked_by({name!r}))").split()) for name in sorted(LATER)}
    assert asked["asyncio.sslproto"] == {"ssl"}
    assert asked["base64"] == set()
    assert [(one, two) for one, those in asked.items() for two in those if one in asked[two]] == []


ASKS = f"""
import importlib
LATER = {sorted(LATER)!r}
def loaded(): return {{name for name in LATER if name in sys.modules and type(sys.modules[name]) is not StandIn}}
def asked_by(name):
    module = importlib.import_module(name)
    before = loaded()
    dir(module)
    return loaded() - before - {{name}}
"""


def test_another_thread_waits_for_the_rest(tmp_path: Path) -> None:
    """What is there already is not given out before all is."""
    (tmp_path / "base64.py").write_text(
        "import time\ndef early(): return late\ntime.sleep(0.5)\nlate = 'whole'\n", "utf-8"
    )
    code = f"""
sys.path.insert(0, {str(tmp_path)!r})
import base64, threading, time
first = threading.Thread(target=lambda: base64.late)
first.start()
time.sleep(0.2)
print(base64.early())
first.join()
"""
    assert run(code) == "whole"


def test_another_thread_waits_for_a_base(tmp_path: Path) -> None:
    """And for all else that gives way: it is done before anybody sees that the module is loaded."""
    (tmp_path / "has.py").write_text("class First:\n    word = 1\n", "utf-8")
    code = f"""
sys.path.insert(0, {str(tmp_path)!r})
import ast, inspect, has, threading, time
import capsule.cli.later as later
def slow(module, keep=later.keep_promises):
    time.sleep(0.3)
    keep(module)
later.keep_promises = slow
first = threading.Thread(target=lambda: ast.parse)
first.start()
time.sleep(0.1)
print(inspect.getsource(has.First).split()[1])
first.join()
"""
    assert run(code) == "First:"


def test_a_finder_of_the_older_kind() -> None:
    """Whatever it finds, nothing is put off behind its back."""
    code = """
import sys, warnings
warnings.simplefilter("ignore")
class Old: find_module = staticmethod(lambda name, path=None: None)
sys.meta_path.insert(1, Old())
import fnmatch
print(type(fnmatch).__name__, fnmatch.fnmatch("a", "*"))
"""
    assert run(code) == "module True"


def test_one_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Half of it is not there, as half of a module that could not be imported is not."""
    (tmp_path / "base64.py").write_text("half = 1\nraise ImportError('no')\n", "utf-8")
    code = f"""
sys.path.insert(0, {str(tmp_path)!r})
import base64
for _ in range(2):
    try: base64.half
    except ImportError as error: print(error)
"""
    assert run(code) == "no\nno"


def test_one_that_fails_is_tried_again() -> None:
    """As an import is."""
    code = """
import ssl, importlib.machinery
real = importlib.machinery.ExtensionFileLoader.create_module
def fail(self, spec): raise ImportError("not today")
importlib.machinery.ExtensionFileLoader.create_module = fail
for _ in range(2):
    try: ssl.TLSVersion
    except ImportError as error: print(error)
importlib.machinery.ExtensionFileLoader.create_module = real
assert ssl.TLSVersion and ssl.create_default_context
"""
    assert run(code) == "not today\nnot today"


def test_many_threads_ask_at_once() -> None:
    """There is one module, and all of them get it whole."""
    code = """
import threading, ssl
sys.setswitchinterval(1e-6)
barrier, found = threading.Barrier(20), []
def ask():
    barrier.wait()
    found.append((ssl.create_default_context.__module__, ssl.TLSVersion, ssl.get_server_certificate))
threads = [threading.Thread(target=ask) for _ in range(20)]
for each in threads: each.start()
for each in threads: each.join()
assert len(found) == 20 and len(set(found)) == 1, found
assert type(ssl) is type(sys)
"""
    for _ in range(5):
        run(code)


PROMISES = {
    ("anyio._backends._asyncio", "convert_ipv6_sockaddr"): "asked(('::1', 80, 0, 0)) == ('::1', 80)",
    ("anyio._backends._asyncio", "create_memory_object_stream"): "len(asked[int](1)) == 2",
    ("anyio._core._exceptions", "dedent"): "asked('  a') == 'a'",
    ("anyio.abc._sockets", "IPv4Address"): "isinstance(asked('1.2.3.4'), asked) and not isinstance(1, asked)",
    ("anyio.abc._sockets", "IPv6Address"): "str(asked('::1')) == '::1' and not isinstance(1, asked)",
    ("pathlib", "urlquote_from_bytes"): "who.Path('/a b').as_uri() == 'file:///a%20b'",
}
"""Who was promised what, by the name that it has there, and what it can do with it."""


@pytest.mark.parametrize("of", sorted(PROMISES), ids=lambda of: of[1])
def test_what_is_promised(of: tuple[str, str]) -> None:
    """It is there when something is done with it, and does what it stands for."""
    who, name = of
    if who == "pathlib" and sys.version_info >= (3, 12):
        pytest.skip("it asks for that when it needs it")
    code = f"""
import importlib
from capsule.cli.promises import PROMISED
who = importlib.import_module({who!r})
asked = vars(who)[{name!r}]
(module,) = {{module for asks, module, name in PROMISED if asks == {who!r} and {name!r}.endswith(name)}}
assert type(sys.modules[module]) is StandIn and type(asked).__name__ == "Promise"
import copy, pickle
assert {PROMISES[of]}
real = vars(sys.modules[module])[asked.__name__]
assert type(sys.modules[module]) is type(sys) and vars(who)[{name!r}] is real
assert asked == real and real == asked and hash(asked) == hash(real)
assert copy.copy(asked) is copy.deepcopy(asked) is pickle.loads(pickle.dumps(asked)) is real
assert {PROMISES[of]}
"""
    run(code)


def test_all_that_is_promised_is_tested() -> None:
    """By who takes it, and as what."""
    assert {(who, name.removeprefix("url")) for who, name in PROMISES} == {(who, name) for who, _, name in PROMISED}


def test_a_union_with_what_is_promised() -> None:
    """As anyio makes one for its annotations."""
    code = """
import ipaddress, typing
import anyio.abc._sockets as sockets
assert type(ipaddress) is StandIn
promised, IPAddressType = vars(sockets)["IPv4Address"], sockets.IPAddressType
assert (promised | int).__args__ == (ipaddress.IPv4Address, int)
assert isinstance(5, promised | int) and issubclass(ipaddress.IPv4Address, promised)
assert not issubclass(int, promised) and typing.Union[int, promised]
assert IPAddressType.__args__ == sockets.IPAddressType.__args__ and type(IPAddressType) is not type(sockets.IPAddressType)
for each in ("name", ipaddress.ip_address("::1"), ipaddress.ip_address("1.2.3.4")):
    assert isinstance(each, IPAddressType)
assert not isinstance(5, IPAddressType) and IPAddressType.__args__ == (str, ipaddress.IPv4Address, ipaddress.IPv6Address)
import anyio
assert typing.get_type_hints(anyio.connect_tcp)["remote_host"] == str | ipaddress.IPv4Address | ipaddress.IPv6Address
"""
    run(code)


BY = ("import ast", "import ast, importlib; importlib.reload(ast)", "import ast; ast.__loader__.exec_module(ast)")


@pytest.mark.parametrize("way", BY)
def test_a_base_of_a_class(tmp_path: Path, way: str) -> None:
    """inspect derives a class from one of ast's, and finds sources of classes with it, whoever loads ast."""
    (tmp_path / "has.py").write_text("class First:\n    class Second:\n        word = 1\n", "utf-8")
    code = f"""
sys.path.insert(0, {str(tmp_path)!r})
import inspect, has
{way}
assert inspect.getsource(has.First.Second) == "    class Second:\\n        word = 1\\n"
import ast
finder = getattr(inspect, "_ClassFinder", ast.NodeVisitor)
assert issubclass(finder, ast.NodeVisitor) and finder.__mro__[-2:] == (ast.NodeVisitor, object)
"""
    run(code)


TLS = """
import anyio, ssl
assert "_ssl" not in sys.modules or sys.argv[4] == "trio"
from anyio.streams.tls import TLSListener
certificate, key, trusted, backend = sys.argv[1:]
async def serve(stream):
    async with stream:
        await stream.send(b"hello")
async def main():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.listeners[0].extra(anyio.abc.SocketAttribute.local_port)
    async with TLSListener(listener, context) as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        ours = ssl.create_default_context(cafile=trusted)
        async with await anyio.connect_tcp("127.0.0.1", port, ssl_context=ours, tls_hostname="localhost") as stream:
            print(await stream.receive())
        tasks.cancel_scope.cancel()
anyio.run(main, backend=backend)
"""

OWN_TLS = """
import asyncio, ssl
certificate, key, trusted, _ = sys.argv[1:]
async def serve(reader, writer):
    writer.write(b"hello")
    writer.close()
async def main():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    ours = ssl.create_default_context(cafile=trusted)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=ours, server_hostname="localhost")
    print(await reader.read())
    writer.close()
    server.close()
asyncio.run(main())
"""


@pytest.mark.parametrize(("code", "backend"), [*((TLS, backend) for backend in LOOPS), (OWN_TLS, "asyncio")])
def test_tls(tmp_path: Path, code: str, backend: str) -> None:
    """What it was put off for works, on both ends, by anyio's way and by asyncio's own."""
    ca = trustme.CA()
    names = [str(tmp_path / name) for name in ("certificate", "key", "trusted")]
    made = ca.issue_cert("localhost")
    made.cert_chain_pems[0].write_to_path(names[0])
    made.private_key_pem.write_to_path(names[1])
    ca.cert_pem.write_to_path(names[2])
    assert run(code, *names, backend) == "b'hello'"


def test_certificates_of_the_system() -> None:
    """On macOS and Windows the client takes truststore's contexts, which are derived from ssl's."""
    code = """
import truststore, ssl
context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
assert type(context) is truststore.SSLContext and isinstance(context, ssl.SSLContext)
"""
    run(code)
