"""The gateway's own ledger and heap against a model of an engine, in simulated time: what would who have got?

    workloads | traces | replay --> Workload --> run.simulate(workload, policy, setup) --> Result --> tables | plots

1. What orders and charges here is what orders and charges in the gateway: `core.ledger`, `core.heap`, and of `queueing`
   the tariff, the shares, the recent answers, the adaptive limit and the pace. Sockets and the engine are modelled.
2. Time is a number: nanoseconds from 0. There is no clock, so the same seed gives the same bytes on any machine.
3. The engine (`engine`) takes a request while the sum of input and most output of those it runs fits its pool, serves
   the first token with the step that reads the prompt, then one per step, and never interrupts one.
"""
