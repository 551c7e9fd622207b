"""What is said about the core that is running."""

from importlib.machinery import EXTENSION_SUFFIXES
from types import ModuleType

from kthena_fast.core import _choice


def _imported(*names: str) -> dict[str, ModuleType]:
    modules = {}
    for name in names:
        modules[name] = ModuleType(name)
        suffix = EXTENSION_SUFFIXES[0] if name.endswith("_c") else ".py"
        modules[name].__file__ = f"/site-packages/{name.replace('.', '/')}{suffix}"
    return modules


def test_the_core_is_compiled_when_every_twin_in_use_is() -> None:
    assert _choice.loaded_core(_imported("kthena_fast.core._ledger_c", "kthena_fast.wire._sse_c")) == "compiled"


def test_the_core_is_pure_when_no_twin_in_use_is_compiled() -> None:
    assert _choice.loaded_core(_imported("kthena_fast.core._ledger_py", "kthena_fast.wire._sse_py")) == "pure"


def test_the_core_is_pure_before_any_twin_is_imported() -> None:
    assert _choice.loaded_core(_imported("kthena_fast.core.ledger", "kthena_fast.core._choice")) == "pure"


def test_a_core_of_which_an_extension_is_missing_is_mixed() -> None:
    assert _choice.loaded_core(_imported("kthena_fast.core._ledger_c", "kthena_fast.wire._sse_py")) == "mixed"


def test_a_pure_twin_beside_its_compiled_one_does_not_count() -> None:
    assert _choice.loaded_core(_imported("kthena_fast.core._ledger_c", "kthena_fast.core._ledger_py")) == "compiled"


def test_a_python_file_named_like_an_extension_is_not_one() -> None:
    modules = _imported("kthena_fast.core._ledger_c")
    modules["kthena_fast.core._ledger_c"].__file__ = "/site-packages/kthena_fast/core/_ledger_c.py"
    assert _choice.loaded_core(modules) == "pure"


def test_twins_of_other_packages_are_not_counted() -> None:
    assert _choice.loaded_core(_imported("propcache._helpers_c", "aiohttp._websocket.reader_py")) == "pure"
