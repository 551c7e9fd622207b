"""The wait for a turn: who goes next, how many go at once, and what each is charged.

    Turns.enter [--> Turns.wait] --> Turn ...on_events, on_usage... --> Turn.end

1. There is one queue (`core.heap`) for each model name and list of targets. Permits belong to a ModelServer (`gates`),
   so that two names on one server share them. A permit that comes free goes, at that moment, to the best head among the
   queues that can use it: a better latecomer goes first, and nobody waits while a server he may use has room.
2. The target is drawn, by weight, among those that have room at the moment of the turn. While none has, the first
   that comes free is taken: weights shape the traffic that does not wait.
3. Every turn is ended, in a `finally`, whatever became of the request; the permit is back and the next one called
   before `end` returns.
4. Input is charged when the permit is given, output as it comes, and the engine's usage settles both. What no engine
   got costs nothing; a client who leaves pays for what was produced.
5. When routes change, whoever waits for a list of targets that is no longer there is matched anew, and answered 404 if
   nothing is left to match.
6. This room owns no clock and no timer: `Turns` is given both.
"""
