"""From a folder nobody described to the draft of a ``dataset.yaml``."""
