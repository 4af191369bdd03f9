"""Imports something that exists nowhere."""
import a_module_that_is_nowhere  # noqa: F401


class Never:
    pass
