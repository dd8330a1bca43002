"""Where a channel's URL may lead: public addresses, and those that the operator allows.

    guard = Guard(["10.20.0.0/16"])                 # notify.allow_private
    guard.check("https://hooks.example.org/x")      # when the channel is created; Refused
    guard.addresses("hooks.example.org", 443)       # at every connection; the ones to connect to

A URL that came over the API would otherwise let its author reach what only we can reach: our own
loopback, the cluster's insides, the cloud's metadata. So every address of the name is checked, and
the connection is made to an address that was checked, not to the name again: an answer of the DNS
that changes in between (rebinding) changes nothing. An address inside another (IPv4-mapped, 6to4,
IPv4-translated, NAT64, Teredo) is checked as both. Redirects are never followed, whoever set the URL.
Source of the ranges: the IANA special-purpose address registries (RFC 6890).
"""

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable
from typing import TypeAlias

from heliograph.core.errors import ConfigError, Refused, Unavailable

URL_CHARS_MAX = 2048
# Of one name; more is no service but an attempt to keep us busy.
ADDRESSES_MAX = 16

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve: TypeAlias = Callable[[str, int], list[str]]

_CLOSED: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        # A cloud's metadata behind an address that looks public.
        "168.63.129.16/32",
        *("::/128", "::1/128", "100::/64", "2001:db8::/32", "3fff::/20", "5f00::/16"),
        *("64:ff9b:1::/48", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_TRANSLATED = ipaddress.IPv6Network("::ffff:0:0:0/96")
_CLOSED_NAMES = ("localhost", "localdomain", "metadata.google.internal", "ip6-localhost")
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?\Z")


def resolve(host: str, port: int) -> list[str]:
    """Addresses of *host*, in the system's order. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class Guard:
    """Decides by address. *allow* are CIDRs beyond the public ones. Raises ConfigError.

    mail_hosts   the operator's own mail servers (`host:port`), lent to mail channels of the API
                 wherever they are; may be replaced when the configuration is read again
    """

    def __init__(
        self,
        allow: Iterable[str] = (),
        *,
        resolve: Resolve = resolve,
        mail_hosts: Iterable[str] = (),
    ) -> None:
        self.mail_hosts = frozenset(mail_hosts)
        try:
            self._allow: tuple[Network, ...] = tuple(
                ipaddress.ip_network(one, strict=False) for one in allow
            )
        except ValueError as error:
            raise ConfigError(f"notify.allow_private: {error}") from error
        self._resolve = resolve

    def check(self, url: str, *, field: str = "url") -> None:
        """Raises Refused, naming *field*, when *url* cannot be one of a public server.

        A name that nobody knows yet passes: it is judged again at every connection.
        """
        host, port = parts(url, field=field)
        self.check_host(host, port, field=field)

    def check_host(self, host: str, port: int, *, field: str) -> None:
        """`check` for a name or an address without a URL, as mail has it."""
        try:
            self.addresses(host, port)
        except Refused as refused:
            raise Refused(refused.detail, field=field, code="address_not_allowed") from refused
        except Unavailable:
            return

    def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of *host* to connect to, all of them allowed.

        Raises Refused when one of them is not, Unavailable when there are none.
        """
        name = host.strip("[]").rstrip(".").lower()
        literal = _literal(name)
        if literal is not None:
            found = [str(literal)]
        elif self._closed_name(name):
            raise self._refusal(host, name)
        else:
            found = self._resolved(name, port)
        for text in found:
            if not self.permits(text):
                raise self._refusal(host, text)
        return found

    def permits(self, text: str) -> bool:
        """Whether the address *text* may be connected to."""
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        if any(address in network for network in self._allow):
            return True
        return all(self._open(one) for one in _inside(address))

    def _open(self, address: Address) -> bool:
        if any(address in network for network in self._allow):
            return True
        return not any(address in network for network in _CLOSED)

    def _resolved(self, name: str, port: int) -> list[str]:
        try:
            found = self._resolve(name, port)[:ADDRESSES_MAX]
        except (OSError, UnicodeError) as error:
            raise Unavailable(f"no address of {name[:200]!r} is known") from error
        if not found:
            raise Unavailable(f"no address of {name[:200]!r} is known")
        return found

    def _closed_name(self, name: str) -> bool:
        closed = any(name == one or name.endswith(f".{one}") for one in _CLOSED_NAMES)
        return closed and not any(
            ipaddress.ip_address(one) in network
            for network in self._allow
            for one in ("127.0.0.1", "169.254.169.254")
        )

    def _refusal(self, host: str, address: str) -> Refused:
        shown = host[:200] if host == address else f"{host[:200]} ({address})"
        return Refused(
            f"{shown} is not a public address; notify.allow_private lists the networks that "
            "channels may reach",
            code="address_not_allowed",
        )


def parts(url: str, *, field: str = "url") -> tuple[str, int]:
    """Host and port of *url*, read by the client that will send to it.

    Raises Refused, naming *field*, for what is no http(s) URL of a server; never repeats the URL,
    which may carry a secret.
    """
    # The client's own eyes, for what parsers disagree about; late, for most have no URL to check.
    import httpx2

    wrong = "write http://host:port/path or https://…"
    if not isinstance(url, str) or not url:
        raise Refused(f"no URL; {wrong}", field=field)
    if len(url) > URL_CHARS_MAX:
        raise Refused(f"a URL of {len(url)} characters, limit {URL_CHARS_MAX}", field=field)
    # What parsers disagree about is how a guard is led astray.
    if any(ord(char) <= 0x20 or char in '\\"<>^`{|}\x7f' for char in url):
        raise Refused(f"a URL has no spaces, controls or {chr(92)}; {wrong}", field=field)
    try:
        parsed = httpx2.URL(url)
        host, port = parsed.raw_host.decode("ascii"), parsed.port
    except (httpx2.InvalidURL, ValueError) as error:
        raise Refused(f"not a URL; {wrong}", field=field) from error
    if parsed.scheme not in {"http", "https"} or not host:
        raise Refused(f"not an http(s) URL of a server; {wrong}", field=field)
    if port is not None and not 0 < port < 65536:
        raise Refused("a port is 1 to 65535", field=field)
    if _literal(host) is None and not _NAME.match(host):
        raise Refused("the host of the URL is neither a name nor an address", field=field)
    return host, port or (443 if parsed.scheme == "https" else 80)


def _literal(host: str) -> Address | None:
    """The address that *host* writes out, in any spelling that a system would take; else None."""
    text = host.strip("[]")
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        pass
    if not re.fullmatch(
        r"(?:0[xX][0-9a-fA-F]*|[0-9]+)(?:\.(?:0[xX][0-9a-fA-F]*|[0-9]+)){0,3}", text
    ):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(text))
    except OSError:
        return None


def _inside(address: Address) -> list[Address]:
    """*address* and whatever addresses it carries."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    inner: list[Address | None] = [address.ipv4_mapped, address.sixtofour]
    if address.teredo is not None:
        inner += address.teredo
    ends_with_one = address in _NAT64 or address in _TRANSLATED
    if ends_with_one or (address in _COMPATIBLE and int(address) > 0xFFFF):
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    # A mapped address is its IPv4 one and nothing else.
    outer = [] if address.ipv4_mapped is not None else [address]
    return [*outer, *(one for one in inner if one is not None)]
