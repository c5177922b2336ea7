"""TLS over a connection that stands: the handshake, and what went wrong in words that say what to do."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable

from orchestrator.settings.certificates import Certificates

TURN_MS = 250
FIRST_WORD_MS = 1000
"""How long the broker has to say that it does not like our certificate."""

_EXPIRED, _NOT_YET, _OTHER_NAME = 10, 9, frozenset({62, 64})
_WANTED = ("HANDSHAKE_FAILURE", "BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN")
_REFUSED = (
    "UNKNOWN_CA",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_REVOKED",
    "CERTIFICATE_UNKNOWN",
    "BAD_CERTIFICATE",
)


class NotSecured(OSError):
    """The handshake failed; its text says why and what to do.

    `wants_certificate`: the broker lets nobody in who has no certificate that it trusts.
    """

    def __init__(self, why: str, *, wants_certificate: bool = False) -> None:
        super().__init__(why)
        self.wants_certificate = wants_certificate


def secure(
    connection: socket.socket, host: str, certificates: Certificates, gives_up: Callable[[], bool]
) -> ssl.SSLSocket:
    """The connection under TLS once the broker has proven that it is `host`; takes it over.

    `gives_up` is asked four times a second. Raises OSError, NotSecured among them.
    """
    try:
        secured = certificates.context().wrap_socket(
            connection, server_hostname=host, do_handshake_on_connect=False
        )
    except BaseException:
        connection.close()
        raise
    try:
        _shake_hands(secured, gives_up)
        _hear_first_word(secured)
    except OSError as error:
        secured.close()
        raise _told(error, host, certificates) from error
    return secured


def _shake_hands(secured: ssl.SSLSocket, gives_up: Callable[[], bool]) -> None:
    poller = select.poll()
    while not gives_up():
        try:
            return secured.do_handshake()
        except ssl.SSLWantReadError:
            poller.register(secured, select.POLLIN)
        except ssl.SSLWantWriteError:
            poller.register(secured, select.POLLOUT)
        poller.poll(TURN_MS)
    raise TimeoutError("no answer in time")


def _hear_first_word(secured: ssl.SSLSocket) -> None:
    """Under TLS 1.3 the server looks at our certificate after the handshake is over for us: either it greets
    us with a ticket or it hangs up with the reason, which is lost once we have written."""
    poller = select.poll()
    poller.register(secured, select.POLLIN)
    if secured.version() != "TLSv1.3" or not poller.poll(FIRST_WORD_MS):
        return
    try:
        # A broker of MQTT says nothing of its own before the CONNECT.
        if not secured.recv(1):
            raise ConnectionResetError("the broker hung up")
    except ssl.SSLWantReadError:
        return


def _told(error: OSError, host: str, certificates: Certificates) -> NotSecured:
    """What an error of TLS means to who runs the gateway."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return NotSecured(_distrusted(error, host, certificates))
    reason = (getattr(error, "reason", None) or "") if isinstance(error, ssl.SSLError) else ""
    anonymous = certificates.cert_file is None
    if reason.endswith("CERTIFICATE_REQUIRED") or (anonymous and reason.endswith(_WANTED)):
        return NotSecured(
            "the broker asks for a certificate of ours: name one in cert_file and key_file",
            wants_certificate=True,
        )
    if reason.endswith(_REFUSED):
        return NotSecured(
            f"the broker refuses our certificate {certificates.cert_file} ({_plain(reason)}): renew it, or "
            "have the authority sign it that the broker trusts",
            wants_certificate=True,
        )
    if reason in {"WRONG_VERSION_NUMBER", "UNEXPECTED_EOF_WHILE_READING"} or not reason:
        why = _plain(reason) or str(error.strerror or error)
        return NotSecured(
            f"the TLS handshake failed ({why}): does this port speak TLS? 8883 is the usual one; without "
            "ca_file no TLS is asked for"
        )
    if "PROTOCOL" in reason:
        return NotSecured("the broker speaks no TLS 1.2 or newer: allow it there (Mosquitto: tls_version)")
    return NotSecured(f"the TLS handshake failed: {_plain(reason)}")


def _distrusted(error: ssl.SSLCertVerificationError, host: str, certificates: Certificates) -> str:
    if error.verify_code == _EXPIRED:
        return "the broker's certificate has expired: renew it there (or set this machine's clock)"
    if error.verify_code == _NOT_YET:
        return "the broker's certificate is not valid yet: set this machine's clock, or the broker's"
    if error.verify_code in _OTHER_NAME:
        return f"the broker's certificate is not for {host!r}: set host to a name that stands in it"
    return (
        f"the broker's certificate is not signed by an authority in {certificates.ca_file} "
        f"({error.verify_message}): name the file of the one that signed it in ca_file"
    )


def _plain(reason: str) -> str:
    """OpenSSL's name of a reason, as words."""
    words = reason.lower().replace("_", " ").removeprefix("sslv3 ").removeprefix("tlsv1 ")
    return words.removeprefix("tlsv13 ")
