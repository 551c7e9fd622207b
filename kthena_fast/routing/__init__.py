"""An immutable snapshot: routes, targets, pods.

`objects` is what a source has read, `build` makes a `snapshot` of it, `table` puts the rules of every name in order
and `matching` compiles their conditions.
"""
