"""What `requests` and urllib3 need to stand on the host's HTTP: applied to their modules when a program imports them.

The TLS is the host's: certificates are always checked there, and settings of the library's change nothing.
"""

import socket

from ._http_client import Wire

socket.has_ipv6 = False  # urllib3 tries a socket out to be sure, and a socket ends the sandbox


def _connection(module):
    """`urllib3.connection`: connections without sockets, and HTTPS although there is no `ssl`."""

    def new_conn(self):
        return Wire(self._capsule_scheme, self.host, self.port, self.timeout)

    class HTTPSConnection(module.HTTPConnection):
        """A connection whose TLS is the host's."""

        default_port = 443
        _capsule_scheme = "https"

        def __init__(self, host, port=None, **settings):
            known = ("timeout", "source_address", "blocksize", "socket_options", "proxy", "proxy_config")
            super().__init__(host, port, **{name: settings[name] for name in known if name in settings})
            self.__dict__.update({name: value for name, value in settings.items() if name not in known})

        def connect(self):
            super().connect()
            self.is_verified = True

        def set_cert(self, *_, **__):
            pass

    module.HTTPConnection._new_conn = new_conn
    module.HTTPConnection.is_connected = property(lambda self: self.sock is not None)
    module.HTTPSConnection = module.VerifiedHTTPSConnection = HTTPSConnection


def _certificates(module):
    """`certifi.core`: a name for a file that nobody needs here, without unpacking it."""
    module.where = lambda: "/packages/certifi/cacert.pem"


def _adapters(module):
    """`requests.adapters`: no look at files of certificates."""
    module.HTTPAdapter.cert_verify = lambda *_: None


PATCHES = {"urllib3.connection": _connection, "certifi.core": _certificates, "requests.adapters": _adapters}
"""By the name of a module: what is done to it once it is loaded."""
