import pytest

from tests.kube import binaries


@pytest.fixture(autouse=True, scope="session")
def _helm() -> None:
    """Nothing here goes without Helm."""
    try:
        binaries.helm()
    except binaries.Missing as missing:
        pytest.skip(str(missing))
