"""An immutable snapshot: routes, targets, pods.

`snapshot` holds the records a request reads, `build` makes a snapshot from objects, `matching` compiles conditions.
"""
