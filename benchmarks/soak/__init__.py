"""Does a gateway that served much hold more than one that served little?

    python -m benchmarks.soak --seconds 60 --clients 500

A gateway runs as a process of its own over three mock engines in another, on loopback, and this process is its clients:
answers whole and streamed, every fault that the mock engine knows, slow readers, clients that leave at any moment,
requests that are none, and a folder of manifests that changes all the time. After a quarter of the time the load pauses
and what the gateway holds is noted; at the end it is compared (`ledger`). Requests that nothing was done to must all
have been answered, and the gateway must have logged no error and end its drain with status 0.

The environment reaches the gateway: `ENABLE_FAIRNESS_SCHEDULING=true python -m benchmarks.soak` soaks the queues too.
"""
