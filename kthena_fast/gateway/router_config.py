"""Upstream's router configuration file (`routerConfiguration.yaml`): what it says, and what of it is obeyed here.

It is read at start and when it changes; a change that is refused leaves what was read before. The plugin framework is a
later room: plugins that are configured are announced as not obeyed, never silently dropped. `auth.jwksUri` refuses to
start, since a gateway must never open what was configured closed.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kthena_fast.serving.watched import Watched

log = logging.getLogger(__name__)


class BadRouterConfig(Exception):
    """A file that refuses to start; the text names file, field and what is allowed."""


class _Part(BaseModel):
    # Unknown keys are ignored, as upstream does: existing ConfigMaps carry some.
    model_config = ConfigDict(frozen=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: object) -> object:
        # `auth:` with nothing behind it is to Go an empty mapping.
        return {key: value for key, value in given.items() if value is not None} if isinstance(given, dict) else given


class PluginArguments(_Part):
    name: str = ""
    args: dict[str, Any] = Field(default_factory=dict)


class ScorePlugin(_Part):
    name: str = ""
    weight: int = 0


class FilterPlugins(_Part):
    enabled: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()


class ScorePlugins(_Part):
    enabled: tuple[ScorePlugin, ...] = ()
    disabled: tuple[ScorePlugin, ...] = ()


class Plugins(_Part):
    # Upstream's keys start with a capital; it silently ignores `filter` and `score`.
    Filter: FilterPlugins = FilterPlugins()
    Score: ScorePlugins = ScorePlugins()


class Scheduler(_Part):
    pluginConfig: tuple[PluginArguments, ...] = ()  # noqa: N815 - the file's own key
    plugins: Plugins = Plugins()


class Auth(_Part):
    issuer: str = ""
    audiences: tuple[str, ...] = ()
    jwksUri: str = ""  # noqa: N815 - the file's own key


class RouterConfig(_Part):
    """The whole file."""

    scheduler: Scheduler = Scheduler()
    auth: Auth = Auth()

    def announcements(self) -> list[tuple[str, str]]:
        """What is decoded but not obeyed: field and reason."""
        plugins = self.scheduler.plugins
        named = [*plugins.Filter.enabled, *(plugin.name for plugin in plugins.Score.enabled)]
        if not named:
            return []
        return [
            (
                "scheduler.plugins",
                f"plugins are not built yet ({', '.join(named)}): pods are picked by fewest requests in flight",
            )
        ]


def read(path: Path) -> RouterConfig:
    """The configuration in a file; BadRouterConfig where it is missing, malformed or asks for what is not built."""
    # Not with the module: a gateway without such a file does without it.
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    # A date that does not exist is a ValueError, as is what is not UTF-8.
    except (OSError, ValueError, YAMLError) as problem:
        raise _bad(path, " ".join(str(problem).split())) from problem
    if document is None:
        return RouterConfig()
    if not isinstance(document, dict):
        raise _bad(path, "the document must be a mapping with `scheduler` and `auth`")
    try:
        config = RouterConfig.model_validate(document)
    except ValidationError as problem:
        error = problem.errors(include_url=False)[0]
        where = ".".join(str(part) for part in error["loc"])
        raise _bad(path, f"{where}: {error['msg']}, not {error['input']!r}") from problem
    if config.auth.jwksUri:
        raise _bad(
            path,
            f"auth.jwksUri: {config.auth.jwksUri!r} is not allowed: authentication is not built yet, and a "
            "gateway that was configured closed does not open; remove it to run without authentication",
        )
    return config


def _bad(path: Path, why: str) -> BadRouterConfig:
    return BadRouterConfig(f"--router-config {path}: {why}")


class Followed:
    """The file as it was read last; BadRouterConfig where it cannot be read at start."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Before the file is read: what changes in between is seen at the next look.
        self._file = Watched(path)
        self.config = read(path)
        self._announce()

    def look(self) -> bool:
        """Read the file if it changed; whether something new was read."""
        if not self._file.changed():
            return False
        try:
            self.config = read(self._path)
        except BadRouterConfig as problem:
            if self._file.failed(problem):
                log.warning("%s; what was read before stays", problem)
            return False
        log.info("the router configuration %s was reloaded", self._path)
        self._announce()
        return True

    def _announce(self) -> None:
        for field, reason in self.config.announcements():
            log.warning("%s: %s: %s", self._path, field, reason)
