"""What the operator of a server sets for operations. Handed to the children that need it, never stored with a batch."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, SecretStr

_SECTION = re.compile("[a-z][a-z0-9]*")


class OperationSettings(BaseModel):
    """Base of an operation's settings: a section of the server's, which asks the environment and the flags for them.

    The field `base_url` of the section `openai` is the variable IMAGEBATCH_OPENAI_BASE_URL and `serve
    --openai-base-url`. Each field has a default and a description; a secret is a `SecretStr`. Operations that name the
    same class share its values.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    section: ClassVar[str] = ""
    """One word, lower-case; empty where there is nothing to set."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if not _SECTION.fullmatch(cls.section):
            raise TypeError(f"{cls.__qualname__}.section is {cls.section!r}; it has to be one word in lower case")
        for name, found in cls.model_fields.items():
            if found.is_required():
                raise TypeError(f"{cls.__qualname__}.{name} has no default; a server starts without it too")


S = TypeVar("S", bound=OperationSettings)


@dataclass(frozen=True)
class Configuration:
    """Settings of operations as plain values, by section and field: what crosses to a child process."""

    sections: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)  # secrets are among them

    @classmethod
    def holding(cls, *given: OperationSettings) -> Configuration:
        """Take the values of some sections."""
        return cls({one.section: _plain(one) for one in given})

    def of(self, kind: type[S]) -> S:
        """Answer a section; its defaults where nothing was set. Raises ValidationError."""
        return kind.model_validate(self.sections.get(kind.section, {}))

    def only(self, sections: Collection[str]) -> Configuration:
        """Leave out all sections but these."""
        return Configuration({name: values for name, values in self.sections.items() if name in sections})


def _plain(settings: OperationSettings) -> dict[str, Any]:
    secrets = {name: value.get_secret_value() for name, value in settings if isinstance(value, SecretStr)}
    return settings.model_dump(mode="json") | secrets
