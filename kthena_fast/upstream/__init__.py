"""The way to the engines and back: `forward` tells one request, `relay` is one connection, `pool` keeps them.

1. A request's body goes to the engine in one write; the answer's bytes are passed on in the iteration of the loop in
   which they arrived, by the connection itself: no task and no timer per piece.
2. Bytes are passed as they are for as long as both sides speak the same framing and nothing has to change.
3. Until a head was started to the client a failure is a `GatewayError`; after that it is noted in the exchange and the
   answer is visibly broken off.
"""
