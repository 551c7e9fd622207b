"""What a proxied request and a streamed chunk cost, beside other proxies, measured in one run on this machine.

    python -m benchmarks.load [--quick] [--only NAME] [--json > run.json] [--plot run.svg]
    python -m benchmarks.load --from run.json --markdown

1. Everything that is needed is installed at first use (`installing`): each contestant in an environment of its own, its
   version pinned; nginx and wrk from Debian where that needs no password; engine and client are compiled from here.
2. The contestant has one core and nothing else runs on it; engine and load share another. Contestants take turns: in
   each round every one of them is started anew, measured and stopped. What is reported is the median of the rounds.
3. CPU time is what `/proc/PID/stat` says of a contestant's processes, before and after, over what was completed in
   between. It holds still where requests per second do not, and only ratios of one run mean something at all.
4. Requests: non-streamed chat completions, answered with 312 bytes by nginx; 64 connections, each asking again as soon
   as it is answered (wrk). Prompts of 1 kB, 100 kB and 1 MB are asked of our own engine, which reads them to their end.
5. Chunks: 300 streams at once, one event of 190 bytes each 20 ms, 64 events (`engine.c`), out of step with each other.
   The client counts how many events came in one read: 1.0 means that nothing was merged on the way.
6. Latency: an open loop (`client.c`) at one rate for all, half of what vllm-router can do in this run, less that of the
   same load straight to the engine. It is counted from when a request was due, not from when it was sent.
7. Growth: how the CPU time of a request grows with pods, routes, rows of the ledger, and requests that wait (`growth`).

8. What fails is noted in the report, and the run goes on with what is next. Whatever ends it, nothing is left running.

All of it takes at most twelve minutes, `--quick` at most three, once everything is installed.
"""
