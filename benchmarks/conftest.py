"""Each operation of a twin is measured on both."""

import pytest

from kthena_fast.core import _choice


@pytest.fixture(params=["py"] if _choice.NO_EXTENSIONS else ["c", "py"])
def twin(request: pytest.FixtureRequest) -> str:
    """The end of a twin's name: `c`, then `py`."""
    suffix: str = request.param
    return suffix
