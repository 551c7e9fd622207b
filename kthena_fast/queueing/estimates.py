"""What is not known yet, guessed from what was: learned per model from requests whose usage the engine reported.

1. `Ratios` is what one model's requests have taught. Each ratio is an exponentially weighted mean, clamped to what
   tokenizers do, so that one odd answer changes little.
2. `RecentAnswers` is the recent mean answer of each user of each model.
"""

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.queueing._estimates_py import Ratios as Ratios
    from kthena_fast.queueing._estimates_py import RecentAnswers as RecentAnswers
else:
    try:
        from kthena_fast.queueing._estimates_c import Ratios as Ratios
        from kthena_fast.queueing._estimates_c import RecentAnswers as RecentAnswers
    except ModuleNotFoundError:
        from kthena_fast.queueing._estimates_py import Ratios as Ratios
        from kthena_fast.queueing._estimates_py import RecentAnswers as RecentAnswers
