"""These are about what only interpreted code has: `KTHENA_FAST_NO_EXTENSIONS=1 pytest tests/interpreted`."""

from kthena_fast.core import _choice

collect_ignore_glob = [] if _choice.NO_EXTENSIONS else ["test_*.py"]
