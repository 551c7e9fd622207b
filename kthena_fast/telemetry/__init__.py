"""What the outside sees: metrics and logs. It reads the record of a request and never changes what happens to one.

`metrics` declares every metric; `table` holds their values; `registry` joins the two and renders them; `requests` moves
those of one request. `access_log` writes one line per request (`access_line` lays it out, `writer` gets it out of the
loop's way), `log` sets the application log up, `one_line` keeps what clients send from forging either, `lag` watches
the loop.
"""
