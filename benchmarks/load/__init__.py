"""What a proxied request and a streamed chunk cost, beside other proxies, measured in one run on this machine.

`python -m benchmarks.load` pins each contestant to one core and engine and load to another, lets the contestants take
turns, and reports CPU time per request and per chunk: it holds still where requests per second do not. Method:
CPU time of a contestant's processes from /proc before and after, divided by what was completed in between.
"""
