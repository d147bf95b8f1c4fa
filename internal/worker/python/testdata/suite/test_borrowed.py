from shared import Shared  # noqa: its id names a module that discovery does not look at
