"""The one record of a request; every step reads and fills it.

`record` is the record itself, `downstream` the small protocol through which steps answer the client.
"""
