"""Objects of a Kubernetes API server, listed and watched; `source` puts it together.

1. ModelRoute, ModelServer, ExternalModelProvider and Pod are read, in all namespaces or in those that were named; one
   collection that cannot be read holds up no other. Nothing is written here.
2. An object that breaks its schema, or is too large to be read beside requests, is set aside alone, and its last good
   version serves on, until it is mended or gone. What has its name and another uid is no version of it.
3. What was read stays in service while the API server cannot be reached; what cannot be read is told (`Fault`). Before
   everything was read once, nothing is in service. Providers are an exception: where their kind is not there, there are
   none, since clusters exist that know only the two others.
4. Pods are watched namespace by namespace, where a ModelServer is, and in all namespaces at once where these are more
   than `WATCHED_NAMESPACES` (`pod_watches`). Of a pod is kept what routing asks, and of its labels only those whose key
   some selector names (`pods`).
5. A ModelServer that selects by a key which is not kept yet has the pods listed anew; until that is done, its former
   version serves.
6. What changed is in service within `INTERVAL`, or at once where nothing changed just before; each piece of the work
   on the way there holds the loop for a few milliseconds at most.
"""
