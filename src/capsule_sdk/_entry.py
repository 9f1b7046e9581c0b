"""What componentize-py turns into the guest: everything is imported and warmed up here, once, before the snapshot.

What is touched after the snapshot is copied for each sandbox, so the paths that every task takes are walked here
until the interpreter has settled: byte code specialised, caches filled, collections done.
"""

import binascii
import collections  # noqa: F401 - the imports below are there to stand ready in the snapshot
import contextlib  # noqa: F401
import dataclasses  # noqa: F401
import datetime  # noqa: F401
import enum  # noqa: F401
import functools  # noqa: F401
import itertools  # noqa: F401
import json
import linecache
import math  # noqa: F401
import random  # noqa: F401
import re  # noqa: F401
import string  # noqa: F401
import sys
import time
import traceback  # noqa: F401
import typing  # noqa: F401

from wit_world import exports

import capsule_sdk

from . import (
    _byte_code,
    _http_client,
    _loop,
    _missing,
    _packages,
    _program,
    _ready,
    _reserve,
    _session,
    _settle,
    _stdlib,
    _streams,
    _urllib3,
    _wire,
)

WARM_UP = """
from capsule import actor, task
@task(name="main", compute="LOW")
def main(text="", *rest):
    return {"text": text, "words": [len(word) for word in text.split()]}
@actor(ram="64MB")
class Warm:
    def __init__(self, name):
        self.name, self.said = name, []
    def say(self, text):
        self.said.append(text)
        return len(self.said)
"""


class Handler(exports.Handler):
    """The component's only export."""

    def handle(self, request: str) -> str:
        return _program.handle(request)


def _sleep(seconds):
    """`time.sleep` that suspends the sandbox: the C one would ask WASI for a timer, which the host refuses."""
    seconds = float(seconds)
    if not seconds >= 0:
        raise ValueError("sleep length must be non-negative")
    end = time.monotonic() + seconds
    _wire.pause(seconds)
    while (left := end - time.monotonic()) > 0:
        _wire.pause(left)


def _prepare():
    _stdlib.install(_packages.packages, _missing.why_missing)
    time.sleep = _sleep
    _loop.install()
    sys.modules["capsule"] = capsule_sdk
    sys.modules["capsule.http"] = capsule_sdk.http
    _http_client.install()
    _urllib3.install()
    import urllib.request  # noqa: F401 - it looks for HTTPS when it is imported, and stands ready in the snapshot

    _ready.prepare()
    sys.setrecursionlimit(1000)
    _streams.install()


def _first(rest, *texts):
    """A request for a sandbox that has loaded nothing."""
    return '{"program":{"path":"warm.py","texts":' + json.dumps([*map(len, texts)]) + "}," + rest + "".join(texts)


def _warm_up():
    call = '"function":"main","call":[["a b"],{}]}'
    code = binascii.b2a_qp(_byte_code.compiled(WARM_UP, "warm.py")).decode()
    for _ in range(20):
        _program.handle(_first(call, WARM_UP, code))
        _program.handle(_first(call, WARM_UP))
        _program.handle("{" + call)
    _program.handle(_first('"actor":"Warm","call":[["a"],{}]}', WARM_UP))
    for _ in range(20):
        _program.handle('["say",["a b"],{}]')
    _program.handle('{"program":{"path":"warm","source":""},"code":"text = 1","cell":1}')
    _session.warm_up(lambda code, number: _program.handle(json.dumps({"code": code, "cell": number})))
    linecache.cache.clear()
    _program._module = _program._instance = None
    del sys.modules["main"]


_prepare()
_warm_up()
_stdlib.hide_random()
_reserve.kept.clear()
_settle.settle()
_reserve.keep()  # last: what is settled is never given back
