"""What a network is made of, as a recipe writes it and a checkpoint remembers it: a name and that network's options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, SerializeAsAny, model_validator

from acclimate.io.validation import validated

CODE = "python:"
"""How the name of a network begins that is built by code of the user's own: ``python:package.module:factory``."""


class NetworkOptions(BaseModel):
    """The options of one network; every network has a subclass of its own.

    Attributes:
        learning: options in which a network may differ from the one it starts from: they change how it learns, or add
            a head.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    learning: ClassVar[frozenset[str]] = frozenset(
        {"weights", "batch_norm", "batch_norm_epsilon", "head_learning_rate_multiple", "multi_level"}
    )


class CodeOptions(NetworkOptions):
    """What is handed to the factory of a network of the user's own: anything."""

    model_config = ConfigDict(extra="allow", frozen=True)


class NetworkConfig(BaseModel):
    """A network's name and its options.

    Recipes write both side by side, ``{name: small, width: 16}``; an option that the network does not have is an error,
    never ignored.

    Attributes:
        name: a key of :data:`acclimate.models.registry.NETWORKS`, a name that an installed package registers, or
            ``python:package.module:factory``.
        options: an instance of that network's ``Options``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    options: SerializeAsAny[NetworkOptions]

    @model_validator(mode="before")
    @classmethod
    def _with_the_named_networks_options(cls, values: Any) -> Any:
        from acclimate.models.registry import options_of

        if not isinstance(values, Mapping) or not isinstance(values.get("name"), str):
            return values
        given: Any = {key: value for key, value in values.items() if key != "name"}
        if list(given) == ["options"] and isinstance(given["options"], (Mapping, NetworkOptions)):
            given = given["options"]
        kind = options_of(values["name"])
        options = given if isinstance(given, kind) else validated(kind, given, str(values["name"]))
        return {"name": values["name"], "options": options}

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, where: str = "network") -> NetworkConfig:
        """The config that a mapping of a name and options describes.

        Args:
            values: option name -> value, with at least ``name``.
            where: what to call the mapping in the error: a recipe's key or a file.

        Raises:
            UserError: an unknown network or option (with the nearest known one) or a value that an option cannot take.
        """
        return validated(cls, values, where)

    def with_options(self, **changes: Any) -> NetworkConfig:
        """The same network with some options at other values."""
        return self.model_copy(update={"options": self.options.model_copy(update=changes)})

    def without_weights(self) -> NetworkConfig:
        """The same network with random initial weights, as it is built for a checkpoint to fill."""
        return self.with_options(weights=None) if getattr(self.options, "weights", None) is not None else self

    @property
    def width(self) -> int | None:
        """Channels of the first convolution, of networks whose width is an option."""
        width = getattr(self.options, "width", None)
        return width if isinstance(width, int) else None
