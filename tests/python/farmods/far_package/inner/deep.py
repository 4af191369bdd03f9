from .. import __name__ as outer


def name():
    return "deep in " + outer
