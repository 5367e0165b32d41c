"""Both domains have one size where a method mixes their images."""

from toy import sizes_that_fit

__all__ = ["sizes_that_fit"]
