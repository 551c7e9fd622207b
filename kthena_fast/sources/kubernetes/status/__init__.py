"""Conditions in the status of ModelRoutes and ModelServers, by one replica.

`election` decides who that is, and `lease` asks the API server; `writer` writes what `routing.conditions` says.
"""
