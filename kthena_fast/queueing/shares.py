"""Who counts for how much: shares and classes from a YAML file (`FAIRNESS_SHARES_FILE`), reloaded when it changes.

    default: {share: 1, class: 0}
    groups:
      research: {share: 3, class: 0, users: [alice, bob]}
    users:
      carol: {share: 2, class: 1}
    weights: {inputToken: 1.0, outputToken: 2.0}

A user who is named under `users` is what he is there; one who is in a group has its share and class for himself;
everyone else has the default. The lower class is served strictly first. A share divides service when users are
compared: 3 is served three times what 1 is. `weights`, where given, take the place of FAIRNESS_INPUT_TOKEN_WEIGHT and
FAIRNESS_OUTPUT_TOKEN_WEIGHT.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Number = Annotated[float, Field(ge=0.001, le=1_000_000, allow_inf_nan=False)]
Class = Annotated[int, Field(ge=0, le=1_000)]
Weight = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class BadShares(Exception):
    """A file that cannot be obeyed; the text names file, field, value and what is allowed."""


class Standing(NamedTuple):
    """What a user counts for."""

    share: float
    rank: int


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Entry(_Part):
    share: Number = 1.0
    rank: Class = Field(default=0, alias="class")

    @property
    def standing(self) -> Standing:
        return Standing(self.share, self.rank)


class _Group(_Entry):
    users: tuple[str, ...] = ()


class _Weights(_Part):
    input_token: Weight | None = Field(default=None, alias="inputToken")
    output_token: Weight | None = Field(default=None, alias="outputToken")


class _File(_Part):
    default: _Entry = _Entry()
    groups: dict[str, _Group] = Field(default_factory=dict)
    users: dict[str, _Entry] = Field(default_factory=dict)
    weights: _Weights = _Weights()


class Shares:
    """The shares of all users at one moment."""

    __slots__ = ("_default", "_users", "input_weight", "output_weight")

    def __init__(
        self,
        users: dict[str, Standing],
        default: Standing = Standing(1.0, 0),  # noqa: B008 - a tuple, never changed
        input_weight: float | None = None,
        output_weight: float | None = None,
    ) -> None:
        self._users = users
        self._default = default
        self.input_weight = input_weight
        """Takes the place of the setting's; None: the setting's."""
        self.output_weight = output_weight

    def of(self, user: str) -> Standing:
        return self._users.get(user, self._default)


EQUAL = Shares({})
"""Everyone counts the same."""


def read(path: Path) -> Shares:
    """The shares in a file; BadShares where it is missing or malformed."""
    # Not with the module: a gateway without such a file does without it.
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as problem:
        raise BadShares(f"{path}: {' '.join(str(problem).split())}") from problem
    try:
        file = _File.model_validate({} if document is None else document)
    except ValidationError as problem:
        error = problem.errors(include_url=False)[0]
        where = ".".join(str(part) for part in error["loc"]) or "the document"
        raise BadShares(f"{path}: {where}: {error['msg']}, not {error['input']!r}") from problem
    users: dict[str, Standing] = {}
    member_of: dict[str, str] = {}
    for name, group in file.groups.items():
        for user in group.users:
            if user in member_of:
                raise BadShares(f"{path}: groups.{name}.users: {user!r} is already in the group {member_of[user]!r}")
            member_of[user] = name
            users[user] = group.standing
    users.update((user, entry.standing) for user, entry in file.users.items())
    return Shares(users, file.default.standing, file.weights.input_token, file.weights.output_token)
