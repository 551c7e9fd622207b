"""Upstream's router configuration file (`routerConfiguration.yaml`): what it says, and what of it is obeyed here.

It is read at start and when it changes. The plugin framework is a later room: plugins that are configured are announced
as not obeyed, never silently dropped. `auth.jwksUri` refuses to start, since a gateway must never open what was
configured closed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError


class BadRouterConfig(Exception):
    """A file that refuses to start; the text names file, field and what is allowed."""


class _Part(BaseModel):
    # Unknown keys are ignored, as upstream does: existing ConfigMaps carry some.
    model_config = ConfigDict(frozen=True, extra="ignore")


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
    try:
        text = path.read_text(encoding="utf-8")
        document = YAML(typ="safe", pure=True).load(text)
    except (OSError, UnicodeDecodeError, YAMLError) as problem:
        raise BadRouterConfig(f"{path}: {' '.join(str(problem).split())}") from problem
    if document is None:
        return RouterConfig()
    if not isinstance(document, dict):
        raise BadRouterConfig(f"{path}: the document must be a mapping with `scheduler` and `auth`")
    try:
        config = RouterConfig.model_validate(document)
    except ValidationError as problem:
        error = problem.errors(include_url=False)[0]
        where = ".".join(str(part) for part in error["loc"])
        raise BadRouterConfig(f"{path}: {where}: {error['msg']}, not {error['input']!r}") from problem
    if config.auth.jwksUri:
        raise BadRouterConfig(
            f"{path}: auth.jwksUri: authentication is not built yet, and a gateway that was configured closed "
            "does not open; remove it to run without authentication"
        )
    return config
