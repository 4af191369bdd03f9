"""The far fixture of the matrix; its like stands beside it in every far language."""
import remora


class Account:
    def __init__(self, owner, balance):
        self._owner = owner
        self._balance = balance

    def deposit(self, n):
        self._balance += n
        return self._balance

    def balance(self):
        return self._balance

    def owner(self):
        return self._owner

    def fail(self, text):
        raise ValueError(text)

    def each_call(self, f, n):
        return [f(i) for i in range(1, n + 1)]

    def me(self):
        return self


def echo(v):
    return v


def add(a, b):
    return a + b


def say(text):
    print(text)


def apply(f, x):
    return f(x)


def make():
    return Account("made", 1)


def balance_of(account):
    return account.balance()


def kind(v):
    return type(v).__name__


def size(v):
    return len(v)


def fill(numbers, table):
    table["k"] = sum(numbers)
    del table["a"]
    return [len(numbers), len(table), table["k"]]


TABLE = {"n": 1}


def shared():
    return TABLE


def lend():
    return remora.by_ref([1, 2, 3])


def later(function, value):
    return remora.start(function)(value)
