"""Conditions in the status of ModelRoutes and ModelServers, by one replica.

`election` decides who that is, and `lease` asks the API server; `update` has one object say what `routing.conditions`
finds, and `writer` which object when. `reporter` puts them together.
"""
