"""Ways to say who we are to the API server, each renewed as it ages.

A `Proof` goes with one request. `Credentials.renew` is called when the API server did not accept one (401), so that the
next `prove` does not answer from memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import orjson

from kthena_fast.kube import failures

TOKEN_AGE = 10.0
"""Seconds after which a token's file is read again; the kubelet replaces it long before the token expires."""
EXEC_TIMEOUT = 60.0
"""Seconds that an exec plugin may take; some ask a service elsewhere."""
EXEC_MARGIN = 10.0
"""Seconds before its end that a plugin's answer is no longer used."""
EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A client certificate and its key, in PEM."""

    certificate: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Proof:
    """What one request shows."""

    headers: Mapping[str, str] = field(repr=False)
    certificate: Certificate | None = None


class Credentials(Protocol):
    """Who we are, for as long as the program runs."""

    async def prove(self) -> Proof:
        """What to show now; `failures.Unreachable` where there is nothing to show."""

    def renew(self) -> None:
        """What `prove` gave last was not accepted."""


class Fixed:
    """Headers and a certificate that stay."""

    def __init__(self, headers: Mapping[str, str], certificate: Certificate | None = None) -> None:
        self._proof = Proof(headers, certificate)

    async def prove(self) -> Proof:
        """See `Credentials`."""
        return self._proof

    def renew(self) -> None:
        """See `Credentials`."""


class Anonymous(Fixed):
    """Nobody in particular."""

    def __init__(self) -> None:
        super().__init__({})


class TokenFile:
    """A token in a file, which somebody else keeps fresh."""

    def __init__(
        self,
        path: Path,
        headers: Mapping[str, str] | None = None,
        certificate: Certificate | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._headers = dict(headers or {})
        self._certificate = certificate
        self._clock = clock
        self._read_at = 0.0
        self._proof: Proof | None = None

    async def prove(self) -> Proof:
        """See `Credentials`. While the file cannot be read, the token that was read last is shown."""
        now = self._clock()
        if self._proof is None or now - self._read_at >= TOKEN_AGE:
            try:
                token = self._path.read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                if self._proof is None:
                    why = error.strerror if isinstance(error, OSError) else error
                    raise failures.Unreachable(f"the token in {self._path} cannot be read: {why}") from error
            else:
                self._proof = Proof({"Authorization": f"Bearer {token}"} | self._headers, self._certificate)
                self._read_at = now
        return self._proof

    def renew(self) -> None:
        """See `Credentials`."""
        self._read_at = -TOKEN_AGE


class Exec:
    """A program that says who we are: Kubernetes' exec plugins (`client.authentication.k8s.io`)."""

    def __init__(
        self,
        plugin: Mapping[str, Any],
        folder: Path,
        server: str,
        headers: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`plugin` is `exec` of a kubeconfig in `folder`; ValueError says what is wrong with it."""
        version, command = plugin.get("apiVersion"), plugin.get("command")
        if version not in EXEC_VERSIONS:
            raise ValueError(f"apiVersion must be one of {', '.join(EXEC_VERSIONS)}, and is {version!r}")
        if not isinstance(command, str) or not command:
            raise ValueError("command must be a program")
        if plugin.get("interactiveMode") == "Always":
            raise ValueError("interactiveMode Always cannot be had: nobody is there to ask")
        arguments = plugin.get("args") or []
        variables = plugin.get("env") or []
        if not isinstance(arguments, list) or not all(isinstance(argument, str) for argument in arguments):
            raise ValueError("args must be a list of strings")
        try:
            self._environment = {str(entry["name"]): str(entry["value"]) for entry in variables}
        except (TypeError, KeyError):
            raise ValueError("env must be a list of name and value") from None
        # As the shell has it: a name without a slash is looked for on PATH, a path counts from the file.
        self._command = str(folder / command) if os.sep in command else command
        self._arguments = arguments
        self._hint = str(plugin.get("installHint") or "").strip()
        self._info = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
        if plugin.get("provideClusterInfo"):
            self._info["spec"] = {"interactive": False, "cluster": {"server": server}}
        self._headers = dict(headers or {})
        self._clock = clock
        self._lock = asyncio.Lock()
        self._proof: Proof | None = None
        self._until = 0.0

    async def prove(self) -> Proof:
        """See `Credentials`."""
        async with self._lock:
            if self._proof is None or self._clock() >= self._until:
                self._proof, self._until = self._understood(await self._ask())
            return self._proof

    def renew(self) -> None:
        """See `Credentials`."""
        self._proof = None

    async def _ask(self) -> bytes:
        environment = {**os.environ, **self._environment, "KUBERNETES_EXEC_INFO": orjson.dumps(self._info).decode()}
        try:
            process = await asyncio.create_subprocess_exec(
                self._command,
                *self._arguments,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise self._failed(f"cannot be run: {error.strerror}. {self._hint}".strip()) from error
        try:
            async with asyncio.timeout(EXEC_TIMEOUT):
                output, complaint = await process.communicate()
        except TimeoutError:
            raise self._failed(f"did not answer within {EXEC_TIMEOUT:g} s") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode:
            said = complaint.decode(errors="replace").strip()
            raise self._failed(f"ended with status {process.returncode}: {said}")
        return output

    def _understood(self, output: bytes) -> tuple[Proof, float]:
        """The proof, and the Unix time until which it is good."""
        try:
            answer = orjson.loads(output)
            version, status = answer["apiVersion"], answer["status"]
            if version != self._info["apiVersion"]:
                raise self._failed(f"answered in {version!r} and was asked in {self._info['apiVersion']!r}")
            token, certificate, key = (
                status.get(name) or "" for name in ("token", "clientCertificateData", "clientKeyData")
            )
            until = status.get("expirationTimestamp")
            ends = datetime.fromisoformat(until).timestamp() - EXEC_MARGIN if until else float("inf")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._failed(f"did not answer with an ExecCredential: {error!r}") from None
        if not token and not (certificate and key):
            raise self._failed("answered with neither a token nor a certificate and its key")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        pair = Certificate(certificate, key) if certificate and key else None
        return Proof(headers | self._headers, pair), ends

    def _failed(self, problem: str) -> failures.Unreachable:
        return failures.Unreachable(f"the exec plugin {self._command} {problem}")
