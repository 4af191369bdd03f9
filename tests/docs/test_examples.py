"""The same examples in every language, file for file, and what they print is expected of all."""
import os

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLES = os.path.join(ROOT, "examples")
ENDINGS = {"python": ".py", "ruby": ".rb", "lua": ".lua", "c": ".c"}


def names(language):
    return {os.path.splitext(file)[0] for file in os.listdir(os.path.join(EXAMPLES, language)) if file.endswith(ENDINGS[language])}


@pytest.mark.parametrize("language", sorted(ENDINGS))
def test_every_language_has_the_same_examples(language):
    assert names(language) == names("python")


@pytest.mark.parametrize("language", sorted(ENDINGS))
def test_what_each_prints_is_written_down(language):
    assert {"%s-%s.txt" % (language, name) for name in names(language)} <= set(os.listdir(os.path.join(EXAMPLES, "expected")))
