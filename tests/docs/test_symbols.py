"""Every exported function is in the documents, and every binding wraps it or says that it leaves it out."""
import os
import re

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("REMORA_BUILD") or os.path.join(ROOT, "build")


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as f:
        return f.read()


# That header, capi/remora.map and library list the same is tested by tests/abi/check.sh.
SYMBOLS = re.findall(r"^ +(remora_\w+);$", read(ROOT, "capi", "remora.map"), re.M)


def test_the_list_can_be_read():
    assert len(SYMBOLS) > 100 and "remora_connect" in SYMBOLS


def test_documents_name_every_function():
    text = read(ROOT, "docs", "c.md")
    assert not [name for name in SYMBOLS if not re.search(r"\b%s\b" % name, text)]
    named = set(re.findall(r"\bremora_[a-z0-9_]+\b(?=[`(])", text))
    assert not named - set(SYMBOLS) - {"remora_class", "remora_module", "remora_module_v1"}


@pytest.mark.parametrize("language", ["python", "ruby", "lua"])
def test_a_binding_wraps_a_function_or_leaves_it_out(language):
    interface = os.path.join(ROOT, "swig", language + ".i")
    if not os.path.exists(interface):
        pytest.skip("no binding for " + language)
    wrapper = os.path.join(BUILD, "lua-build" if language == "lua" else "swig", "remora_%s_wrap.c" % language)
    if not os.path.exists(wrapper):
        pytest.skip("built without " + language)
    made = set(re.findall(r"_wrap_(remora_\w+)\(", read(wrapper)))
    rules = read(interface) + read(ROOT, "swig", "remora.i")
    out = set(re.findall(r"^%ignore (remora_\w+);", rules, re.M))
    for kind, destroy in re.findall(r"^REMORA_HANDLE\((\w+), (\w+)\)", rules, re.M):
        out |= {kind + "_ref", kind + "_unref", kind + "_free"}
    assert not [name for name in SYMBOLS if name not in made | out]
    assert not (made & out & set(SYMBOLS))
