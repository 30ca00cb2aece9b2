"""TLS in memory: what the socket brought goes in, what the server said comes out, and stamps survive.

`ssl` would wrap the socket itself, but then it calls `recv`, which drops the kernel's stamp. So the
socket stays ours, and `ssl` decrypts from one buffer into another: one read of the socket, one stamp,
and all the records that the read completed. A record that is still incomplete is nothing yet: its bytes
have the stamp of the read that brings its last one, as a packet has over plain TCP.

Renegotiation (TLS 1.2) is refused, as Go's client does: a write could then wait for a read.
"""

import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import httpx

from harness.errors import UsageError

Tell = Callable[[bytes], Awaitable[None]]
Hear = Callable[[], Awaitable[bytes]]
Verify = ssl.SSLContext | Path | str | bool
Cert = Path | str | tuple[Path | str, Path | str]

RECORD = 16_384
"""The most that one record holds, so the most that one `read` of `ssl` gives."""

_UNTRUSTED = {2, 18, 19, 20, 21}  # OpenSSL's X509_V_ERR_*: nobody we trust has signed this
_OUT_OF_DATE = {9, 10}
_OTHER_NAME = {62, 64}


class TlsError(ConnectionError):
    """The encrypted connection broke, said so that a person knows what to do."""


class TlsAlertError(TlsError):
    """The server has said why it ends the connection: it wants a certificate, say."""


class Secure:
    """A non-blocking socket with TLS in between, to be read and written like one.

    `recvmsg` raises BlockingIOError too where bytes came, but none of the server's application: a session
    ticket, a new key, a part of a record. `over` says that nothing will come any more; the next `recvmsg`
    then says why: no bytes after close_notify, `TlsError` otherwise. A connection that ends *without*
    close_notify may have been cut by anybody, so it is an error here and not an end.

    *sock* may be a `Secure` itself (a proxy that is spoken to over TLS). *early* are bytes of the server that
    came before anybody knew that TLS would begin.
    """

    __slots__ = ("_broken", "_incoming", "_outgoing", "_taken", "_tls", "_unsent", "beneath", "over")

    def __init__(
        self, sock: "Channel", context: ssl.SSLContext, server_name: str, early: bytes = b""
    ) -> None:
        self.beneath = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._broken: TlsError | None = None
        self._unsent = b""  # encrypted, and not on the wire yet
        self._taken = 0  # so many bytes of the caller's are in it
        self.over = False
        self._incoming.write(early)

    async def shake_hands(self, tell: Tell, hear: Hear) -> None:
        """Agree with the server on keys, and look at its certificate. Raises `ssl.SSLError`, `TlsError`."""
        while not await self._next_flight(tell):
            came = await hear()
            if not came:
                raise TlsError("the server hung up in the middle of the TLS handshake")
            self._incoming.write(came)

    async def _next_flight(self, tell: Tell) -> bool:
        """Send what the handshake has to say at this point; whether it is complete."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            complete = False
        except ssl.SSLError:
            with suppress(OSError):
                await tell(self._outgoing.read())  # the alert that tells the server why
            raise
        else:
            complete = True
        if flight := self._outgoing.read():
            await tell(flight)
        return complete

    def recvmsg(self, size: int, room: int) -> tuple[bytes, list[tuple[int, int, bytes]], int, Any]:
        """What the server said in one read of the socket, with the ancillary data of that read."""
        if self.over:
            return self._last(), [], 0, None
        data, ancillary, flags, address = self.beneath.recvmsg(size, room)
        if not data:
            self._end(TlsError("the connection was cut, without TLS's close_notify,"))
            return self._last(), ancillary, flags, address
        self._incoming.write(data)
        said = self._said()
        if self._outgoing.pending:
            with suppress(OSError):  # what a new key asks for; where it has to wait, the next send takes it
                self._flush()
        return said or self._last(), ancillary, flags, address

    def _said(self) -> bytes:
        """What all whole records that have come hold."""
        pieces = []
        try:
            while self._incoming.pending:
                piece = self._tls.read(RECORD)
                if not piece:
                    self._end(None)
                    break
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as exc:
            self._end(TlsAlertError(advice(exc, shaken=True)))
        if isinstance(self.beneath, Secure) and self.beneath.over:
            self._end(TlsError("the proxy hung up"))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _end(self, broken: TlsError | None) -> None:
        if not self.over:
            self.over, self._broken = True, broken

    def _last(self) -> bytes:
        """What `recvmsg` says where it has no bytes."""
        if self._broken is not None:
            raise self._broken
        if not self.over:
            raise BlockingIOError
        return b""

    def send(self, data: bytes | memoryview) -> int:
        """How many bytes of *data* are on the wire now.

        Raises BlockingIOError while they are not; then it wants to be called with the same *data* again.
        """
        if not self._taken:
            self._taken = self._tls.write(data[:RECORD])
        self._flush()
        taken, self._taken = self._taken, 0
        return taken

    def _flush(self) -> None:
        self._unsent += self._outgoing.read()
        while self._unsent:
            self._unsent = self._unsent[self.beneath.send(self._unsent) :]

    def close(self) -> None:
        """Say good-bye, if that needs no waiting, and let go of the socket."""
        if not self._unsent and not (self.over and self._broken is not None):
            with suppress(OSError):
                self._tls.unwrap()
            with suppress(OSError):
                self._flush()
        self.beneath.close()

    def fileno(self) -> int:
        """The socket's."""
        return self.beneath.fileno()

    def getsockopt(self, level: int, option: int) -> int:
        """The socket's."""
        return self.beneath.getsockopt(level, option)


Channel = socket.socket | Secure
"""What a connection reads and writes."""


def context_of(verify: Verify, cert: Cert | None, *, trust_env: bool) -> ssl.SSLContext:
    """What is trusted, and who we say we are; takes some 20 ms.

    *verify*: True for the CAs that httpx trusts (with *trust_env* those of SSL_CERT_FILE or SSL_CERT_DIR), a
    file or folder of CAs in their place, or False for anybody at all. *cert*: a file with our certificate and
    its key, or two files. Raises `UsageError` where a file cannot be used.
    """
    try:
        context = _trusting(verify, trust_env=trust_env)
    except OSError as exc:
        named = "SSL_CERT_FILE or SSL_CERT_DIR" if verify is True else str(verify)
        raise UsageError(f"{named}: no CA certificates can be read from there: {_short(exc)}") from None
    if cert is not None:
        _show(context, cert)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


def _trusting(verify: Verify, *, trust_env: bool) -> ssl.SSLContext:
    if isinstance(verify, ssl.SSLContext):
        return verify
    if isinstance(verify, bool):
        return httpx.create_ssl_context(verify=verify, trust_env=trust_env)
    if Path(verify).is_dir():
        return ssl.create_default_context(capath=verify)
    return ssl.create_default_context(cafile=verify)


def _show(context: ssl.SSLContext, cert: Cert) -> None:
    """Have *context* show our certificate to servers that ask for one."""
    files: tuple[Path | str, ...] = cert if isinstance(cert, tuple) else (cert,)
    certificate, key = files[0], files[1] if len(files) > 1 else None

    def locked() -> NoReturn:  # or OpenSSL would ask on the terminal
        raise UsageError(f"{key or certificate}: the key is locked with a password; give one without")

    for path in files:
        if not Path(path).is_file():
            raise UsageError(f"{path}: there is no such file")
    try:
        context.load_cert_chain(certificate, key, password=locked)
    except OSError as exc:
        said = "the key is not the certificate's" if "MISMATCH" in str(exc) else _short(exc)
        beside = f" with the key {key}" if key else " with a key in the same file"
        raise UsageError(f"{certificate}{beside}: no client certificate can be read: {said}") from None


def _short(exc: OSError) -> str:
    reason = getattr(exc, "reason", None)  # of an SSLError
    return str(reason).replace("_", " ").lower() if reason else (exc.strerror or str(exc))


def advice(exc: ssl.SSLError, *, shaken: bool = False) -> str:
    """What *exc* means, and what to do about it; *shaken* says that the handshake was over."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not accepted, {exc.verify_message.rstrip('.')}; {_remedy(exc.verify_code)}"
        )
    reason = exc.reason or str(exc)
    if any(word in reason for word in ("WRONG_VERSION", "HTTP_REQUEST", "PACKET_LENGTH", "RECORD_LAYER")):
        return f"what answers there does not speak TLS ({_short(exc)}); is it http://?"
    if "HANDSHAKE" in reason and shaken:
        return "the server wants to agree on keys again (renegotiation), which is not supported"
    if "ALERT" in reason and any(word in reason for word in ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE")):
        wants = "the server refuses our certificate, or wants one"
        return f"{wants} ({_short(exc)}): --client-cert, or target.client_cert and target.client_key"
    return f"TLS: {_short(exc)}"


def _remedy(code: int) -> str:
    if code in _UNTRUSTED:
        return "if it should be, name the CA that signed it: --ca-file, target.ca_file or SSL_CERT_FILE"
    if code in _OUT_OF_DATE:
        return "it has to be renewed, or this machine's clock is wrong"
    if code in _OTHER_NAME:
        return "is the address right?"
    return "the server's owner has to mend that"
