"""The short way of plain requests, for the interpreter: `lane.Lane` is the express lane where there are no extensions.

Interpreted, a call costs as much as what most functions here do, and a request takes four hundred of them. So where all
is plain, the steps from the client's bytes to the engine's, and from the engine's answer to the line in the access log,
are taken together by one object, a `flight.Flight`, in a quarter of the calls. The compiled build has nothing of this.

Rules
1. What is done is what the ordinary steps do: the same bytes, records, metrics, accounts and lines. The tests take the
   same conversations both ways and compare.
2. What is not plain takes the ordinary steps. Until all is known to be plain nothing is changed, so that they begin
   where they always do. Later a flight unfolds into what they would have made by then, and they go on from there: a
   client that leaves, an engine that breaks off or takes too long, an answer in pieces, the end of the process.
3. Plain is: a head that `heads` understands, of no trusted proxy; with it, or in one piece behind it, the whole body,
   and nothing more; JSON for chat, not to be streamed, whose model has been asked for before and has one target; a turn
   at once; a connection to the engine that waits. And its answer: whole, JSON, no error, with its usage as OpenAI's API
   tells it.
4. This is entered through the private doors of the rooms below, which is what makes the way short. It takes only where
   nothing can be refused: what may fail is asked of the rooms themselves.
"""
