from .inner import deep

NAME = "far_package"


def name():
    return NAME + " " + deep.name()


def data(name):
    from importlib import resources

    return (resources.files(__package__) / "data" / name).read_bytes()
