"""Problems with values as demands a person can meet."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, PositiveInt

from acclimate.errors import UserError
from acclimate.io.validation import validated


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    share: float = 0.5


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    steps: PositiveInt = 1
    cache: bool = False
    size: tuple[int, int] | None = None
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    name: str = "a"
    inner: Inner = Inner()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": "many"}, "steps must be a whole number (got 'many')"),
        ({"steps": 1.5}, "steps must be a whole number (got 1.5)"),
        ({"steps": 0}, "steps must be greater than 0 (got 0)"),
        ({"cache": "perhaps"}, "cache must be true or false (got 'perhaps')"),
        ({"size": 5}, "size must be a list in brackets (got 5)"),
        ({"name": 3}, "name must be text (got 3)"),
        ({"inner": {"share": "half"}}, "inner.share must be a number (got 'half')"),
        ({"inner": 4}, "inner must be keys with values (got 4)"),
        ({"precision": "bf16-mixd"}, "precision must be '32-true' or 'bf16-mixed'; did you mean 'bf16-mixed'?"),
        ({"inner": {"shar": 1}}, "unknown key 'inner.shar'; did you mean 'share'?"),
    ],
)
def test_every_problem_is_a_demand_on_the_value(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        validated(Settings, values, "here")
    assert str(caught.value).startswith(f"here: {message}")
