"""The email channel: multipart text and HTML over SMTP.

    to, from           addresses, with commas between; templates
    smarthost          host:port; TLS from the first byte on 465, or with `force_implicit_tls`
    require_tls        true: STARTTLS, or no mail
    auth_username, auth_password (or `_file`), auth_secret (CRAM-MD5), hello, tls_config
    headers            {Subject: …, Reply-To: …}; templates
    html, text         templates; an html of "" is no such part
    threading          {enabled: true}: mails of a group refer to one another

Nothing of a label can end a header: what is not printable becomes a space before it gets there, and
the message is built by the library, not as text. The Message-Id is made of the message's key, so
that a mail that is sent twice is one mail. Credentials go over TLS, or to the machine itself.
Source: Alertmanager, `email_config`; RFC 5321, 5322.
"""

import asyncio
import hashlib
import html
import ipaddress
import re
import socket
import ssl
from collections.abc import Mapping, Sequence
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, getaddresses
from typing import NamedTuple

import aiosmtplib

from heliograph.alert.model import Delivery, Integration, Message
from heliograph.core.errors import ConfigError, Refused, Unavailable
from heliograph.notify import facts, kit
from heliograph.notify.facts import Facts
from heliograph.notify.kit import Attempt, Kit
from heliograph.notify.mail_body import MailBody
from heliograph.notify.split import clean

IMPLICIT_TLS_PORT = 465
RECIPIENTS_MAX = 100
HEADER_CHARS_MAX = 900
CONNECT_S = 10.0
# Trouble before the mail itself could have been said.
_NOT_OUT = (aiosmtplib.SMTPConnectError, aiosmtplib.SMTPHeloError, ssl.SSLError)
_ADDRESS = re.compile(r"[^\s<>()\[\]\\,;:@\"]{1,64}@[^\s<>()\\,;:@\"]{1,255}\Z")
# Zero-width: what follows reads the same, and means nothing.
_BREAK = "\u200b"
_HEADER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}\Z")
# What the message has by itself, and once.
_OWN_HEADERS = {"mime-version", "content-type", "content-transfer-encoding", "bcc", "cc"}


class Smarthost(NamedTuple):
    """Where mail is handed in."""

    host: str
    port: int


class _Trouble(Exception):
    """What came of it where it did not go; *outcome* as in `Delivery`."""

    def __init__(
        self, outcome: str, words: str, status: int = 0, *, unsure: bool = False
    ) -> None:
        super().__init__(words)
        self.outcome = outcome
        self.status = status
        self.unsure = unsure


class Email:
    """See the module and `notify`."""

    together_max = 1
    together_from = 2

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._body = MailBody()

    def deliver(self, message: Message, integration: Integration) -> Delivery:
        """One mail to all recipients that have not taken it yet."""
        try:
            attempt = Attempt(self._kit, integration)
            known = facts.of(message)
            to = recipients(_address(attempt, known, "to"), "to")
            sender = recipients(_address(attempt, known, "from"), "from")[0]
            mail = self._mail(attempt, known, sender, to)
            taken = self._kit.progress.taken(integration.id, message.key)
            left = [one.addr_spec for one in to if one.addr_spec not in taken]
            failed = self._hand_in(attempt, mail, sender.addr_spec, left)
        except (ConfigError, Refused) as error:
            return Delivery("refused", str(error)[:500])
        except Unavailable as error:
            return Delivery("later", attempt.say(str(error)))
        except _Trouble as trouble:
            words = attempt.say(str(trouble))
            return Delivery(trouble.outcome, words, trouble.status, unsure=trouble.unsure)
        return self._settled(attempt, message, left, failed)

    def deliver_together(
        self, messages: Sequence[Message], integration: Integration
    ) -> tuple[Delivery, ...]:
        """Each by itself."""
        return kit.one_by_one(self, messages, integration)

    def wait_s(self, integration: Integration, *, urgent: bool) -> float:  # noqa: ARG002
        """Never."""
        return 0.0

    def _settled(
        self,
        attempt: Attempt,
        message: Message,
        asked: Sequence[str],
        failed: Mapping[str, tuple[int, str]],
    ) -> Delivery:
        """What it means that *failed* of the recipients were refused and the others were not."""
        progress, integration = self._kit.progress, attempt.integration
        words = attempt.say(
            "; ".join(f"{to}: {code} {text}" for to, (code, text) in failed.items())
        )
        if any(code < 500 for code, _ in failed.values()):
            progress.take(integration.id, message.key, [to for to in asked if to not in failed])
            code = next(iter(failed.values()))[0]
            return Delivery("later", words, code, unsure=len(failed) < len(asked))
        progress.over(integration.id, message.key)
        return attempt.sent(250, words=words)

    def _mail(
        self, attempt: Attempt, known: Facts, sender: Address, to: Sequence[Address]
    ) -> EmailMessage:
        key = hashlib.sha256(known.message.key.encode("utf-8", "replace")).hexdigest()[:32]
        headers = {
            "Subject": facts.subject(known),
            "To": ", ".join(str(one) for one in to),
            "From": str(sender),
            "Message-Id": f"<{key}@{sender.domain}>",
            "Date": formatdate(self._kit.clock.now_ns() / 1e9),
            "Auto-Submitted": "auto-generated",
            **self._thread(attempt, known, sender),
            **_stated(attempt, known),
        }
        mail = EmailMessage(policy=SMTP)
        try:
            for name, value in headers.items():
                mail[name] = one_line(value)
        except (MessageError, ValueError, IndexError) as error:
            raise ConfigError(f"headers: {type(error).__name__}") from error
        own_text = attempt.render("text", known)
        own_html = attempt.render("html", known, escape=html.escape, links=True)
        fault = attempt.faults[0] if attempt.faults else ""
        mail.set_content(
            clean(own_text or self._body.text(known, fault)), cte="quoted-printable"
        )
        if attempt.settings.get("html") != "":
            mail.add_alternative(
                clean(own_html or self._body.html(known, fault)),
                subtype="html",
                cte="quoted-printable",
            )
        return mail

    def _thread(self, attempt: Attempt, known: Facts, sender: Address) -> dict[str, str]:
        threading = attempt.settings.get("threading")
        if not isinstance(threading, Mapping) or not threading.get("enabled"):
            return {}
        group = hashlib.sha256(known.message.group_key.encode("utf-8", "replace")).hexdigest()[
            :32
        ]
        first = f"<group-{group}@{sender.domain}>"
        return {"In-Reply-To": first, "References": first}

    def _hand_in(
        self, attempt: Attempt, mail: EmailMessage, sender: str, to: Sequence[str]
    ) -> dict[str, tuple[int, str]]:
        """The recipients that were refused while others were not. Raises _Trouble."""
        if not to:
            return {}
        where = smarthost(attempt.setting("smarthost"))
        context = self._kit.poster.tls.of(attempt.settings.get("tls_config") or {})
        limit_s = self._kit.limits.mail_deadline_s
        lent = self._kit.poster.lends(attempt.setting("smarthost"))
        dialer = self._kit.poster.dialer(guarded=attempt.integration.guarded and not lent)
        with dialer.deadline.of(self._kit.clock.monotonic_s() + limit_s):
            try:
                connected = dialer.connect(where.host, where.port, CONNECT_S)
            except OSError as error:
                raise _Trouble("later", f"{type(error).__name__}: {error}") from error
        try:
            talk = _talk(attempt, connected, where, context, mail, sender, to)
            return asyncio.run(asyncio.wait_for(talk, limit_s))
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [one.code for one in error.recipients]
            words = "; ".join(
                f"{one.recipient}: {one.code} {one.message}" for one in error.recipients
            )
            outcome = "refused" if all(code >= 500 for code in codes) else "later"
            raise _Trouble(outcome, words, codes[0] if codes else 0) from error
        except aiosmtplib.SMTPResponseException as error:
            outcome = "refused" if error.code >= 500 else "later"
            raise _Trouble(outcome, f"{error.code} {error.message}", error.code) from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            words = str(error) or "the mail server takes too long"
            lost = (TimeoutError, ConnectionError, aiosmtplib.SMTPServerDisconnected)
            unsure = isinstance(error, lost) and not isinstance(error, _NOT_OUT)
            raise _Trouble(
                "later", f"{type(error).__name__}: {words}", unsure=unsure
            ) from error
        except ValueError as error:
            raise _Trouble("refused", f"{type(error).__name__}: {error}") from error
        finally:
            connected.close()


async def _talk(
    attempt: Attempt,
    connected: socket.socket,
    where: Smarthost,
    context: ssl.SSLContext,
    mail: EmailMessage,
    sender: str,
    to: Sequence[str],
) -> dict[str, tuple[int, str]]:
    implicit = attempt.settings.get("force_implicit_tls")
    use_tls = implicit is True or (implicit is None and where.port == IMPLICIT_TLS_PORT)
    required = attempt.settings.get("require_tls", True) is not False
    server_name = str(
        (attempt.settings.get("tls_config") or {}).get("server_name") or where.host
    )
    near = ipaddress.ip_address(connected.getpeername()[0]).is_loopback
    connected.setblocking(False)
    client = aiosmtplib.SMTP(
        hostname=server_name,
        sock=connected,
        use_tls=use_tls,
        start_tls=required and not use_tls,
        tls_context=context,
        local_hostname=attempt.setting("hello") or "localhost",
        timeout=attempt.kit.limits.mail_deadline_s,
    )
    try:
        async with client:
            return await _say(
                attempt, client, mail, sender, to, near=near or use_tls or required
            )
    finally:
        # The transport lets go of its socket in the loop's next round.
        await asyncio.sleep(0)


async def _say(
    attempt: Attempt,
    client: aiosmtplib.SMTP,
    mail: EmailMessage,
    sender: str,
    to: Sequence[str],
    *,
    near: bool,
) -> dict[str, tuple[int, str]]:
    """Log in where asked to, and hand *mail* in; *near*: nobody else can listen."""
    user = attempt.setting("auth_username")
    password = attempt.setting("auth_password", "auth_secret")
    if user and password:
        if not near and "cram-md5" not in client.supported_auth_methods:
            raise ValueError("credentials are not sent without TLS")
        await client.login(user, password)
    refused, _ = await client.send_message(mail, sender=sender, recipients=list(to))
    return {one: (answer.code, answer.message) for one, answer in refused.items()}


def smarthost(text: str) -> Smarthost:
    """The host and port that *text* names. Raises ConfigError."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError("smarthost: write host:port")
    return Smarthost(host, int(port))


def recipients(text: str, key: str) -> list[Address]:
    """The addresses that *text* lists. Raises ConfigError, naming *key*."""
    found: list[Address] = []
    text = clean(text).strip()
    if "=?" in text or any(not char.isprintable() for char in text):
        raise ConfigError(f"{key}: addresses are plain text on one line")
    for name, address in getaddresses([text]):
        # What a lenient reader made of two words is nobody's address.
        if not _ADDRESS.match(address) or address not in text:
            raise ConfigError(f"{key}: {address[:80]!r} is not an address")
        try:
            user, _, domain = address.rpartition("@")
            found.append(Address(one_line(name), user, domain))
        except (MessageError, ValueError, IndexError) as error:
            raise ConfigError(f"{key}: {address[:80]!r} is not an address") from error
    if not found:
        raise ConfigError(f"{key}: required")
    if len(found) > RECIPIENTS_MAX:
        raise ConfigError(f"{key}: {len(found)} addresses, limit {RECIPIENTS_MAX}")
    return found


def _address(attempt: Attempt, known: Facts, key: str) -> str:
    """What setting *key* makes. Raises ConfigError: for an address nothing can stand in."""
    made = attempt.render(key, known)
    if not made and attempt.faults:
        raise ConfigError(attempt.faults[-1])
    return made or attempt.setting(key)


def one_line(text: str) -> str:
    """*text* as a header may have it: printable, on one line, and nothing that is decoded (an
    "encoded word" of RFC 2047 may hold a line's end, which the library would take for one)."""
    printable = "".join(char if char.isprintable() else " " for char in clean(text))
    printable = printable.replace("=?", f"={_BREAK}?")
    return " ".join(printable.split())[:HEADER_CHARS_MAX]


def _stated(attempt: Attempt, known: Facts) -> dict[str, str]:
    """Headers of the settings, their values made by templates."""
    given = attempt.settings.get("headers")
    headers: dict[str, str] = {}
    for name, text in given.items() if isinstance(given, Mapping) else ():
        if not _HEADER_NAME.match(str(name)) or str(name).lower() in _OWN_HEADERS:
            raise ConfigError(f"headers: {str(name)[:64]!r} cannot be set")
        made = attempt.rendered(f"headers.{name}", str(text), known)
        if one_line(made):
            headers[str(name)] = made
    return headers
