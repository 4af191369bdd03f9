"""In a folder that only the near side knows; needs another module of there."""
import acceptance


class Only(acceptance.Counter):
    pass
