"""What does a gateway cost whose objects a cluster holds, and how soon does it follow them?

    python -m benchmarks.kubernetes [--json]

A real kube-apiserver holds 10,000 pods of 1,000 ModelServers, and as many ModelRoutes, in 20 namespaces. A gateway as
it is run in a cluster, without requests, reads them in a process of its own; then 100 of them change every second, most
of them pods that are no longer ready. The process notes at every millisecond how long its loop was held, and which
objects are in service in which version: `subject`. `cluster` makes the objects and changes them.

The gateway has one core, the API server and what changes its objects the others (Linux only).

A hold is told twice: as time that passed, in which a busy machine may have run something else, and as CPU time of the
thread, which is the gateway's own.
"""
