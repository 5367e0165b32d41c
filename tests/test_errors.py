from __future__ import annotations

from acclimate.errors import UserError, nearest, unknown


def test_the_nearest_word() -> None:
    assert nearest("advnt", ["advent", "adabn"]) == "; did you mean 'advent'?"
    assert nearest("zzz", ["advent", "adabn"]) == ""
    assert nearest("x", []) == ""


def test_unknown_names_the_nearest_and_all() -> None:
    error = unknown("method", "minnet", {"minent": 1, "advent": 2})
    assert isinstance(error, UserError)
    assert str(error) == "unknown method 'minnet'; did you mean 'minent'? (known: advent, minent)"
