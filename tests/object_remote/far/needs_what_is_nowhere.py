"""A class whose dependency exists on neither side."""
import a_module_that_is_nowhere  # noqa: F401


class Never:
    pass
