"""The admission webhook: a process of its own that the API server asks about every object of ours before it is stored.

1. A bad call is an HTTP error with a sentence, and a bad object is `allowed: false` with every reason at once, each
   with the path of its field (`reviews`, `judgement`).
2. Deletions, changes of metadata alone and subresources are never refused, also for objects that could not be created
   any more: whoever wants to be rid of them must be able to.
3. What is not known of the cluster costs warnings and nothing else: never a refusal, never a delay (`cluster`).
4. A review changes nothing, so a dry run is a review like any other.
5. The work is bounded: bytes held at once, expressions looked at, reasons and warnings told (`endpoint`).
"""
