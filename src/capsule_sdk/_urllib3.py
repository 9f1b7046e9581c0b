"""urllib3, if it is installed for the guest, over the host's HTTP, and with it `requests` and others.

urllib3 opens its sockets itself. What opens them is replaced when its module `urllib3.connection` is loaded, wherever
it comes from; the rest of it is as it was written. Nobody looks for certificates: they are the host's.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import socket
import sys

from ._http_client import Wire


class _LateWire(Wire):
    """Sends when it is read: urllib3 says only then how long the response may take."""

    _asked = None

    def _exchange(self, *asked):
        self._asked = asked
        return b""

    def makefile(self, mode="rb", buffering=None, **_):
        if self._asked is not None:
            asked, self._asked = self._asked, None
            self._received = super()._exchange(*asked)
        return super().makefile(mode)


class _Patching(importlib.abc.Loader):
    """Loads a module as it would be, and changes it then."""

    def __init__(self, loader, patch):
        self.loader, self.patch = loader, patch

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        self.patch(module)


class _Finder(importlib.abc.MetaPathFinder):
    """Stands before all others, finds a few modules by them, and has a hand in how they are loaded."""

    def find_spec(self, name, path=None, target=None):
        if name not in _PATCHES:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                spec.loader = _Patching(spec.loader, _PATCHES[name])
                return spec
        return None


def _connect(module):
    """`urllib3.connection`: connections without sockets, and HTTPS although there is no `ssl`."""
    plain = module.HTTPConnection

    def new_connection(self):
        return _LateWire(self._capsule_scheme, self._dns_host, self.port, self.timeout)

    class HTTPSConnection(plain):
        """The TLS is the host's, and so are its certificates: what is said of them here changes nothing."""

        default_port = 443
        _capsule_scheme = "https"
        cert_file = key_file = ca_certs = ca_cert_dir = ca_cert_data = cert_reqs = None
        assert_hostname = assert_fingerprint = ssl_context = None
        is_verified = True

        def __init__(self, host, port=443, *, timeout=None, source_address=None, blocksize=16384, **rest):
            known = {name: rest[name] for name in ("socket_options", "proxy", "proxy_config") if name in rest}
            super().__init__(host, port, timeout=timeout, source_address=source_address, blocksize=blocksize, **known)

        def set_cert(self, *_, **__):
            pass

    plain._new_conn = new_connection
    plain.is_connected = property(lambda self: self.sock is not None)
    HTTPSConnection.__module__ = module.__name__
    module.HTTPSConnection = module.VerifiedHTTPSConnection = HTTPSConnection


def _name_certificates(module):
    """`certifi.core`: a name for a file that nobody needs here, without unpacking it."""
    module.where = lambda: "/packages/certifi/cacert.pem"


def _adapt(module):
    """`requests.adapters`: no look at files of certificates."""
    module.HTTPAdapter.cert_verify = lambda *_: None


_PATCHES = {"urllib3.connection": _connect, "certifi.core": _name_certificates, "requests.adapters": _adapt}
finder = _Finder()


def install():
    """Wait for it."""
    socket.has_ipv6 = False  # urllib3 would find out by making a socket
    sys.meta_path.insert(0, finder)
