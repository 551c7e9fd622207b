"""Whose request is it: the first of FAIRNESS_USER_SOURCES that gives a name.

`header:NAME` and `body:FIELD` are for operators who trust their clients, since anyone can invent a name; `anonymous` is
the one user that everyone without a name is. An unverified token is never decoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.auth._identity_py import ANONYMOUS as ANONYMOUS
    from kthena_fast.auth._identity_py import LONGEST as LONGEST
    from kthena_fast.auth._identity_py import Identifier as Identifier
else:
    try:
        from kthena_fast.auth._identity_c import ANONYMOUS as ANONYMOUS
        from kthena_fast.auth._identity_c import LONGEST as LONGEST
        from kthena_fast.auth._identity_c import Identifier as Identifier
    except ModuleNotFoundError:
        from kthena_fast.auth._identity_py import ANONYMOUS as ANONYMOUS
        from kthena_fast.auth._identity_py import LONGEST as LONGEST
        from kthena_fast.auth._identity_py import Identifier as Identifier
